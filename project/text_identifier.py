"""Entry point `inferrer`: CTC-decode `project/prediction.json` into text, with what a registered version knows."""

import json
from pathlib import Path

import click
import mlflow
import numpy as np

from project import entry_point, metrics, registry
from project.charset import Charset
from project.decoding import DECODERS, decode
from project.files import PREDICTION, kept_transcription


def read_prediction(path: Path, classes: int) -> np.ndarray:
    """Log-probs (N, T, C) from the server's answer. ValueError if it is not that of a model with C = `classes`."""
    try:
        log_probs = np.array(json.loads(path.read_text("utf-8"))["predictions"], dtype=float)
    except FileNotFoundError:
        raise ValueError(f"{path} is not there yet: run `mlflow run . -e poster` first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} must be {{"predictions": 3-D list of numbers}}: {error!r}') from None
    if log_probs.ndim != 3 or log_probs.shape[2] != classes:
        raise ValueError(
            f"{path} has shape {log_probs.shape}, but this version's answers are (N, T, {classes}): "
            "was it another version that was served?"
        )
    if not np.isfinite(log_probs).all():
        raise ValueError(f"{path} holds NaN or infinity where log-probs should be")
    return log_probs


@click.command()
@click.option("--model-version", required=True, help="Number, latest, or alias: the version that was served.")
@click.option("--decoder", required=True, type=click.Choice(DECODERS))
def main(model_version: str, decoder: str) -> None:
    version = registry.find_version(model_version)
    charset = Charset(registry.recognizer_settings(version)["charset"])
    log_probs = read_prediction(PREDICTION, len(charset))
    language = registry.language_model(version) if decoder == "beam" else None
    texts = [charset.decode(decode(line, decoder, language)) for line in log_probs]

    mlflow.log_text("\n".join(texts), "text.txt")
    mlflow.set_tags({"version": version.version, "text": "\n".join(texts)})
    for text in texts:
        print(f"text: {text}")
    if reference := kept_transcription(PREDICTION):
        cer = metrics.cer([reference], texts[:1])
        mlflow.log_metric("cer", cer)
        print(f"transcription: {reference}\nCER: {cer:.1%}")


if __name__ == "__main__":
    entry_point.run("inferrer", main)
