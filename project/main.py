"""Entry point `main`: run `handwriting_classifier.ipynb` from top to bottom, and print its summary."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import mlflow
import nbformat
import papermill

from project import dataset
from project.entry_point import entry_point

NOTEBOOK = Path(__file__).parent.parent / "handwriting_classifier.ipynb"


def whole(name: str, text: str, least: int) -> int:
    """A whole number of at least `least`; ValueError names the parameter."""
    if not text.lstrip("-").isdigit() or int(text) < least:
        raise ValueError(f"{name}: {text!r} is not a whole number of at least {least}")
    return int(text)


def summary(notebook: nbformat.NotebookNode) -> str:
    """What the cell tagged `summary` printed."""
    cells = [cell for cell in notebook.cells if "summary" in cell.metadata.get("tags", [])]
    return "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help='"synthetic", or a table or folder (see project/dataset.py)')
    parser.add_argument("--epochs", required=True)
    parser.add_argument("--train-lines", required=True, help="lines to train on, of the synthetic data")
    parser.add_argument("--seed", required=True)
    arguments = parser.parse_args()
    parameters = {
        "data": arguments.data,
        "epochs": whole("epochs", arguments.epochs, 1),
        "train_lines": whole("train_lines", arguments.train_lines, 10),
        "seed": whole("seed", arguments.seed, 0),
    }
    if arguments.data != "synthetic":
        dataset.read_data_set(arguments.data)  # what is wrong with it is told now, and not in a notebook's traceback

    # The notebook makes runs of its own, in its own experiment: it must not join the run of this entry point.
    run_id = os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder, NOTEBOOK.name)
        try:
            papermill.execute_notebook(
                NOTEBOOK, executed, parameters, kernel_name="python3", cwd=NOTEBOOK.parent,
                progress_bar=False, log_output=True, stdout_file=sys.stdout, stderr_file=sys.stderr,
            )  # fmt: skip
        finally:
            if executed.exists() and run_id:
                mlflow.MlflowClient().log_artifact(run_id, str(executed))
        print("\n" + summary(nbformat.read(executed, as_version=4)))


if __name__ == "__main__":
    entry_point("main", main)
