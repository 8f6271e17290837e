"""What a run logs to MLflow beside its epochs (see `mlflow_run`): inputs, curves, pictures and tables."""

import dataclasses
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.pandas_dataset import PandasDataset, from_pandas
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

from project.data.dataset import Data, Line
from project.data.rows import SPLITS
from project.evaluation import figures
from project.tracking import registry
from project.training.settings import Settings
from project.training.tuning import Outcomes

CURVES = {"loss": "train_loss", "val_loss": "val_loss", "avg_edit_distance": "avg_edit_distance"}  # file: metric
SHOWN_LINES = 8  # of the validation split, whose predictions are drawn after each epoch


def log_inputs(settings: Settings, data: Data) -> None:
    """Log what the run is made from: settings, data sets with their digest, charset, rejected rows, git commit."""
    mlflow.log_params(dataclasses.asdict(settings) | {"data": ", ".join(data.names)})
    mlflow.set_tag(MLFLOW_GIT_COMMIT, get_git_commit(str(Path(__file__).parent)) or "none")
    for location in data.locations:
        log_data_set(location, data)
    mlflow.log_text(data.charset.characters, "charset.txt")
    for name, table in (("rejected_rows", data.rejected), ("leaks", data.leaks)):
        mlflow.log_text(table.to_csv(index=False), f"{name}.csv")
        mlflow.set_tag(name, len(table))


def log_data_set(location: str, data: Data) -> None:
    """Log the splits of one of the data sets that a run uses, by its location."""
    own = data.rows[data.rows["data"] == location]
    for split, context in zip(SPLITS, ("training", "validation", "testing"), strict=True):
        rows = own[own["split"] == split]
        if len(rows):
            mlflow.log_input(dataset_of(rows, split, data.digest, names_of(data)), context=context)


def names_of(data: Data) -> dict[str, str]:
    """Return the name of each data set by its location: `synthetic` has a folder of the cache as its location."""
    return dict(zip(data.locations, data.names, strict=True))


def dataset_of(rows: pd.DataFrame, split: str, digest: str, names: Mapping[str, str]) -> PandasDataset:
    """Return rows of one or more data sets as MLflow logs them: named by the data sets and the split, with where they
    are, if it is one place and MLflow knows such an address. names: of the data sets, by their locations.
    """
    locations, source = list(rows["data"].unique()), None
    if len(locations) == 1:
        path = Path(locations[0]).expanduser()
        with warnings.catch_warnings(), suppress(MlflowException):
            warnings.filterwarnings("ignore", "The specified dataset source can be")  # MLflow has two names for a file
            source = resolve_dataset_source(path.resolve().as_uri() if path.exists() else locations[0])
    name = ", ".join(Path(names[location]).name for location in locations)
    table = rows[["text", "writer", "split", "source"]]
    return from_pandas(table, source, name=f"{name} {split}", digest=digest)  # type: ignore[arg-type]


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


def log_tuning(run_id: str, metrics: dict[str, float], outcomes: Mapping[str, Outcomes], best_epoch: int) -> None:
    """Log the metrics of `tuning.tuned`, as of the epoch whose weights it had, and `reliability.png`. What MLflow has
    already of a run that was killed at this point is not logged again.
    """
    if not metrics.keys() <= mlflow.MlflowClient().get_run(run_id).data.metrics.keys():
        mlflow.log_metrics(metrics, best_epoch)
    figure = figures.reliability_diagram(outcomes)
    mlflow.log_figure(figure, "reliability.png")
    plt.close(figure)


def log_validation(run_id: str, version: ModelVersion, data: Data, best_epoch: int) -> None:
    """Log to the models of a version what the run knows of the validation split as of its best epoch, whose weights
    they have. (MLflow shows no metric of a run with a model unless it is logged to it.)
    """
    client, names = mlflow.MlflowClient(), mlflow.get_run(run_id).data.metrics
    history = [metric for name in names for metric in client.get_metric_history(run_id, name)]
    best = [metric for metric in history if metric.step == best_epoch and metric.key.startswith(("val_", "avg_"))]
    dataset = dataset_of(data.rows.loc[data.lines["validation"].rows], "validation", data.digest, names_of(data))
    log_to_models(run_id, version, {metric.key: metric.value for metric in best}, dataset, best_epoch)


def log_test(run_id: str, version: ModelVersion, lines: pd.DataFrame, metrics: dict[str, float], data: Data) -> None:
    """Log the test lines one by one (see `scoring.evaluate_rows`), and their metrics, to the run and to the models of a
    version.
    What MLflow has already of a run that was killed at this point is not logged again.
    """
    if "test_lines.json" not in {file.path for file in mlflow.MlflowClient().list_artifacts(run_id)}:
        mlflow.log_table(lines, "test_lines.json")  # it would add to the table
    rows = data.rows[data.rows["split"] == "test"]
    log_to_models(run_id, version, metrics, dataset_of(rows, "test", data.digest, names_of(data)))


def log_to_models(
    run_id: str, version: ModelVersion, metrics: dict[str, float], dataset: Dataset, step: int = 0
) -> None:
    """Log metrics to a run, and to both models of a version with the data set that they are of. Idempotent: what the
    run has already gets the same time, and MLflow keeps a point once.
    """
    client, now = mlflow.MlflowClient(), int(1000 * time.time())
    by_time: dict[int, dict[str, float]] = {}
    for name, value in metrics.items():
        logged = [metric.timestamp for metric in client.get_metric_history(run_id, name) if metric.step == step]
        by_time.setdefault((logged or [now])[0], {})[name] = value
    model_ids: Sequence[str | None] = registry.model_ids(version) or (None,)
    for model_id in model_ids:
        for timestamp, some in by_time.items():
            mlflow.log_metrics(some, step, run_id=run_id, timestamp=timestamp, model_id=model_id, dataset=dataset)
