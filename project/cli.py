"""What all commands share: options, paths, errors in words, a trace in `log.log`, and an exit code."""

import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click
import mlflow
import psutil
from mlflow.exceptions import MlflowException

from project.errors import PASSWORD, InputError, mask_passwords
from project.tracking.mlflow_run import fail_fast
from project.tracking.store import mark_as_training, open_store

PORT = click.IntRange(1, 65535)
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, what `mlflow run` sends, a terminal that is closed

log = logging.getLogger(__name__)


def start_log(name: str) -> None:
    """Log to `log.log` in the working directory; warnings go to stderr too. Passwords in URIs are masked."""
    warnings, file = logging.StreamHandler(), logging.FileHandler("log.log", encoding="utf-8")
    warnings.setLevel(logging.WARNING)
    for handler in (warnings, file):
        handler.setFormatter(MaskedFormatter(f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s"))
    logging.setLogRecordFactory(MaskedRecord)
    logging.basicConfig(handlers=[file, warnings], level=logging.INFO, force=True)
    if PASSWORD.search(os.environ.get("MLFLOW_TRACKING_URI", "")):  # MLflow prints the address of each run
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def prepare_notebook() -> None:
    """Log to `log.log`, and let MLflow print warnings only: for the first cell of a notebook."""
    start_log("notebook")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"


def detach_from_project_run() -> str | None:
    """Let runs that are started from here on be runs of their own; return the id of that of `mlflow run`, if any."""
    if experiment_id := os.environ.pop("MLFLOW_EXPERIMENT_ID", None):
        open_store()
        mark_as_training(experiment_id)
    return os.environ.pop("MLFLOW_RUN_ID", None)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt once: on Ctrl-C the process gets SIGINT, and then SIGTERM from `mlflow run`."""
    for one in ENDING:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def on_termination(handler: Callable[[int, FrameType | None], object]) -> None:
    """Call `handler` on SIGINT, SIGTERM and SIGHUP; under `nohup`, SIGHUP stays ignored."""
    for one in ENDING:
        if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, handler)


def run(name: str, command: click.Command) -> None:
    """Run a command with the process's arguments, and exit: 0, 1 after an error, 130 after Ctrl-C or its like.

    An error is one line on stderr: what the user can mend, or that it is a bug. Its trace is in the log. After Ctrl-C
    the MLflow run of `mlflow run` is KILLED; `mlflow run` itself, if it is there, then makes that FAILED.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal can show every text
    try:
        start_log(name)
    except OSError as error:
        sys.exit(f"{name}: log.log cannot be written in {Path.cwd()}: {error.strerror}")
    log.info("started: %s", " ".join(sys.argv[1:]))
    run_id = os.environ.get("MLFLOW_RUN_ID")  # kept: the command may detach from it
    on_termination(interrupt)
    try:
        command.main(standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        log.info("interrupted", exc_info=True)
        end_run(run_id, "KILLED")
        sys.exit(130)
    except BaseException as error:
        log.info("failed", exc_info=True)
        end_run(run_id, "FAILED")
        if isinstance(error, SystemExit):
            raise
        if isinstance(error, click.ClickException):
            sys.exit(f"{name}: {error.format_message()}")
        if isinstance(error, (InputError, OSError, MlflowException)):
            sys.exit(mask_passwords(f"{name}: {error}"))
        trace = Path("log.log").resolve()
        sys.exit(mask_passwords(f"{name}: this is a bug: {type(error).__name__}: {error}; its trace is in {trace}"))
    log.info("finished")


class MaskedRecord(logging.LogRecord):
    """A log record without passwords, whoever logs it."""

    def getMessage(self) -> str:
        return mask_passwords(super().getMessage())


class MaskedFormatter(logging.Formatter):
    """Format traces without passwords."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_passwords(super().format(record))


def caller_folder() -> Path:
    """Return the folder in which the command was typed: `mlflow run` runs commands in that of the project."""
    for process in psutil.Process().parents():
        with suppress(psutil.Error):
            words = process.cmdline()
            if "run" in words and "mlflow" in map(os.path.basename, words):
                return Path(process.cwd())
    return Path.cwd()


def full_path(path: str) -> str:
    """Return a path that a parameter names in full, from the folder in which the command was typed; "" stays ""."""
    return os.path.normpath(caller_folder() / Path(path).expanduser()) if path else ""


def full_data(data: str) -> str:
    """Return the data sets that a parameter names, each path in full if there is such a path; see `full_path`."""
    names = [data] if Path(full_path(data)).exists() else data.split(",")
    return ",".join(map(full_name, names))


def full_name(name: str) -> str:
    """Return one data set's name with its paths in full: itself, or those after "synthetic:" or "stitched:"."""
    kind, colon, paths = name.strip().partition(":")
    if kind == "stitched" and colon:
        return f"{kind}:{full_name(paths)}"
    if kind == "synthetic" and colon:
        return ":".join([kind, *map(full_path, paths.split(":"))])
    path = full_path(name.strip())
    return path if path and Path(path).exists() else name


class FullPath(click.ParamType):
    """A path, see `full_path`."""

    name = "path"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return full_path(value)


class Data(click.ParamType):
    """One or more data sets, see `full_data`."""

    name = "data"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return full_data(value)


def invocations(host: str, port: int) -> str:
    """Return the URL at which a served model reads; an IPv6 address is put in brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/invocations"


def end_run(run_id: str | None, status: str) -> None:
    """End the run of `mlflow run`: else it is FINISHED, as MLflow has it when a process exits that logged to it."""
    with fail_fast(), suppress(MlflowException):
        mlflow.end_run(status)
        if run_id:
            mlflow.MlflowClient().set_terminated(run_id, status)
