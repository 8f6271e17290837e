"""What all entry points share: checked options, errors in words, a trace in `log.log`, and an exit code."""

import logging
import os
import sys

import click
from mlflow.exceptions import MlflowException

PORT = click.IntRange(1, 65535)

log = logging.getLogger(__name__)


def start_log(name: str) -> None:
    """All that is logged goes to `log.log`, in the working directory; warnings go to stderr too."""
    warnings = logging.StreamHandler()
    warnings.setLevel(logging.WARNING)
    form = f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(
        handlers=[logging.FileHandler("log.log"), warnings], level=logging.INFO, format=form, force=True
    )


def leave_run() -> str | None:
    """Let runs that are started from here on be runs of their own, instead of joining that of `mlflow run`; returns
    the id of that one, if there is one.
    """
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    return os.environ.pop("MLFLOW_RUN_ID", None)


def run(name: str, command: click.Command) -> None:
    """Run a command with the process's arguments, and exit: 0, or 1 after an error.

    An error that the user can mend is one line on stderr; its trace is in the log. Any other shows its trace too.
    """
    start_log(name)
    log.info("started: %s", " ".join(sys.argv[1:]))
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        log.error("failed: %s", error.format_message())
        sys.exit(1)
    except (ValueError, OSError, MlflowException) as error:
        log.info("failed", exc_info=True)
        sys.exit(f"{name}: {error}")
    except BaseException:
        log.info("failed", exc_info=True)
        raise
    log.info("finished")
