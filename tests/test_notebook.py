"""The main job: the real notebook, run by `mlflow run .`, and what it leaves in MLflow."""

import json
import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from project.tracking import experiment, registry
from project.training.settings import Settings

RUNS = {"plain", "shortcut-and-augmentation", "from-base"}
PER_EPOCH = {"train_loss", "val_loss", "val_cer", "val_wer", "avg_edit_distance", "train_lines_per_s"}


@pytest.fixture(scope="module")
def runs(trained):
    found = mlflow.search_runs(experiment_names=[experiment.EXPERIMENT], output_format="list")
    return {run.info.run_name: run for run in found}


def artifacts(run, path=None):
    return {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, path)}


def test_it_prints_the_runs_the_champion_and_a_line_that_was_read(trained):
    table = trained[trained.rindex("epochs") :]
    for name in (*RUNS, "val_cer", "test_cer"):
        assert name in table
    assert "champion: cnn_text_identifier version" in table
    assert trained.count("champion: cnn_text_identifier version") == 1
    assert "a test line: " in table
    assert "it reads: " in table


def test_there_are_three_finished_runs_with_their_settings(runs, checkout):
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=checkout, text=True).strip()
    assert set(runs) == RUNS
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert run.data.params["epochs"] == "2"
        assert run.data.params["data"] == "synthetic"
        assert run.data.tags["mlflow.source.git.commit"] == commit
        assert run.data.tags["mlflow.note.content"].endswith("?")
        assert "system/cpu_utilization_percentage" in run.data.metrics
    for name in ("augmentation", "dropout", "shortcut_weight"):
        assert runs["plain"].data.params[name] == "0"
        assert runs["shortcut-and-augmentation"].data.params[name] == str(getattr(Settings, name))
    assert runs["from-base"].data.params["start_from"] == "base"


def test_every_epoch_has_its_metrics_and_its_picture(runs):
    client = mlflow.MlflowClient()
    for run in runs.values():
        for name in PER_EPOCH:
            history = client.get_metric_history(run.info.run_id, name)
            assert [metric.step for metric in history] == [1, 2], name
        losses = [metric.value for metric in client.get_metric_history(run.info.run_id, "train_loss")]
        assert losses[1] < losses[0]
        steps = [path for path in artifacts(run, "images") if path.endswith(".png")]
        assert len(steps) == 2


def test_a_run_says_what_it_was_made_from(runs):
    for run in runs.values():
        inputs = {tag.value: item.dataset for item in run.inputs.dataset_inputs for tag in item.tags}
        assert set(inputs) == {"training", "validation", "testing"}
        assert len({dataset.digest for dataset in inputs.values()}) == 1
        assert {"charset.txt", "rejected_rows.csv", "loss.png", "val_loss.png", "avg_edit_distance.png"} <= artifacts(
            run
        )


def test_the_table_of_test_lines_gives_the_figures_of_the_run(runs):
    for run in runs.values():
        path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="test_lines.json")
        lines = pd.DataFrame(**json.loads(Path(path).read_text()))
        assert len(lines) == 40
        cer = lines["edit_distance"].sum() / lines["text"].str.len().sum()
        assert run.data.metrics["test_cer"] == pytest.approx(cer)


def test_mlflow_s_ui_opens_the_experiments_as_model_training(runs):
    for name in (experiment.EXPERIMENT, "mlp"):
        tags = mlflow.get_experiment_by_name(name).tags
        assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_three_versions_are_registered_and_lead_back_to_their_runs(runs):
    for number in "123":
        version = registry.find_version(number)
        assert version.run_id == runs[version.tags["run_name"]].info.run_id
        assert "?" in version.description
        assert float(version.tags["val_cer"]) > 0


def test_the_champion_has_the_lowest_cer_on_the_validation_split(runs):
    client = mlflow.MlflowClient()
    champion = registry.find_version("champion")
    versions = [registry.find_version(number) for number in "123"]
    assert float(champion.tags["val_cer"]) == min(float(version.tags["val_cer"]) for version in versions)
    history = client.get_metric_history(runs[champion.tags["run_name"]].info.run_id, "val_cer")
    assert float(champion.tags["val_cer"]) == min(metric.value for metric in history)


def test_the_base_model_is_a_version_too_and_gives_the_run_that_starts_from_it_a_lead(runs):
    assert registry.find_version("base").version == "4"
    cers = {name: run.data.metrics["val_cer"] for name, run in runs.items()}
    assert cers["from-base"] < 0.5 < cers["plain"]


@pytest.mark.parametrize("model_version", ["1", "2", "3", "latest", "champion", "base"])
def test_every_version_loads_without_pickle_and_reads_its_own_example(trained, monkeypatch, model_version):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    version = registry.find_version(model_version)
    model = mlflow.pyfunc.load_model(registry.version_uri(version))
    log_probs = np.array(model.predict(model.input_example))
    classes = model.metadata.signature.outputs.inputs[0].shape[2]
    assert log_probs.shape[::2] == (1, classes)
    assert np.exp(log_probs).sum(axis=2) == pytest.approx(1, abs=0.05)
    requirements = mlflow.pyfunc.get_model_dependencies(registry.version_uri(version))
    assert all("==" in line for line in Path(requirements).read_text().split())
