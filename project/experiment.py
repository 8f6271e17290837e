"""One training run in MLflow: from a data set and settings to a registered version, with all that it leaves behind."""

import dataclasses
import hashlib
import itertools
import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

from project import dataset, pictures, processes, registry, synthetic, tracking, tuning
from project.charset import Charset
from project.evaluate import calibration_error, compare, error_rates
from project.files import BASE, TEST_INPUTS, replaced
from project.images import FRAME_WIDTH, read_picture
from project.lines import Line, Lines, usable_lines
from project.recognizer import Recognizer
from project.registration import register
from project.store import LineImages, line_images
from project.training import Settings, train

EXPERIMENT = "handwriting-recognition"
CHECKPOINTS = Path("checkpoints")
CURVES = {"loss": "train_loss", "val_loss": "val_loss", "avg_edit_distance": "avg_edit_distance"}  # file: figure
SHOWN = 8  # validation lines whose predictions are drawn after each epoch

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set that is ready to train on: its rows, their line images by the index of `rows`, and those that can
    be learnt from as lines, by split.
    """

    sources: tuple[str, ...]
    locations: tuple[str, ...]
    rows: pd.DataFrame
    digest: str
    charset: Charset
    images: LineImages
    lines: dict[str, Lines]
    rejected: pd.DataFrame
    leaks: pd.DataFrame


@dataclasses.dataclass(frozen=True)
class Run:
    """What a finished run left: where it is in MLflow, its figures by epoch, its test lines as a table, and the lock
    on its checkpoint, so that no other process takes the run for its own.
    """

    name: str
    run_id: str
    version: ModelVersion
    history: list[dict[str, float]]
    figures: dict[str, float]
    test_lines: pd.DataFrame
    claim: FileLock


def load_data(*data: str, height: int, seed: int, synthetic_lines: Mapping[str, int], characters: str = "") -> Data:
    """Read one or more data sets as one; each is as `dataset` says, or "synthetic" for the embedded default.

    The charset is every character of the training transcriptions, and those of `characters`.
    """
    locations = [
        str(synthetic.synthesize(None, dict(synthetic_lines), seed)) if one == "synthetic" else one for one in data
    ]
    rows = dataset.survey(*locations, seed=seed)
    texts = rows.loc[rows["split"] == "train", "text"]
    if not any(texts):
        raise ValueError(f"data: {', '.join(data)}: none of the {len(texts)} training rows has a text")
    charset = Charset.from_texts([*texts, characters])
    pictures_again = (row.image for location in locations for row in dataset.stream_rows(location))
    images = line_images(pictures_again, rows["picture"], height)
    usable = {
        split: usable_lines(rows[rows["split"] == split], images, charset, FRAME_WIDTH) for split in dataset.SPLITS
    }
    rejected = pd.concat([table for _, table in usable.values()], ignore_index=True)
    if len(rejected):
        log.warning("%d of %d rows cannot be used; the run's rejected_rows.csv lists them", len(rejected), len(rows))
    leaks = dataset.leaks(rows, rows["picture"])
    if len(leaks):
        log.warning(
            "%d rows are in two splits, by picture or by text and writer; the run's leaks.csv lists them", len(leaks)
        )
    lines = {split: lines for split, (lines, _) in usable.items()}
    digest = dataset.digest(rows, rows["picture"])
    return Data(data, tuple(locations), rows, digest, charset, images, lines, rejected, leaks)


def run(name: str, question: str, settings: Settings, data: Data) -> Run | None:
    """Train, log and register one version. Of several processes (see `processes`) all call this; the first does all
    but the training alone, and the others get None.

    The MLflow run is FAILED if anything raises, and KILLED on Ctrl-C. If the process was killed, the same call in
    the same folder takes the run up again after its last epoch; if it had finished by then, it is not trained again
    (until `let_go`).
    """
    validation = data.lines["validation"]
    if processes.number() > 0:
        train(settings, data.charset, data.lines["train"], validation)
        return None
    with own_checkpoint(name, settings, data) as claim:
        checkpoint = checkpoint_of(claim)
        if processes.count() == 1 and (earlier := finished(name, claim)):
            return earlier
        with tracking.tracked(EXPERIMENT, name, question, checkpoint) as run_id:
            log_inputs(settings, data)
            network, history = train(
                settings,
                data.charset,
                data.lines["train"],
                validation,
                on_epoch=lambda epoch, figures, predictions: tracking.tell(
                    run_id, checkpoint, epoch, figures, shown(validation, predictions)
                ),
                checkpoint=checkpoint,
                start=start_of(settings),
            )
            tracking.send(run_id, checkpoint)
            log_curves(name, history)
            best = min(history, key=lambda figures: figures["val_cer"])
            tags = {"run_name": name, "data": ", ".join(data.sources), "data_digest": data.digest}
            version = registry.version_of_run(run_id) or register(
                tune(run_id, Recognizer.of(network, data.charset, settings.height), settings, data),
                example=255 - validation[0].image[0],
                description=f"{question} CER on the validation split: {best['val_cer']:.2%}.",
                tags=tags | {"val_cer": str(best["val_cer"])},
            )
            test_lines, test_figures = log_test(run_id, version, data)
        figures = {"val_cer": best["val_cer"], "val_wer": best["val_wer"], **test_figures}
        with replaced(checkpoint.with_suffix(".done")) as path:
            path.write_text(json.dumps({"run_id": run_id, "history": history, "figures": figures}))
        checkpoint.unlink()
        return Run(name, run_id, version, history, figures, test_lines, claim)


def finished(name: str, claim: FileLock) -> Run | None:
    """What the run left, if it finished in a process that was killed later."""
    done = checkpoint_of(claim).with_suffix(".done")
    if not done.exists():
        return None
    kept = json.loads(done.read_text())
    version = registry.version_of_run(kept["run_id"])
    if not version:
        return None  # it is on another tracking server, or was deleted
    table = mlflow.artifacts.load_dict(f"runs:/{kept['run_id']}/test_lines.json")
    test_lines = pd.DataFrame(table["data"], columns=table["columns"])
    return Run(name, version=version, test_lines=test_lines, claim=claim, **kept)


def start_of(settings: Settings) -> Recognizer | None:
    """What training starts from: nothing, the base model that comes with the project, or a registered version."""
    if not settings.start_from:
        return None
    if settings.start_from == "base":
        return Recognizer.load(BASE)
    return Recognizer.from_registry(registry.find_version(settings.start_from))


def register_base() -> ModelVersion:
    """The base model that comes with the project as a version of both models, with the alias `base`; the same weights
    are registered once. Returns that of `MODEL_NAME`.
    """
    digest = hashlib.sha256((BASE / "weights.safetensors").read_bytes()).hexdigest()[:16]
    client = mlflow.MlflowClient()
    versions = client.search_model_versions(f"name = '{registry.MODEL_NAME}' and tag.weights_digest = '{digest}'")
    if versions:
        version = versions[0]
    else:
        example = read_picture(min(TEST_INPUTS.glob("*.png")))
        description = "Reads real hands, English and French: the base model that comes with the project."
        version = register(Recognizer.load(BASE), example, description, {"run_name": "base", "weights_digest": digest})
    registry.set_alias(version, "base")
    return version


@contextmanager
def own_checkpoint(name: str, settings: Settings, data: Data) -> Iterator[FileLock]:
    """The lock of a checkpoint file for this run, which no other process writes to; held until it is let go of.

    It is the one that a killed run of the same name, settings, data and code left, if there is one.
    """
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))
    fingerprint = hashlib.sha256(repr((settings, data.sources, data.digest)).encode() + code).hexdigest()[:12]
    CHECKPOINTS.mkdir(exist_ok=True)
    for number in itertools.count(1):
        claim = FileLock(CHECKPOINTS / f"{name}-{fingerprint}-{number}.lock")
        try:
            claim.acquire(blocking=False)
        except Timeout:
            continue  # a run that is still going on
        try:
            for killed in CHECKPOINTS.glob(f".{checkpoint_of(claim).stem}-*"):
                shutil.rmtree(killed)  # while it was written
            yield claim
        except BaseException:
            claim.release()
            raise
        return


def checkpoint_of(claim: FileLock) -> Path:
    """The checkpoint file that a lock belongs to."""
    return Path(claim.lock_file).with_suffix(".pt")


def shown(lines: Sequence[Line], predictions: list[str]) -> np.ndarray:
    """A picture (H, W, 4) of some of the lines with what was read in them."""
    some = np.linspace(0, len(lines) - 1, min(SHOWN, len(lines))).astype(int)
    texts = [lines[i].text for i in some]
    figure = pictures.line_sheet([lines[i].image for i in some], texts, texts, [predictions[i] for i in some])
    figure.canvas.draw()
    picture = np.array(figure.canvas.buffer_rgba())
    plt.close(figure)
    return picture


def log_inputs(settings: Settings, data: Data) -> None:
    """What the run starts from: settings, data set with its digest, charset, rejected rows, git commit."""
    mlflow.log_params(dataclasses.asdict(settings) | {"data": ", ".join(data.sources)})
    mlflow.set_tag(MLFLOW_GIT_COMMIT, get_git_commit(str(Path(__file__).parent)) or "none")
    for source, location in zip(data.sources, data.locations, strict=True):
        log_data_set(Path(source).name, location, data)
    mlflow.log_text(data.charset.characters, "charset.txt")
    for name, table in (("rejected_rows", data.rejected), ("leaks", data.leaks)):
        mlflow.log_text(table.to_csv(index=False), f"{name}.csv")
        mlflow.set_tag(name, len(table))


def log_data_set(name: str, location: str, data: Data) -> None:
    """The splits of one of the data sets that a run uses, and where it is, if MLflow knows such an address."""
    path, source = Path(location).expanduser(), None
    with warnings.catch_warnings(), suppress(MlflowException):
        warnings.filterwarnings("ignore", "The specified dataset source can be")  # MLflow has two names for a file
        source = resolve_dataset_source(path.resolve().as_uri() if path.exists() else location)
    own = data.rows[data.rows["data"] == location]
    for split, context in zip(dataset.SPLITS, ("training", "validation", "testing"), strict=True):
        table = own.loc[own["split"] == split, ["text", "writer", "split", "source"]]
        if len(table):
            mlflow.log_input(
                mlflow.data.from_pandas(table, source, name=f"{name} {split}", digest=data.digest), context=context
            )


def log_curves(name: str, history: list[dict[str, float]]) -> None:
    """`loss.png`, `val_loss.png` and `avg_edit_distance.png`."""
    for file, figure_name in CURVES.items():
        figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
        pictures.draw_curve(ax, {name: history}, figure_name, figure_name)
        mlflow.log_figure(figure, f"{file}.png")
        plt.close(figure)


def log_once(run_id: str, figures: dict[str, float]) -> None:
    """Log figures of the run as a whole, unless MLflow has them: the run may have been killed just after that."""
    if not figures.keys() <= mlflow.MlflowClient().get_run(run_id).data.metrics.keys():
        mlflow.log_metrics(figures)


def tune(run_id: str, recognizer: Recognizer, settings: Settings, data: Data) -> Recognizer:
    """Give the recogniser what it learns from the validation split (see `tuning`), and log the figures of it.

    The language model is counted from the training transcriptions, and from the user's text file if there is one.
    """
    texts = list(data.rows.loc[data.rows["split"] == "train", "text"])
    if settings.texts:
        texts += map(dataset.normalize, Path(settings.texts).expanduser().read_text("utf-8").splitlines())
    recognizer, figures, outcomes = tuning.tuned(recognizer, texts, data.lines["validation"])
    log_once(run_id, figures)
    figure = pictures.reliability_diagram(outcomes)
    mlflow.log_figure(figure, "reliability.png")
    plt.close(figure)
    return recognizer


def log_test(run_id: str, version: ModelVersion, data: Data) -> tuple[pd.DataFrame, dict[str, float]]:
    """Read the test rows with a registered version; returns the table line by line, and `test_cer`, `test_wer`.
    Logged as well: `test_ece`, of the confidence in whole lines.

    Rows that could not be trained on count too, as long as their pictures can be read. What MLflow has already of a
    run that was killed at this point is not logged again.
    """
    lines, _ = compare(Recognizer.from_registry(version), data.rows[data.rows["split"] == "test"], images=data.images)
    figures = {f"test_{name}": figure for name, figure in error_rates(lines).items()}
    if "test_lines.json" not in {file.path for file in mlflow.MlflowClient().list_artifacts(run_id)}:
        mlflow.log_table(lines, "test_lines.json")  # it would add to the table
    log_once(run_id, figures | {"test_ece": calibration_error(lines)})
    return lines, figures


def crown(runs: Sequence[Run]) -> ModelVersion:
    """Give the alias `champion` to the version with the lowest CER on the validation split.

    Versions of earlier runs on the same data take part; versions of other data cannot be compared and do not.
    """
    client = mlflow.MlflowClient()
    digest = runs[0].version.tags["data_digest"]
    rivals = client.search_model_versions(f"name = '{registry.MODEL_NAME}' and tag.data_digest = '{digest}'")
    champion = min(rivals, key=lambda version: (float(version.tags["val_cer"]), int(version.version)))
    registry.set_alias(champion, "champion")
    let_go(runs)
    return champion


def let_go(runs: Sequence[Run]) -> None:
    """Keep nothing more of the runs outside MLflow: from here on the same call of `run` trains anew."""
    for run in runs:
        if run.claim.is_locked:
            tracking.forget(checkpoint_of(run.claim))
            run.claim.release()


def summary(runs: Sequence[Run], champion: ModelVersion) -> pd.DataFrame:
    """A row a run: its version, its best CER and WER on the validation split, and those of its version on test."""
    table = pd.DataFrame(
        {
            "run": run.name,
            "version": int(run.version.version),
            "epochs": len(run.history),
            **{name: f"{figure:.1%}" for name, figure in run.figures.items()},
            "champion": "*" if run.version.version == champion.version else "",
        }
        for run in runs
    )
    return table.set_index("run")
