"""Two processes that train together, as torchrun starts them, against one that trains alone."""

import dataclasses
import json
import os
import subprocess
import sys

import mlflow
import pandas as pd
import pytest
import torch
from PIL import Image

from project.recognition.charset import Charset
from project.recognition.network import CRNN
from project.recognition.recognizer import Recognizer
from project.tracking import registry
from project.training.loop import train
from tests.conftest import MLFLOW, ROOT
from tests.training.test_loop import SMALL, written

TOGETHER = """
import dataclasses, json, sys
from pathlib import Path
from project.training import parallel
from project.training.loop import train
from tests.training.test_processes import CHARSET, SETTINGS, lines, start

folder = Path(sys.argv[1])

def tell(epoch, figures, predictions):
    with (folder / "told.jsonl").open("a") as file:
        file.write(json.dumps(figures) + "\\n")
    if epoch == 2:
        raise RuntimeError("killed")

with parallel.process_group():
    known = (folder / "checkpoint.pt", start()) if parallel.rank() == 0 else ()
    train(SETTINGS, CHARSET, lines(), lines(), tell, *known)
"""
CHARSET = Charset("abelot ")
SETTINGS = dataclasses.replace(SMALL, epochs=4, batch_width=250, augmentation=1.0, dropout=0.2, micro_batches=3)


def lines():
    return [written(text, CHARSET) for text in ("a", "bob", "table", "to bell", "a boat", "lot", "belt", "oboe", "to")]


def start():
    torch.manual_seed(99)
    return Recognizer.from_network(
        CRNN(len(CHARSET), SMALL.channels, SMALL.lstm_units, SMALL.lstm_layers), CHARSET, SMALL.height
    )


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """What two processes left, that began with what the first knew: two epochs of four, when the first failed."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "together.py").write_text(TOGETHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [*command, folder / "together.py", folder], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode != 0
    assert "RuntimeError: killed" in ran.stderr
    return folder


@pytest.fixture(scope="module")
def alone():
    return train(SETTINGS, CHARSET, lines(), lines(), start=start())


def test_two_processes_have_the_losses_of_one(joined, alone):
    told = [json.loads(line) for line in (joined / "told.jsonl").read_text().splitlines()]
    assert len(told) == 2
    for figures, expected in zip(told, alone[1], strict=False):
        for name in ("train_loss", "val_loss"):
            assert figures[name] == pytest.approx(expected[name], rel=1e-4)


def test_what_two_processes_began_one_can_finish(joined, alone):
    heard = []
    checkpoint = joined / "checkpoint.pt"
    _, history = train(SETTINGS, CHARSET, lines(), lines(), lambda epoch, *rest: heard.append(epoch), checkpoint)
    assert heard == [2, 3, 4]
    for figures, expected in zip(history, alone[1], strict=True):
        assert figures["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-3)


def versions():
    found = mlflow.MlflowClient().search_model_versions(f"name = '{registry.MODEL_NAME}'")
    return {int(version.version): version.run_id for version in found}


def train_together(checkout, table):
    """`mlflow run . -e train` on two processes."""
    command = [*MLFLOW, "run", str(checkout), "-e", "train", "--env-manager", "local", "--experiment-name", "mlp"]
    command += ["-P", f"data={table}", "-P", "epochs=2", "-P", "processes=2", "-P", f"texts={table.parent}/letters.txt"]
    return subprocess.run(command, cwd=table.parent, capture_output=True, text=True)


def test_two_processes_make_one_run_and_one_version(checkout, tracking_server, tmp_path):
    rows = [(f"{number}.png", text) for number, text in enumerate(("a", "boat", "table", "lot") * 10)]
    for name, text in rows:
        Image.fromarray(255 - written(text, CHARSET).image[0]).save(tmp_path / name)
    pd.DataFrame(rows, columns=["image", "text"]).to_csv(tmp_path / "lines.csv", index=False)
    (tmp_path / "letters.txt").write_text("a boat on the table")
    before = versions()
    ran = train_together(checkout, tmp_path / "lines.csv")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (figures,) = (json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{"))
    assert figures["epochs"] == 2
    ((number, run_id),) = versions().items() - before.items()
    assert number == figures["version"]
    assert mlflow.get_run(run_id).data.params["texts"] == str(tmp_path / "letters.txt")
    runs = mlflow.search_runs(search_all_experiments=True, filter_string="run_name = 'train'", output_format="list")
    assert [run.info.run_id for run in runs] == [run_id]
    assert len(mlflow.MlflowClient().get_metric_history(run_id, "val_cer")) == 2


def test_what_fails_in_two_processes_is_told_in_words(checkout, tracking_server, tmp_path):
    (tmp_path / "letters.txt").touch()
    ran = train_together(checkout, tmp_path / "gone.csv")
    assert ran.returncode == 1
    assert f"{tmp_path}/gone.csv" in ran.stderr
    assert "Traceback" not in ran.stderr
