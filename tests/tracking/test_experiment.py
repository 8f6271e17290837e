"""A run in MLflow, on a small table with what real tables have: an unreadable picture, short lines, an odd letter."""

import dataclasses
import os
import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from project.data.dataset import load_data
from project.evaluation.scoring import evaluate_rows
from project.recognition.charset import Charset
from project.recognition.decoding import LanguageModel
from project.recognition.ngram import NGram
from project.tracking import champion, experiment, mlflow_run, registry, report
from project.tracking.registry import register_base
from project.tracking.run_folder import CHECKPOINTS
from project.training import tuning
from project.training.settings import Settings
from tests.conftest import MLFLOW
from tests.rows import read_rows

SETTINGS = Settings(epochs=3, channels=32, lstm_units=16, lstm_layers=1, patience=1000)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A tracking store of our own: MLflow's default one, in an empty folder."""
    folder, before, folder_before = tmp_path_factory.mktemp("store"), mlflow.get_tracking_uri(), Path.cwd()
    os.chdir(folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    yield folder
    mlflow.set_tracking_uri(before)
    os.chdir(folder_before)


@pytest.fixture(scope="module")
def data(store, table):
    return load_data(str(table), height=SETTINGS.height, seed=1, synthetic_lines={})


@pytest.fixture(scope="module")
def twins(data):
    return [experiment.run("twin", "Are two runs of the same seed the same?", SETTINGS, data) for _ in range(2)]


def own_store(folder):
    return {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}


def history(run_id, name):
    return [(m.step, m.value) for m in mlflow.MlflowClient().get_metric_history(run_id, name)]


def test_rows_that_cannot_be_used_are_left_out_and_listed(data, twins, table):
    assert {split: len(lines) for split, lines in data.lines.items()} == {"train": 24, "validation": 3, "test": 3}
    listed = mlflow.artifacts.load_text(f"runs:/{twins[0].run_id}/rejected_rows.csv")
    assert f"{table}:25,table,{table.parent}/missing.png: no such file" in listed
    assert f"{table}:29,ß," in listed
    assert mlflow.get_run(twins[0].run_id).data.tags["rejected_rows"] == "2"


def test_a_picture_that_is_in_two_splits_is_reported(data, twins, table):
    # Words come again after 10 lines and sizes after 4, so lines 20 to 29 are lines 0 to 9 once more; and ß is line 0.
    listed = mlflow.artifacts.load_text(f"runs:/{twins[0].run_id}/leaks.csv").splitlines()
    leaked = [1, 5, 6, 7, 8, 9, 10, 21, 26, 27, 28, 29, 30, 31, 32]  # counted from 1, two rows put in between
    assert [line.split(",")[0] for line in listed] == ["source", *(f"{table}:{row}" for row in leaked)]
    assert f"{table}:29,test,ß,picture" in listed
    assert mlflow.get_run(twins[0].run_id).data.tags["leaks"] == "15"


def test_a_character_that_training_never_saw_counts_as_an_error_of_the_test(twins):
    assert "ß" in set(twins[0].test_lines["text"])
    assert len(twins[0].test_lines) == 4


def test_two_runs_with_the_same_seed_have_the_same_metrics(twins):
    first, second = (twin.run_id for twin in twins)
    assert first != second
    for name in ("train_loss", "val_loss", "val_cer", "val_wer", "avg_edit_distance", "test_cer", "test_wer"):
        assert history(first, name) == history(second, name), name


def test_a_run_logs_how_sure_its_version_may_be_and_what_the_language_model_gives(twins):
    logged = mlflow.get_run(twins[0].run_id).data.metrics
    assert {"val_cer_beam", "val_ece", "val_ece_beam", "val_ece_before", "test_ece"} <= logged.keys()
    files = {file.path for file in mlflow.MlflowClient().list_artifacts(twins[0].run_id)}
    assert "reliability.png" in files
    recognizer = registry.load_recognizer(twins[0].version)
    assert recognizer.calibrations.keys() == {"best_path", "beam"}
    assert (recognizer.language is None) == ("lm_weight" not in logged)
    assert twins[0].test_lines["confidence"].between(0, 1).all()


def test_texts_of_writers_that_are_to_stay_private_are_in_no_language_model(data):
    rows = data.rows.query("split == 'train'").reset_index(drop=True)
    some = dataclasses.replace(
        data, rows=rows.assign(writer=["ada", "bob"] * (len(rows) // 2) + ["al"] * (len(rows) % 2))
    )
    assert experiment.texts_of(SETTINGS, some) == list(rows["text"])
    settings = dataclasses.replace(SETTINGS, private_writers="nobody,a")
    assert experiment.texts_of(settings, some) == list(some.rows.query("writer == 'bob'")["text"])


def test_the_language_model_is_made_of_a_text_file_too_which_is_read_before_the_training(
    data, twins, store, monkeypatch
):
    letters = store / "letters.txt"
    letters.write_bytes("\ufeffDear  Ann,\r\ncafe\u0301\n".encode())
    settings = dataclasses.replace(SETTINGS, texts=str(letters))
    assert experiment.texts_of(SETTINGS, data) == [line.text for line in data.lines["train"]]
    handed = []
    with monkeypatch.context() as patched:
        patched.setattr(experiment, "candidates", lambda *how: handed.append(how))
        patched.setattr(tuning, "tuned", lambda recognizer, *how: (recognizer, {}, {}))
        patched.setattr(report, "log_tuning", lambda *how: None)
        experiment.tune("", registry.load_recognizer(twins[0].version), settings, data, None, best_epoch=1)
    assert handed[0][:2] == (experiment.texts_of(settings, data), {"letters": ["Dear Ann,", "caf\u00e9"]})
    letters.write_bytes("café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"letters\.txt: not UTF-8"):
        experiment.run("unread", "Is anything trained?", settings, data)
    assert not mlflow.search_runs(filter_string="run_name = 'unread'", output_format="list")


def test_a_killed_run_is_taken_up_again_without_a_gap_or_a_duplicate(data, twins, monkeypatch):
    log_epoch = mlflow_run.log_epoch

    def killed(run_id, folder, epoch, *rest):
        log_epoch(run_id, folder, epoch, *rest)
        if epoch == 2:
            raise KeyboardInterrupt

    question = "Does it go on?"
    with monkeypatch.context() as patched:
        patched.setattr(mlflow_run, "log_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            experiment.run("resumed", question, SETTINGS, data)
    interrupted = mlflow.search_runs(filter_string="run_name = 'resumed'", output_format="list")
    assert [run.info.status for run in interrupted] == ["KILLED"]

    resumed = experiment.run("resumed", question, SETTINGS, data)
    assert resumed.run_id == interrupted[0].info.run_id
    assert mlflow.get_run(resumed.run_id).info.status == "FINISHED"
    for name in ("train_loss", "val_loss", "val_cer"):
        assert history(resumed.run_id, name) == history(twins[0].run_id, name)
    assert not list(CHECKPOINTS.glob("*/checkpoint.pt"))


def test_a_run_that_had_finished_is_not_trained_again_until_it_is_released(data, twins):
    first = experiment.run("once", "Is it trained twice?", SETTINGS, data)
    first.folder.release()  # as it is when the process is killed
    again = experiment.run("once", "Is it trained twice?", SETTINGS, data)
    assert (again.run_id, again.version.version) == (first.run_id, first.version.version)
    assert (again.history, again.metrics) == (first.history, first.metrics)
    pd.testing.assert_frame_equal(again.test_lines, first.test_lines)
    experiment.release([again])
    assert experiment.run("once", "Is it trained twice?", SETTINGS, data).run_id != first.run_id


def test_a_run_in_which_something_fails_is_failed(data, monkeypatch):
    def broken(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(report, "log_curves", broken)
    with pytest.raises(OSError, match="No space left"):
        experiment.run("broken", "Does it say so?", SETTINGS, data)
    (run,) = mlflow.search_runs(filter_string="run_name = 'broken'", output_format="list")
    assert run.info.status == "FAILED"


def as_read(run, cer, version=None):
    """The run, had it this CER on the validation split; and this version."""
    return dataclasses.replace(run, metrics=run.metrics | {"val_cer": cer}, version=version or run.version)


def test_the_champion_is_the_best_of_the_runs_and_the_champion_before_them(data, twins):
    client = mlflow.MlflowClient()
    first, second = twins
    assert experiment.promote_best([as_read(first, -1), as_read(second, -2)], data).version == second.version.version
    assert registry.find_version("champion").version == second.version.version
    assert experiment.promote_best([as_read(first, 100)], data).version == second.version.version
    assert experiment.promote_best([as_read(first, -1)], data).version == first.version.version
    registry.set_alias(second.version, "champion")  # rolled back: the better one was no good in use
    third = client.create_model_version(registry.MODEL_NAME, second.version.source)
    assert experiment.promote_best([as_read(first, 100, third)], data).version == second.version.version
    assert registry.find_version("latest").version == third.version
    client.delete_model_version(third.name, third.version)


@pytest.mark.parametrize("height", [SETTINGS.height, 40])  # of these data's line images, not of the champion's
def test_a_champion_of_other_data_stays_if_it_reads_these_better(table, twins, height):
    data = load_data(str(table), height=height, seed=1, synthetic_lines={})
    client, source = mlflow.MlflowClient(), twins[0].version.source
    leader = client.create_model_version(registry.MODEL_NAME, source)
    other = client.create_model_version(registry.MODEL_NAME, source)
    if height != SETTINGS.height:
        with pytest.raises(ValueError, match="the line images are 40 px high, but this version reads 32 px"):
            evaluate_rows(registry.load_recognizer(leader), data.rows, images=data.images)
    registry.set_alias(leader, "champion")  # what it reads here lies between the next two
    assert experiment.promote_best([as_read(twins[0], 100, other)], data).version == leader.version
    assert experiment.promote_best([as_read(twins[0], -1, other)], data).version == other.version
    for made in (leader, other):
        client.delete_model_version(made.name, made.version)


def test_where_a_twin_was_deleted_its_version_has_the_alias_alone_and_the_base_is_registered_anew(store):
    client, version = mlflow.MlflowClient(), register_base()
    reader = version.tags[registry.READER_NAME]
    client.delete_model_version(registry.READER_NAME, reader)
    registry.set_alias(version, "favourite")
    assert registry.find_version("favourite").version == version.version
    again = register_base()
    assert again.version != version.version
    assert (
        str(registry.find_version("base", registry.READER_NAME).version) == again.tags[registry.READER_NAME] != reader
    )


def test_a_run_can_start_from_a_registered_version(data, twins):
    start = str(twins[0].version.version)
    settings = dataclasses.replace(SETTINGS, start_from=start, epochs=1, learning_rate=1e-9)
    tuned = experiment.run(
        "tuned", "Does it go on where the other stopped?", settings, data, registry.load_start(start)
    )
    assert mlflow.get_run(tuned.run_id).data.params["start_from"] == start
    kept, known = (registry.load_recognizer(run.version).network.head.weight for run in (tuned, twins[0]))
    assert torch.allclose(kept, known, atol=1e-6)
    with pytest.raises(ValueError, match="start_from: cnn_text_identifier has no version '99'"):
        registry.load_start("99")


def test_a_start_hands_on_its_language_model_where_the_labels_are_the_same(data, twins, monkeypatch):
    handed, recognizer = [], registry.load_recognizer(twins[0].version)
    language = LanguageModel(NGram.from_texts(["a"], recognizer.charset, 3), 0.4, 1.0)
    start = dataclasses.replace(recognizer, language=language)
    other = dataclasses.replace(start, charset=Charset(start.charset.characters[::-1]))
    monkeypatch.setattr(report, "log_tuning", lambda *how: None)
    monkeypatch.setattr(experiment, "candidates", lambda *how: [])
    monkeypatch.setattr(
        tuning, "tuned", lambda recognizer, choice, lines: handed.append(list(choice)) or (recognizer, {}, {})
    )
    for one in (start, other, dataclasses.replace(recognizer, language=None), None):
        experiment.tune(twins[0].run_id, recognizer, SETTINGS, data, one, best_epoch=1)
    assert handed == [[language], [], [], []]


def metrics_of(version):
    """The metrics of each logged model of a version: name, data set -> value."""
    models = [mlflow.MlflowClient().get_logged_model(one) for one in registry.model_ids(version)]
    return [{(metric.key, metric.dataset_name): metric.value for metric in model.metrics} for model in models]


def test_both_models_of_a_version_have_its_metrics_with_the_data_they_are_of(twins):
    both = metrics_of(twins[0].version)
    assert len(both) == 2
    for metrics in both:
        for name in ("val_cer", "val_wer"):
            assert metrics[name, "words.csv validation"] == twins[0].metrics[name]
        assert metrics["test_cer", "words.csv test"] == twins[0].metrics["test_cer"]
        assert {("val_loss", "words.csv validation"), ("val_ece", "words.csv validation")} <= metrics.keys()


def test_a_checkpoint_of_each_epoch_is_a_logged_model_from_which_a_training_can_start(data, twins):
    settings = dataclasses.replace(SETTINGS, epochs=2)
    run = experiment.run("kept", "Is every epoch kept?", settings, data, checkpoints="registry")
    models = registry.checkpoints_of(run.run_id)
    assert sorted(models) == [1, 2]
    logged = {metric.key: metric.value for metric in mlflow.MlflowClient().get_logged_model(models[1]).metrics}
    assert logged["val_cer"] == run.history[0]["val_cer"]
    start = registry.load_start(f"runs:/{run.run_id}/1")
    assert start.charset.characters == data.charset.characters
    with pytest.raises(ValueError, match=r"no checkpoint of the epoch '9'; it has those of the epochs \[1, 2\]"):
        registry.load_start(f"runs:/{run.run_id}/9")
    with pytest.raises(ValueError, match="it has none"):
        registry.load_start(f"runs:/{twins[0].run_id}/1")


@pytest.mark.parametrize("lost", ["of another project", "its files were deleted"])
def test_a_champion_that_cannot_be_read_is_found_out_before_the_training(data, twins, tmp_path, lost):
    client = mlflow.MlflowClient()
    folder = tmp_path if lost == "of another project" else tmp_path / "deleted"
    broken = client.create_model_version(registry.MODEL_NAME, f"file:{folder}")
    registry.set_alias(broken, "champion")
    with pytest.raises(ValueError, match=f"version {broken.version}.* cannot be read: recognizer.json and weights"):
        experiment.run(lost, "Is anything trained?", SETTINGS, data)
    assert not mlflow.search_runs(filter_string=f"run_name = '{lost}'", output_format="list")
    client.delete_model_version(broken.name, broken.version)


def test_the_best_of_two_trainings_that_end_together_is_the_champion(data, twins, monkeypatch):
    (worse, better), promote, ended = (twin.version for twin in twins), champion.promote, []

    def promote_after_another(*how, instead_of):
        if not ended:
            ended.append(promote(better, "of a training that ended meanwhile", instead_of=instead_of))
        return promote(*how, instead_of=instead_of)

    monkeypatch.setattr(champion, "promote", promote_after_another)
    monkeypatch.setattr(
        experiment, "validation_cer", lambda version, data: -2 if version.version == better.version else 1
    )
    if now := champion.current():
        mlflow.MlflowClient().delete_registered_model_alias(now.name, "champion")
    assert experiment.promote_best([as_read(twins[0], -1)], data).version == better.version
    assert ended == [True]
    assert champion.current().version == better.version != worse.version


def test_the_base_model_is_registered_once(twins):
    version = register_base()
    assert register_base().version == version.version
    assert registry.find_version("base").version == version.version
    assert {("test_cer", "unipen test"), ("test_cer_beam", "all test")} <= metrics_of(version)[0].keys()
    reader = registry.load_recognizer(version)
    assert not reader.charset.unknown("Où est né l'œuvre? ABC xyz 0189 {|}~")


def test_several_data_sets_are_read_as_one(store, table, tmp_path):
    rows = read_rows(table).query("split == 'train'").head(5)
    rows.to_parquet(tmp_path / "more.parquet")
    both = load_data(str(table), str(tmp_path / "more.parquet"), height=36, seed=1, synthetic_lines={}, characters="€")
    assert len(both.lines["train"]) == 24 + 5
    assert not both.charset.unknown("€")


def test_the_summary_has_a_row_for_each_run(data, twins):
    table = experiment.summary(twins, experiment.promote_best(twins, data))
    assert list(table.index) == ["twin", "twin"]
    assert list(table["champion"]).count("*") == 1
    assert table["test_cer"].iloc[0] == f"{twins[0].metrics['test_cer']:.1%}"


@pytest.mark.parametrize(
    ("splits", "words"),
    [("", "0 training rows with a text are too few"), (["train", "train", "validation", "test"], "none of the 2 tr.*")],
)
def test_training_rows_without_any_text_are_told(store, tmp_path, splits, words):
    lines = pd.DataFrame({"image": ["a.png"] * 4, "text": [""] * 4, "split": splits})
    lines.to_csv(tmp_path / "empty.csv", index=False)
    with pytest.raises(ValueError, match=words):
        load_data(str(tmp_path / "empty.csv"), height=40, seed=1, synthetic_lines={})


def run_main(checkout, folder, *parameters):
    """`mlflow run . -P ...` with a tracking store of its own in `folder`."""
    command = [*MLFLOW, "run", str(checkout), "--env-manager", "local", "--experiment-name", "mlp"]
    for parameter in parameters:
        command += ["-P", parameter]
    return subprocess.run(command, cwd=folder, env=own_store(folder), capture_output=True, text=True)


def test_the_whole_notebook_runs_on_a_small_table(checkout, table, tmp_path):
    ran = run_main(checkout, tmp_path, f"data={table}", "epochs=1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "a test line: " in ran.stdout


def test_a_table_whose_pictures_are_all_missing_fails_in_words(checkout, tmp_path):
    table = tmp_path / "lost.csv"
    pd.DataFrame({"image": ["gone.png"] * 20, "text": np.repeat(list("ab"), 10)}).to_csv(table, index=False)
    ran = run_main(checkout, tmp_path, f"data={table}")
    assert ran.returncode == 1
    assert "rows of the split train can be used, the first because" in ran.stderr
    assert "gone.png: no such file" in ran.stderr
