"""Entry point `inferrer`: CTC-decode `project/prediction.json` into text, with the charset of a registered version."""

import argparse
import json
from pathlib import Path

import mlflow
import numpy as np

from project import metrics, registry
from project.charset import Charset
from project.decoding import DECODERS
from project.entry_point import entry_point
from project.poster import PREDICTION
from project.sampler import transcription_of


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-version", required=True, help="number, latest, or alias: the version that was served")
    parser.add_argument("--decoder", required=True, choices=DECODERS)
    arguments = parser.parse_args()

    version = registry.find_version(arguments.model_version)
    settings = json.loads((registry.download_recognizer(version) / "recognizer.json").read_text("utf-8"))
    charset = Charset(settings["charset"])
    log_probs = read_prediction(PREDICTION, len(charset))
    texts = [charset.decode(DECODERS[arguments.decoder](line)) for line in log_probs]

    mlflow.log_text("\n".join(texts), "text.txt")
    mlflow.set_tags({"version": version.version, "text": "\n".join(texts)})
    for text in texts:
        print(f"text: {text}")
    known = transcription_of(PREDICTION)
    if known.exists() and (reference := known.read_text("utf-8")):
        cer = metrics.cer([reference], texts[:1])
        mlflow.log_metric("cer", cer)
        print(f"transcription: {reference}\nCER: {cer:.1%}")


if __name__ == "__main__":
    entry_point("inferrer", main)
