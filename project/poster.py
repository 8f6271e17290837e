"""Entry point `poster`: POST `project/text_image.json`, or a picture, with curl -> `project/prediction.json`."""

import base64
import ipaddress
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import click
import mlflow

from project import cli
from project.atomic import replaced
from project.errors import InputError
from project.handover import (
    PREDICTION,
    TEXT_IMAGE,
    check_kept,
    keep_transcription,
    kept_transcription,
    transcription_of,
)

TIMEOUT = 120  # seconds for an answer


def check_body(path: Path) -> None:
    """Raise InputError if `path` is not what `sampler` writes: JSON with a list under `inputs`."""
    try:
        inputs = json.loads(path.read_text("utf-8"))["inputs"]
    except FileNotFoundError:
        raise InputError(f"{path} is not there yet: run `mlflow run . -e sampler` first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path} must be {{"inputs": 4-D list}}: {error!r}') from None
    if not isinstance(inputs, list) or not inputs:
        raise InputError(f'{path} must be {{"inputs": 4-D list}}; it holds {str(inputs)[:60]!r}')


def picture_body(picture: Path) -> str:
    """Return the body for `handwriting_reader`: the picture's file, in base64. Raise InputError if there is none."""
    try:
        encoded = base64.b64encode(picture.read_bytes()).decode()
    except OSError as error:
        raise InputError(f"{picture.resolve()}: {error.strerror}") from None
    return json.dumps({"dataframe_split": {"columns": ["image"], "data": [[encoded]]}})


def is_local(url: str) -> bool:
    """Return whether a URL means this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == "localhost"


def post(url: str, body: Path, answer: Path) -> str:
    """Send the file `body`, write what comes back to `answer`, and return in words what it is.

    The user's own settings of curl are not read, and an address of this machine is not looked for behind a proxy. Raise
    InputError if the answer is not status 200 with predictions: log-probs (N, T, C), or a row for a picture.
    """
    if not shutil.which("curl"):
        raise InputError("curl is not installed (on Debian: apt install curl), or not on PATH")
    curl = ["curl", "-q", "-sS", "--max-time", str(TIMEOUT), "-H", "Content-Type: application/json"]
    curl += ["--noproxy", "*"] if is_local(url) else []
    curl += ["-d", f"@{body}", "-o", str(answer), "-w", "%{http_code}", url]
    sent = subprocess.run(curl, capture_output=True, text=True)
    said = answer.read_text("utf-8", errors="replace") if answer.exists() else ""
    if sent.returncode or sent.stdout != "200":
        raise InputError(
            f"{url}: {sent.stderr.strip() or f'The requested URL returned error: {sent.stdout}'} {said[:500]}"
        )
    try:
        predictions = json.loads(said)["predictions"]
        if not isinstance(predictions[0], dict):
            return f"{len(predictions)} line(s), {len(predictions[0])} frames of {len(predictions[0][0])} classes"
        text, confidence, error = (predictions[0][name] for name in ("text", "confidence", "error"))
    except (ValueError, LookupError, TypeError):
        raise InputError(f"{url} answered without log-probs or a text: {said[:200]!r}; is it another server?") from None
    if error:
        raise InputError(f"{url} could not read the picture: {error}")
    return f"confidence {confidence:.0%}\ntext: {text}"


@click.command()
@click.option("--image", required=True, help="A picture for handwriting_reader; empty for project/text_image.json.")
@click.option("--host", required=True)
@click.option("--port", required=True, type=cli.PORT)
def main(image: str, host: str, port: int) -> None:
    check_kept()
    url, picture = cli.invocations(host, port), Path(cli.full_path(image))
    with tempfile.TemporaryDirectory() as folder, replaced(PREDICTION) as beside:
        if image:
            body = Path(folder, "body.json")
            body.write_text(picture_body(picture))
        else:
            check_body(body := TEXT_IMAGE)
        answered = post(url, body, beside)
    keep_transcription(PREDICTION, transcription_of(picture) if image else kept_transcription(TEXT_IMAGE))

    mlflow.log_artifact(str(PREDICTION))
    print(f"{url} -> {PREDICTION}: {answered}")


if __name__ == "__main__":
    cli.run("poster", main)
