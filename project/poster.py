"""Entry point `poster`: POST `project/text_image.json` with curl; the answer becomes `project/prediction.json`."""

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import mlflow

from project.entry_point import entry_point
from project.files import replaced
from project.sampler import TEXT_IMAGE, transcription_of

PREDICTION = Path(__file__).with_name("prediction.json")


def check_body(path: Path) -> None:
    """ValueError if `path` is not what `sampler` writes: JSON with a list under `inputs`."""
    try:
        body = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is not there yet: run `mlflow run . -e sampler` first") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list) or not body["inputs"]:
        raise ValueError(f'{path} must be {{"inputs": 4-D list}}; it holds {str(body)[:60]}')


def post(url: str, body: Path, answer: Path) -> None:
    """Send the file `body`, write what comes back to `answer`. ValueError if that is not status 200 and predictions."""
    curl = ["curl", "-sS", "--fail-with-body", "-H", "Content-Type: application/json"]
    sent = subprocess.run([*curl, "-d", f"@{body}", "-o", str(answer), url], capture_output=True, text=True)
    said = answer.read_text("utf-8", errors="replace")
    if sent.returncode:
        raise ValueError(f"{url}: {sent.stderr.strip()} {said[:500]}")
    try:
        predictions = json.loads(said)["predictions"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{url} answered without predictions: {said[:200]!r}; is it another server?") from None
    print(f"{len(predictions)} line(s), {len(predictions[0])} frames of {len(predictions[0][0])} classes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    arguments = parser.parse_args()
    if not 1 <= arguments.port <= 65535:
        raise ValueError(f"port: {arguments.port} is not one of 1..65535")

    check_body(TEXT_IMAGE)
    url = f"http://{arguments.host}:{arguments.port}/invocations"
    with replaced(PREDICTION) as beside:
        post(url, TEXT_IMAGE, beside)
    with replaced(transcription_of(PREDICTION)) as beside:
        shutil.copyfile(transcription_of(TEXT_IMAGE), beside)
    mlflow.log_artifact(str(PREDICTION))
    print(f"{url} -> {PREDICTION}")


if __name__ == "__main__":
    entry_point("poster", main)
