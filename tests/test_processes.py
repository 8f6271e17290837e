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

from project import registry
from project.charset import Charset
from project.training import train
from tests.conftest import MLFLOW, ROOT
from tests.test_training import SMALL, written

TOGETHER = """
import dataclasses, json, sys
from pathlib import Path
import torch
from torch import nn
from project import processes
from project.crnn import CRNN, BatchNorm, BothHeads
from project.training import train
from tests.test_processes import CHARSET, SETTINGS, lines

folder = Path(sys.argv[1])

def norm_and_gradients(norm, images, counts):
    images = images.clone().requires_grad_()
    answer = norm(images)
    (answer * counts).sum().backward()
    return answer.detach(), images.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var

def tell(epoch, figures, predictions):
    with (folder / "told.jsonl").open("a") as file:
        file.write(json.dumps(figures) + "\\n")
    if epoch == 2:
        raise RuntimeError("killed")

with processes.together():
    torch.manual_seed(0)
    images, counts = torch.randn(2, 5, 3, 4, 6)  # counts: what each pixel counts in the loss
    ours = processes.gathered(norm_and_gradients(BatchNorm(3), *map(processes.share, (images, counts))))
    if processes.number() == 0:
        torch.save((ours, norm_and_gradients(nn.BatchNorm2d(3), images, counts)), folder / "norms.pt")
    torch.manual_seed(processes.number())
    network = CRNN(5, 8, 4, 1)  # other weights in each
    network.blocks[0].norm.running_mean += processes.number()
    processes.parallel(BothHeads(network))
    states = processes.gathered(network.state_dict())
    if processes.number() == 0:
        torch.save(states, folder / "states.pt")
    checkpoint = folder / "checkpoint.pt" if processes.number() == 0 else None
    train(SETTINGS, CHARSET, lines(), lines(), tell, checkpoint)
"""
CHARSET = Charset("abelot ")
SETTINGS = dataclasses.replace(SMALL, epochs=4, batch_width=250)
ALONE = dataclasses.replace(SETTINGS, batch_width=2 * SETTINGS.batch_width)


def lines():
    return [written(text, CHARSET) for text in ("a", "bob", "table", "to bell", "a boat", "lot", "belt", "oboe", "to")]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes left: they trained for two epochs of four, then the first of them failed."""
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
    return train(ALONE, CHARSET, lines(), lines())


def test_batch_norm_over_two_processes_is_that_of_the_whole_batch(together):
    (first, second), (answer, gradient, weight, bias, mean, variance) = torch.load(together / "norms.pt")
    for whole, parts in ((answer, (first[0], second[0])), (gradient, (first[1], second[1]))):
        for number in range(2):
            torch.testing.assert_close(parts[number], whole[number::2])
    torch.testing.assert_close(first[2] + second[2], weight)
    torch.testing.assert_close(first[3] + second[3], bias)
    for part in (first, second):
        torch.testing.assert_close(part[4], mean)
        torch.testing.assert_close(part[5], variance)


def test_the_second_process_starts_with_what_the_first_knows(together):
    first, second = torch.load(together / "states.pt")
    assert first["blocks.0.norm.running_mean"].sum() == 0
    for name, known in first.items():
        assert torch.equal(second[name], known), name


def test_two_processes_have_the_losses_of_one_with_the_same_batches(together, alone):
    told = [json.loads(line) for line in (together / "told.jsonl").read_text().splitlines()]
    assert len(told) == 2
    for figures, expected in zip(told, alone[1], strict=False):
        for name in ("train_loss", "val_loss"):
            assert figures[name] == pytest.approx(expected[name], rel=1e-4)


def test_what_two_processes_began_one_can_finish(together, alone):
    heard = []
    _, history = train(
        ALONE, CHARSET, lines(), lines(), lambda epoch, *rest: heard.append(epoch), together / "checkpoint.pt"
    )
    assert heard == [2, 3, 4]
    for figures, expected in zip(history, alone[1], strict=True):
        assert figures["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-3)


def versions():
    found = mlflow.MlflowClient().search_model_versions(f"name = '{registry.MODEL_NAME}'")
    return {int(version.version): version.run_id for version in found}


def test_two_processes_make_one_run_and_one_version(checkout, tracking_server, tmp_path):
    rows = [(f"{number}.png", text) for number, text in enumerate(("a", "boat", "table", "lot") * 10)]
    for name, text in rows:
        Image.fromarray(255 - written(text, CHARSET).image[0]).save(tmp_path / name)
    pd.DataFrame(rows, columns=["image", "text"]).to_csv(tmp_path / "lines.csv", index=False)
    before = versions()
    command = [*MLFLOW, "run", str(checkout), "-e", "train", "--env-manager", "local", "--experiment-name", "mlp"]
    command += ["-P", f"data={tmp_path}/lines.csv", "-P", "epochs=2", "-P", "processes=2"]
    environment = {**os.environ}
    environment.pop("MLFLOW_EXPERIMENT_ID", None)  # left by another test's `mlflow.set_experiment`
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (figures,) = (json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{"))
    assert figures["epochs"] == 2
    ((number, run_id),) = versions().items() - before.items()
    assert number == figures["version"]
    runs = mlflow.search_runs(search_all_experiments=True, filter_string="run_name = 'train'", output_format="list")
    assert [run.info.run_id for run in runs] == [run_id]
    assert len(mlflow.MlflowClient().get_metric_history(run_id, "val_cer")) == 2
