"""Entry point `main`: run `handwriting_classifier.ipynb` from top to bottom; its last cell prints the summary."""

import logging
import sys
import tempfile
from pathlib import Path

import click
import mlflow
import nbformat
import papermill
from mlflow.exceptions import MlflowException
from nbclient.exceptions import DeadKernelError

from project import cli
from project.data import sources
from project.data.dataset import is_made
from project.errors import InputError
from project.tracking import registry
from project.tracking.mlflow_run import fail_fast

NOTEBOOK = Path(__file__).parent.parent / "handwriting_classifier.ipynb"

log = logging.getLogger(__name__)


def summary(notebook: nbformat.NotebookNode) -> str:
    """Return what the cell tagged `summary` printed."""
    cells = [cell for cell in notebook.cells if "summary" in cell.metadata.get("tags", [])]
    return "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")


def log_notebook(run_id: str, executed: Path) -> None:
    """Log the notebook as far as it ran; a server that is gone is no reason to hide what ended it."""
    try:
        with fail_fast():
            mlflow.MlflowClient().log_artifact(run_id, str(executed))
    except MlflowException as error:
        log.warning("the executed notebook could not be logged: %s", error)


@click.command()
@click.option("--data", type=cli.Data(), required=True, help='"synthetic", or a table or folder (docs/data.md).')
@click.option("--epochs", required=True, type=click.IntRange(1))
@click.option("--train-lines", required=True, type=click.IntRange(10), help="Lines to train on, of the synthetic data.")
@click.option("--seed", required=True, type=click.IntRange(0))
@click.option("--start-from", required=True, help=f"Of the third run: {registry.START_HELP}")
def main(data: str, epochs: int, train_lines: int, seed: int, start_from: str) -> None:
    if not is_made(data):
        sources.scan(data)  # what is wrong is told now, and not in a notebook's traceback after two trainings
    registry.load_start(start_from)
    run_id = cli.detach_from_project_run()  # the notebook makes runs in its own experiment
    logging.getLogger("papermill").setLevel(logging.ERROR)  # what the notebook prints is shown anyway
    parameters = {"data": data, "epochs": epochs, "train_lines": train_lines, "seed": seed, "start_from": start_from}
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder, NOTEBOOK.name)
        try:
            papermill.execute_notebook(
                NOTEBOOK, executed, parameters, kernel_name="python3", cwd=NOTEBOOK.parent,
                progress_bar=False, log_output=True, stdout_file=sys.stdout, stderr_file=sys.stderr,
            )  # fmt: skip
        except DeadKernelError as error:
            raise InputError(
                "the notebook's process died (out of memory?); run the same command again to resume"
            ) from error
        except papermill.PapermillExecutionError as error:
            raise InputError(f"the notebook ended with {error.ename}: {error.evalue}") from error
        finally:
            if executed.exists() and run_id:
                log_notebook(run_id, executed)
        result = summary(nbformat.read(executed, as_version=4))
    if run_id:
        mlflow.MlflowClient().log_text(run_id, result, "summary.txt")


if __name__ == "__main__":
    cli.run("main", main)
