"""Entry point `poster`: POST `project/text_image.json` with curl; the answer becomes `project/prediction.json`."""

import json
import subprocess
from pathlib import Path

import click
import mlflow

from project import entry_point
from project.files import PREDICTION, TEXT_IMAGE, keep_transcription, kept_transcription, replaced

PATIENCE = 120  # seconds for an answer


def check_body(path: Path) -> None:
    """ValueError if `path` is not what `sampler` writes: JSON with a list under `inputs`."""
    try:
        inputs = json.loads(path.read_text("utf-8"))["inputs"]
    except FileNotFoundError:
        raise ValueError(f"{path} is not there yet: run `mlflow run . -e sampler` first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} must be {{"inputs": 4-D list}}: {error!r}') from None
    if not isinstance(inputs, list) or not inputs:
        raise ValueError(f'{path} must be {{"inputs": 4-D list}}; it holds {str(inputs)[:60]!r}')


def post(url: str, body: Path, answer: Path) -> str:
    """Send the file `body`, write what comes back to `answer`; returns its shape in words.

    ValueError if it is not status 200 with predictions (N, T, C).
    """
    curl = ["curl", "-sS", "--fail-with-body", "--max-time", str(PATIENCE), "-H", "Content-Type: application/json"]
    sent = subprocess.run([*curl, "-d", f"@{body}", "-o", str(answer), url], capture_output=True, text=True)
    said = answer.read_text("utf-8", errors="replace") if answer.exists() else ""
    if sent.returncode:
        raise ValueError(f"{url}: {sent.stderr.strip()} {said[:500]}")
    try:
        predictions = json.loads(said)["predictions"]
        return f"{len(predictions)} line(s), {len(predictions[0])} frames of {len(predictions[0][0])} classes"
    except (ValueError, LookupError, TypeError):
        raise ValueError(f"{url} answered without log-probs: {said[:200]!r}; is it another server?") from None


@click.command()
@click.option("--host", required=True)
@click.option("--port", required=True, type=entry_point.PORT)
def main(host: str, port: int) -> None:
    check_body(TEXT_IMAGE)
    url = f"http://{host}:{port}/invocations"
    with replaced(PREDICTION) as beside:
        answered = post(url, TEXT_IMAGE, beside)
    keep_transcription(PREDICTION, kept_transcription(TEXT_IMAGE))

    mlflow.log_artifact(str(PREDICTION))
    print(f"{url} -> {PREDICTION}: {answered}")


if __name__ == "__main__":
    entry_point.run("poster", main)
