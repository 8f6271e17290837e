"""One training as an MLflow run: from a data set and settings to a registered version, and to the champion."""

import dataclasses
import itertools
import json
import logging
from collections.abc import Sequence
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from project.atomic import replaced
from project.data.dataset import Data, Line
from project.data.rows import of_split
from project.evaluation.scoring import calibration_errors, error_rates, evaluate_rows
from project.recognition.network import CRNN
from project.recognition.recognizer import Recognizer
from project.tracking import champion, mlflow_run, registry, report
from project.tracking.logged_models import MODEL_NAME, log_models
from project.tracking.run_folder import RunFolder
from project.tracking.store import open_store
from project.training import parallel, tuning
from project.training.languages import candidates, read_prose
from project.training.loop import train, training_device
from project.training.settings import FINE_TUNING_RATE, Settings

EXPERIMENT = "handwriting-recognition"
CHECKPOINTS = ("local", "registry")  # on this machine only, or as logged models of the run too


log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: where it is in MLflow, its metrics by epoch and as a whole, its test lines as a table, and its
    folder, claimed so that no other process takes the run for its own.
    """

    name: str
    run_id: str
    version: ModelVersion
    history: list[dict[str, float]]
    metrics: dict[str, float]
    test_lines: pd.DataFrame
    folder: RunFolder


def run(
    name: str,
    question: str,
    settings: Settings,
    data: Data,
    start: Recognizer | None = None,
    checkpoints: str = "local",
) -> Run | None:
    """Train, log and register one version. start: what `registry.load_start` returns for `settings.start_from`.
    checkpoints: one of `CHECKPOINTS`; on this machine there is one in any case.

    Of several processes (see `parallel`) all call this; rank 0 does all but the training alone, and the others get
    None. The MLflow run is FAILED if anything raises, and KILLED on Ctrl-C. If the process was killed, the same call in
    the same folder resumes the run after its last epoch; if it had finished by then, it is not trained again (until
    `release`). Raise InputError before the training if `texts` or the champion cannot be read.
    """
    if bool(settings.start_from) != bool(start):
        raise TypeError(f"start_from is {settings.start_from!r}, and start is {start}")
    settings, validation = settings.on(training_device()), data.lines["validation"]
    if parallel.rank() > 0:
        if not parallel.broadcast(None):
            train(settings, data.charset, data.lines["train"], validation)
        return None
    if settings.texts:
        read_prose(settings.texts)  # what is wrong with it is told before the training
    open_store()
    check_champion()
    made_from = (settings, data.names, data.digest, data.charset.characters, mlflow.get_tracking_uri())
    folder = RunFolder.claim(name, *made_from)
    try:
        earlier = finished(name, folder)
        if parallel.broadcast(earlier is not None):
            return earlier
        with mlflow_run.resumable_run(EXPERIMENT, name, question, folder) as run_id:
            report.log_inputs(settings, data)

            def on_weights(epoch: int, network: CRNN) -> None:
                if checkpoints == "registry":
                    recognizer = Recognizer.from_network(network, data.charset, settings.height)
                    log_checkpoint(run_id, epoch, recognizer, validation[0])

            def on_epoch(epoch: int, metrics: dict[str, float], predictions: list[str]) -> None:
                picture = report.prediction_sheet(validation, predictions)
                mlflow_run.log_epoch(run_id, folder, epoch, metrics, picture)

            network, history = train(
                settings,
                data.charset,
                data.lines["train"],
                validation,
                on_epoch,
                folder.checkpoint,
                start,
                on_weights,
            )
            mlflow_run.flush(run_id, folder)
            report.log_curves(name, history)
            best = min(history, key=lambda metrics: metrics["val_cer"])
            best_epoch = 1 + history.index(best)
            tags = {"run_name": name, "data": ", ".join(data.names), "data_digest": data.digest}
            trained = Recognizer.from_network(network, data.charset, settings.height)
            version = registry.version_of_run(run_id) or registry.register(
                tune(run_id, trained, settings, data, start, best_epoch),
                example=255 - validation[0].image[0],
                description=f"{question} CER on the validation split: {best['val_cer']:.2%}.",
                tags=tags | {"val_cer": str(best["val_cer"])},
            )
            report.log_validation(run_id, version, data, best_epoch)
            test_lines, test_metrics = read_test(run_id, version, data)
        metrics = {"val_cer": best["val_cer"], "val_wer": best["val_wer"], **test_metrics}
        with replaced(folder.result) as path:
            path.write_text(json.dumps({"run_id": run_id, "history": history, "metrics": metrics}))
        folder.checkpoint.unlink()
    except BaseException:
        folder.release()
        raise
    return Run(name, run_id, version, history, metrics, test_lines, folder)


def finished(name: str, folder: RunFolder) -> Run | None:
    """Return the run of a folder, if it had finished when its process was killed."""
    if not folder.result.exists():
        return None
    result = json.loads(folder.result.read_text())
    version = registry.version_of_run(result["run_id"])
    if not version:
        return None  # it was deleted
    table = mlflow.artifacts.load_dict(f"runs:/{result['run_id']}/test_lines.json")
    test_lines = pd.DataFrame(table["data"], columns=table["columns"])
    return Run(name, version=version, test_lines=test_lines, folder=folder, **result)


def log_checkpoint(run_id: str, epoch: int, recognizer: Recognizer, line: Line) -> None:
    """Log the network of an epoch as a logged model of the active run, with the epoch as its step. Idempotent. A server
    that does not answer is no reason to stop: the epoch has no logged model then.
    """
    try:
        with mlflow_run.fail_fast():
            if epoch not in registry.checkpoints_of(run_id):
                log_models(recognizer, 255 - line.image[0], step=epoch, names=[MODEL_NAME])
    except Exception as error:  # HTTP, SQL, S3: whatever the store raises, training goes on
        log.warning("the checkpoint of epoch %d could not be logged: %s", epoch, str(error).split(" (Caused by ")[0])


def settings_of(start: Recognizer | None) -> dict[str, Any]:
    """Return the settings that a training takes from its start: the network's shape, and a lower learning rate."""
    return {"learning_rate": FINE_TUNING_RATE, **start.shape} if start else {}


def texts_of(settings: Settings, data: Data) -> list[str]:
    """Select the transcriptions that a language model may be built from: those of the training rows, but for writers
    whose texts stay private.
    """
    rows = of_split(data.rows, "train")
    private = tuple(filter(None, settings.private_writers.split(",")))
    return [text for text, writer in zip(rows["text"], rows["writer"], strict=True) if not writer.startswith(private)]


def tune(
    run_id: str, recognizer: Recognizer, settings: Settings, data: Data, start: Recognizer | None, best_epoch: int
) -> Recognizer:
    """Return the recogniser with a language model and calibrations (see `tuning`), and log the metrics of it. The
    language model of its start is used where the characters are the same and no new one fits better.
    """
    prose = read_prose(settings.texts) if settings.texts else {}
    choice = candidates(texts_of(settings, data), prose, recognizer.charset)
    if start and start.language and start.charset.characters == recognizer.charset.characters:
        choice = itertools.chain([start.language], choice)
    recognizer, metrics, outcomes = tuning.tuned(recognizer, choice, data.lines["validation"])
    report.log_tuning(run_id, metrics, outcomes, best_epoch)
    return recognizer


def read_test(run_id: str, version: ModelVersion, data: Data) -> tuple[pd.DataFrame, dict[str, float]]:
    """Read the test rows with a registered version; return the table line by line, and `test_cer`, `test_wer`.
    Logged as well: `test_ece`, of the confidence in whole lines, and `test_ece_by_chance`.

    Rows that could not be trained on count too, as long as their pictures can be read.
    """
    rows = of_split(data.rows, "test")
    lines, _ = evaluate_rows(registry.load_recognizer(version), rows, images=data.images)
    metrics = {f"test_{name}": value for name, value in error_rates(lines).items()}
    errors = {f"test_{name}": value for name, value in calibration_errors(lines).items()}
    report.log_test(run_id, version, lines, metrics | errors, data)
    return lines, metrics


def read_split(version: ModelVersion, data: Data, split: str = "test") -> tuple[Recognizer, pd.DataFrame]:
    """Read the rows of a split with a registered version, whatever the height of its line images.

    Returns its recogniser, and the table of `evaluate_rows` with a column `line_image`, uint8 (1, height, W).
    """
    recognizer = registry.load_recognizer(version)
    rows, images = data.at_height(of_split(data.rows, split).index, recognizer.height)
    lines, _ = evaluate_rows(recognizer, rows, images=images)
    index_of = dict(zip(rows["source"], rows.index, strict=True))
    return recognizer, lines.assign(line_image=[images[index_of[source]] for source in lines["source"]])


def check_champion() -> None:
    """Raise InputError if there is a champion that cannot be read: `promote_best` will compare with it."""
    if version := champion.current():
        registry.check_version(version)


def promote_best(runs: Sequence[Run], data: Data) -> ModelVersion:
    """Make the version with the lowest CER on the validation split of `data` the champion: one of these runs, or the
    champion before them, which reads these lines for it. Return it, and release the runs.

    If another training promotes its own version meanwhile, that is the one to compare with.
    """
    cers = {int(run.version.version): run.metrics["val_cer"] for run in runs}
    best = min((run.version for run in runs), key=lambda version: (cers[int(version.version)], int(version.version)))
    best_cer, promoted = cers[int(best.version)], False
    while not promoted:
        before, why = champion.current(), f"CER {best_cer:.2%} on the validation split of {', '.join(data.names)}"
        if before:
            cer = cers[int(before.version)] if int(before.version) in cers else validation_cer(before, data)
            if (cer, int(before.version)) <= (best_cer, int(best.version)):
                best = before
                break
            why += f"; version {before.version} has {cer:.2%}"
        promoted = champion.promote(best, why, instead_of=before)
    release(runs)
    return best


def validation_cer(version: ModelVersion, data: Data) -> float:
    """Return the CER of a registered version on the validation lines, at the height that it reads."""
    recognizer = registry.load_recognizer(version)
    rows, images = data.at_height(data.lines["validation"].rows, recognizer.height)
    return error_rates(evaluate_rows(recognizer, rows, images=images)[0])["cer"]


def release(runs: Sequence[Run]) -> None:
    """Delete what is kept of the runs on this machine: from here on the same call of `run` trains anew."""
    for run in runs:
        if run.folder.is_claimed:
            run.folder.delete()
            run.folder.release()


def summary(runs: Sequence[Run], champion: ModelVersion) -> pd.DataFrame:
    """Return a row for each run: its version, its best CER and WER on the validation split, and those on test."""
    table = pd.DataFrame(
        {
            "run": run.name,
            "version": int(run.version.version),
            "epochs": len(run.history),
            **{name: f"{value:.1%}" for name, value in run.metrics.items()},
            "champion": "*" if run.version.version == champion.version else "",
        }
        for run in runs
    )
    return table.set_index("run")
