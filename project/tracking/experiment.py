"""One training run in MLflow: from a data set and settings to a registered version, with all that it leaves behind."""

import dataclasses
import itertools
import json
from collections.abc import Sequence

import mlflow
import pandas as pd
from filelock import FileLock
from mlflow.entities.model_registry import ModelVersion

from project.atomic import replaced
from project.data.dataset import Data
from project.evaluation.scoring import calibration_errors, error_rates, evaluate_rows
from project.recognition.recognizer import Recognizer
from project.tracking import mlflow_run, registry, report
from project.tracking.registry import BASE, register
from project.tracking.run_folder import checkpoint_of, claim_run_folder
from project.training import parallel, tuning
from project.training.languages import candidates, read_prose
from project.training.loop import train, training_device
from project.training.settings import Settings

EXPERIMENT = "handwriting-recognition"


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


def run(name: str, question: str, settings: Settings, data: Data) -> Run | None:
    """Train, log and register one version. Of several processes (see `processes`) all call this; the first does all
    but the training alone, and the others get None.

    The MLflow run is FAILED if anything raises, and KILLED on Ctrl-C. If the process was killed, the same call in
    the same folder takes the run up again after its last epoch; if it had finished by then, it is not trained again
    (until `release`).
    """
    settings, validation = settings.on(training_device()), data.lines["validation"]
    if parallel.rank() > 0:
        if not parallel.broadcast(None):
            train(settings, data.charset, data.lines["train"], validation)
        return None
    if settings.texts:
        read_prose(settings.texts)  # it may not be readable: that is to be told before the training
    made_from = (settings, data.sources, data.digest, data.charset.characters, mlflow.get_tracking_uri())
    with claim_run_folder(name, *made_from) as claim:
        checkpoint, earlier = checkpoint_of(claim), finished(name, claim)
        if parallel.broadcast(earlier is not None):
            return earlier
        with mlflow_run.resumable_run(EXPERIMENT, name, question, checkpoint) as run_id:
            start = start_of(settings.start_from)
            report.log_inputs(settings, data)
            network, history = train(
                settings,
                data.charset,
                data.lines["train"],
                validation,
                on_epoch=lambda epoch, figures, predictions: mlflow_run.log_epoch(
                    run_id, checkpoint, epoch, figures, report.shown(validation, predictions)
                ),
                checkpoint=checkpoint,
                start=start,
            )
            mlflow_run.flush(run_id, checkpoint)
            report.log_curves(name, history)
            best = min(history, key=lambda figures: figures["val_cer"])
            tags = {"run_name": name, "data": ", ".join(data.sources), "data_digest": data.digest}
            trained = Recognizer.from_network(network, data.charset, settings.height)
            version = registry.version_of_run(run_id) or register(
                tune(run_id, trained, settings, data, start),
                example=255 - validation[0].image[0],
                description=f"{question} CER on the validation split: {best['val_cer']:.2%}.",
                tags=tags | {"val_cer": str(best["val_cer"])},
            )
            test_lines, test_figures = read_test(run_id, version, data)
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
        return None  # it was deleted
    table = mlflow.artifacts.load_dict(f"runs:/{kept['run_id']}/test_lines.json")
    test_lines = pd.DataFrame(table["data"], columns=table["columns"])
    return Run(name, version=version, test_lines=test_lines, claim=claim, **kept)


def start_of(start_from: str) -> Recognizer | None:
    """What training starts from: nothing, the base model that comes with the project, or a registered version."""
    if not start_from:
        return None
    if start_from == "base":
        return Recognizer.load(BASE)
    return registry.load_recognizer(registry.find_version(start_from, parameter="start_from"))


def texts_of(settings: Settings, data: Data) -> list[str]:
    """Select the transcriptions that a language model may be made of: those of the training rows, but for writers whose
    texts stay private.
    """
    rows = data.rows[data.rows["split"] == "train"]
    private = tuple(filter(None, settings.private_writers.split(",")))
    return [text for text, writer in zip(rows["text"], rows["writer"], strict=True) if not writer.startswith(private)]


def tune(run_id: str, recognizer: Recognizer, settings: Settings, data: Data, start: Recognizer | None) -> Recognizer:
    """Give the recogniser what it learns from the validation split (see `tuning`), and log the figures of it. What it
    started from hands on its language model, where the characters are the same and no new one fits better.
    """
    prose = read_prose(settings.texts) if settings.texts else {}
    choice = candidates(texts_of(settings, data), prose, recognizer.charset)
    if start and start.language and start.charset.characters == recognizer.charset.characters:
        choice = itertools.chain([start.language], choice)
    recognizer, figures, outcomes = tuning.tuned(recognizer, choice, data.lines["validation"])
    report.log_tuning(run_id, figures, outcomes)
    return recognizer


def read_test(run_id: str, version: ModelVersion, data: Data) -> tuple[pd.DataFrame, dict[str, float]]:
    """Read the test rows with a registered version; returns the table line by line, and `test_cer`, `test_wer`.
    Logged as well: `test_ece`, of the confidence in whole lines, and `test_ece_by_chance`.

    Rows that could not be trained on count too, as long as their pictures can be read.
    """
    lines, _ = evaluate_rows(
        registry.load_recognizer(version), data.rows[data.rows["split"] == "test"], images=data.images
    )
    figures = {f"test_{name}": figure for name, figure in error_rates(lines).items()}
    errors = {f"test_{name}": figure for name, figure in calibration_errors(lines).items()}
    report.log_test(run_id, lines, figures | errors)
    return lines, figures


def promote_best(runs: Sequence[Run], data: Data) -> ModelVersion:
    """Give the alias `champion` to the version with the lowest CER on the validation split of `data`: one of these
    runs, or the champion before them, which reads these lines for it.
    """
    client = mlflow.MlflowClient()
    rivals = [(run.figures["val_cer"], run.version) for run in runs]
    if number := client.get_registered_model(registry.MODEL_NAME).aliases.get("champion"):
        version = client.get_model_version(registry.MODEL_NAME, number)
        recognizer = registry.load_recognizer(version)
        rows, images = data.at_height(data.lines["validation"].rows, recognizer.height)
        rivals.append((error_rates(evaluate_rows(recognizer, rows, images=images)[0])["cer"], version))
    _, champion = min(rivals, key=lambda rival: (rival[0], int(rival[1].version)))
    registry.set_alias(champion, "champion")
    release(runs)
    return champion


def release(runs: Sequence[Run]) -> None:
    """Keep nothing more of the runs outside MLflow: from here on the same call of `run` trains anew."""
    for run in runs:
        if run.claim.is_locked:
            mlflow_run.delete(checkpoint_of(run.claim))
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
