"""What all entry points share: checked options, errors in words, a trace in `log.log`, and an exit code."""

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
from mlflow.exceptions import MlflowException

from project.tracking.mlflow_run import fail_fast
from project.tracking.store import mark_as_training, open_store

PORT = click.IntRange(1, 65535)
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, what `mlflow run` sends, a terminal that is closed

log = logging.getLogger(__name__)


def start_log(name: str) -> None:
    """All that is logged goes to `log.log`, in the working directory; warnings go to stderr too."""
    warnings = logging.StreamHandler()
    warnings.setLevel(logging.WARNING)
    form = f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(
        handlers=[logging.FileHandler("log.log"), warnings], level=logging.INFO, format=form, force=True
    )


def detach_from_project_run() -> str | None:
    """Let runs that are started from here on be runs of their own, instead of joining that of `mlflow run`; returns
    the id of that one, if there is one.
    """
    if experiment_id := os.environ.pop("MLFLOW_EXPERIMENT_ID", None):
        open_store()
        mark_as_training(experiment_id)
    return os.environ.pop("MLFLOW_RUN_ID", None)


def interrupt(number: int, frame: FrameType | None) -> None:
    """On Ctrl-C the process gets SIGINT, and `mlflow run` sends SIGTERM after it: that is one KeyboardInterrupt, and
    what follows it is not interrupted again.
    """
    for one in ENDING:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def on_termination(handler: Callable[[int, FrameType | None], object]) -> None:
    """Have `handler` called when we are to end; `nohup` keeps its meaning."""
    for one in ENDING:
        if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, handler)


def run(name: str, command: click.Command) -> None:
    """Run a command with the process's arguments, and exit: 0, 1 after an error, 130 after Ctrl-C or its like.

    An error that the user can mend is one line on stderr; its trace is in the log. Any other shows its trace too.
    After Ctrl-C the MLflow run of `mlflow run` is KILLED; `mlflow run` itself, if it is there, then makes that FAILED.
    """
    try:
        start_log(name)
    except OSError as error:
        sys.exit(f"{name}: log.log cannot be written in {Path.cwd()}: {error.strerror}")
    log.info("started: %s", " ".join(sys.argv[1:]))
    run_id = os.environ.get("MLFLOW_RUN_ID")  # kept: the command may let go of it
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
        if isinstance(error, click.ClickException):
            sys.exit(f"{name}: {error.format_message()}")
        if isinstance(error, (ValueError, OSError, MlflowException)):
            sys.exit(f"{name}: {error}")
        raise
    log.info("finished")


def invocations(host: str, port: int) -> str:
    """The URL at which a served model reads; an IPv6 address stands in brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/invocations"


def end_run(run_id: str | None, status: str) -> None:
    """End the run of `mlflow run`: else it is FINISHED, as MLflow has it when a process exits that logged to it."""
    with fail_fast(), suppress(MlflowException):
        mlflow.end_run(status)
        if run_id:
            mlflow.MlflowClient().set_terminated(run_id, status)
