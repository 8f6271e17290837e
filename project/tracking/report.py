"""What a run logs to MLflow beside its epochs (see `mlflow_run`): inputs, curves, pictures and tables."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.pandas_dataset import from_pandas
from mlflow.exceptions import MlflowException
from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

from project.data.dataset import Data, Line
from project.data.rows import SPLITS
from project.evaluation import figures
from project.training.settings import Settings
from project.training.tuning import Outcomes

CURVES = {"loss": "train_loss", "val_loss": "val_loss", "avg_edit_distance": "avg_edit_distance"}  # file: metric
SHOWN_LINES = 8  # of the validation split, whose predictions are drawn after each epoch


def log_inputs(settings: Settings, data: Data) -> None:
    """Log what the run is made from: settings, data sets with their digest, charset, rejected rows, git commit."""
    mlflow.log_params(dataclasses.asdict(settings) | {"data": ", ".join(data.names)})
    mlflow.set_tag(MLFLOW_GIT_COMMIT, get_git_commit(str(Path(__file__).parent)) or "none")
    for source, location in zip(data.names, data.locations, strict=True):
        log_data_set(Path(source).name, location, data)
    mlflow.log_text(data.charset.characters, "charset.txt")
    for name, table in (("rejected_rows", data.rejected), ("leaks", data.leaks)):
        mlflow.log_text(table.to_csv(index=False), f"{name}.csv")
        mlflow.set_tag(name, len(table))


def log_data_set(name: str, location: str, data: Data) -> None:
    """Log the splits of one of the data sets that a run uses, and where it is, if MLflow knows such an address."""
    path, source = Path(location).expanduser(), None
    with warnings.catch_warnings(), suppress(MlflowException):
        warnings.filterwarnings("ignore", "The specified dataset source can be")  # MLflow has two names for a file
        source = resolve_dataset_source(path.resolve().as_uri() if path.exists() else location)
    own = data.rows[data.rows["data"] == location]
    for split, context in zip(SPLITS, ("training", "validation", "testing"), strict=True):
        table = own.loc[own["split"] == split, ["text", "writer", "split", "source"]]
        if len(table):
            split_data = from_pandas(table, source, name=f"{name} {split}", digest=data.digest)  # type: ignore[arg-type]
            mlflow.log_input(split_data, context=context)


def log_curves(name: str, history: list[dict[str, float]]) -> None:
    """Log `loss.png`, `val_loss.png` and `avg_edit_distance.png`."""
    for file, metric in CURVES.items():
        figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
        figures.draw_curve(ax, {name: history}, metric, metric)
        mlflow.log_figure(figure, f"{file}.png")
        plt.close(figure)


def prediction_sheet(lines: Sequence[Line], predictions: list[str]) -> np.ndarray:
    """Draw some of the lines with their predictions; return the picture (H, W, 4)."""
    some = np.linspace(0, len(lines) - 1, min(SHOWN_LINES, len(lines))).astype(int)
    texts = [lines[i].text for i in some]
    figure = figures.line_sheet([lines[i].image for i in some], texts, texts, [predictions[i] for i in some])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.array(canvas.buffer_rgba())
    plt.close(figure)
    return picture


def log_tuning(run_id: str, metrics: dict[str, float], outcomes: Mapping[str, Outcomes]) -> None:
    """Log the metrics of `tuning.tuned`, and `reliability.png`."""
    log_once(run_id, metrics)
    figure = figures.reliability_diagram(outcomes)
    mlflow.log_figure(figure, "reliability.png")
    plt.close(figure)


def log_test(run_id: str, lines: pd.DataFrame, metrics: dict[str, float]) -> None:
    """Log the test lines one by one (see `evaluation`), and their metrics. What MLflow has already of a run that was
    killed at this point is not logged again.
    """
    if "test_lines.json" not in {file.path for file in mlflow.MlflowClient().list_artifacts(run_id)}:
        mlflow.log_table(lines, "test_lines.json")  # it would add to the table
    log_once(run_id, metrics)


def log_once(run_id: str, metrics: dict[str, float]) -> None:
    """Log metrics of the run as a whole, unless MLflow has them: the run may have been killed just after that."""
    if not metrics.keys() <= mlflow.MlflowClient().get_run(run_id).data.metrics.keys():
        mlflow.log_metrics(metrics)
