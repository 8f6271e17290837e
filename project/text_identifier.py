"""Entry point `inferrer`: CTC-decode `project/prediction.json` into text, with what a registered version knows."""

import json
from pathlib import Path

import click
import mlflow
import numpy as np

from project import cli
from project.errors import InputError
from project.evaluation import metrics
from project.handover import PREDICTION, check_kept, kept_transcription
from project.recognition.decoding import DECODERS, decode
from project.tracking import registry


def read_prediction(path: Path) -> list:
    """Return the predictions in the server's answer. Raise InputError if there are none."""
    form = f'{path} must be {{"predictions": 3-D list of numbers}}'
    try:
        predictions = json.loads(path.read_text("utf-8"))["predictions"]
    except FileNotFoundError:
        raise InputError(f"{path} is not there yet: run `mlflow run . -e poster` first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{form}: {error!r}") from None
    if not isinstance(predictions, list) or not predictions:
        raise InputError(f"{form}; it holds {str(predictions)[:60]!r}")
    return predictions


def log_probs_of(predictions: list, classes: int) -> np.ndarray:
    """Return the log-probs (N, T, C) of `cnn_text_identifier`. Raise InputError if C is not `classes`."""
    try:
        log_probs = np.array(predictions, dtype=float)
    except (ValueError, TypeError) as error:
        raise InputError(f'{PREDICTION} must be {{"predictions": 3-D list of numbers}}: {error!r}') from None
    if log_probs.ndim != 3 or log_probs.shape[2] != classes:
        raise InputError(
            f"{PREDICTION} has shape {log_probs.shape}, but this version's answers are (N, T, {classes}): "
            "was it another version that was served?"
        )
    if not np.isfinite(log_probs).all():
        raise InputError(f"{PREDICTION} holds NaN or infinity where log-probs should be")
    return log_probs


@click.command()
@click.option("--model-version", required=True, help="Number, latest, or alias: the version that was served.")
@click.option("--decoder", required=True, type=click.Choice(DECODERS))
def main(model_version: str, decoder: str) -> None:
    check_kept()
    predictions = read_prediction(PREDICTION)
    if isinstance(predictions[0], dict):  # the answer of `handwriting_reader`
        if decoder != "best_path":
            raise InputError(f"decoder {decoder}: {PREDICTION} holds texts: `handwriting_reader` decodes by itself")
        texts = [row["text"] for row in predictions]
    else:
        version = registry.find_version(model_version)
        mlflow.set_tag("version", version.version)
        recognizer = registry.load_recognizer(version)
        log_probs = log_probs_of(predictions, len(recognizer.charset))
        labels = [decode(line, decoder, recognizer.language) for line in log_probs]
        texts = [recognizer.charset.decode(one) for one in labels]

    mlflow.log_text("\n".join(texts), "text.txt")
    mlflow.set_tag("text", "\n".join(texts))
    for text in texts:
        print(f"text: {text}")
    if reference := kept_transcription(PREDICTION):
        cer = metrics.cer([reference], texts[:1])
        mlflow.log_metric("cer", cer)
        print(f"transcription: {reference}\nCER: {cer:.1%}")


if __name__ == "__main__":
    cli.run("inferrer", main)
