import subprocess
import sys

import torch
from torch import nn

from project.training.optimizer import AdamW
from tests.conftest import ROOT


def learning():
    """Two weights that learn, and one that does not."""
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(2))]
    weights[2].requires_grad_(False)
    return weights


def stepped(weights, step, chance, count):
    for _ in range(count):
        for weight in weights[:2]:
            weight.grad = torch.randn(weight.shape, generator=chance)
        step()
    return weights


def test_the_steps_are_those_of_torch():
    ours, theirs = learning(), learning()
    optimizer, reference = AdamW(ours, 0.1), torch.optim.AdamW(theirs, 0.02, weight_decay=0.1)
    stepped(ours, lambda: optimizer.step(0.02), torch.Generator().manual_seed(1), 5)
    stepped(theirs, reference.step, torch.Generator().manual_seed(1), 5)
    for weight, expected, before in zip(ours, theirs, learning(), strict=True):
        assert torch.allclose(weight, expected, atol=1e-6)
        assert torch.equal(weight, before) == (not weight.requires_grad)


def test_what_it_knows_goes_into_another():
    whole, optimizer = learning(), None
    for part in range(2):
        known, optimizer = optimizer, AdamW(whole, 0.1)
        if known:
            optimizer.load_state_dict(known.state_dict())
        stepped(whole, lambda own=optimizer: own.step(0.02), torch.Generator().manual_seed(part), 3)
    at_once = learning()
    optimizer = AdamW(at_once, 0.1)
    for part in range(2):
        stepped(at_once, lambda: optimizer.step(0.02), torch.Generator().manual_seed(part), 3)
    assert all(torch.equal(*both) for both in zip(whole, at_once, strict=True))


def test_a_training_does_without_torch_s_compiler():
    code = """
import sys
import numpy as np
from project.recognition.charset import Charset
from project.data.dataset import Line
from project.training.settings import Settings
from project.training.loop import train
lines = [Line(np.full((1, 32, 80), 200, np.uint8), "a", [1])] * 4
train(Settings(epochs=1, channels=16, lstm_units=8, lstm_layers=1), Charset("a"), lines, lines)
sys.exit(", ".join({"torch._dynamo", "triton", "mlflow", "onnxruntime"} & sys.modules.keys()) or 0)
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
