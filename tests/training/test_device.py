"""What suits a device; and that a training in the way of a GPU, ahead and without waiting, is the same training."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from project.data.dataset import Line
from project.recognition.charset import Charset
from project.training import device, loop
from project.training.loop import train
from project.training.settings import Settings

CPU = torch.device("cpu")
CHARSET = Charset("ab")


@pytest.fixture
def lines():
    rng = np.random.default_rng(0)
    texts = ["a", "ab", "ba", "b"] * 15
    images = (rng.integers(0, 256, (1, 16, 24 + 8 * len(text)), dtype=np.uint8) for text in texts)
    return [Line(image, text, CHARSET.encode(text)) for image, text in zip(images, texts, strict=True)]


@pytest.fixture
def settings():
    return Settings(
        epochs=2, height=16, channels=8, lstm_units=8, lstm_layers=1, batch_width=250, micro_batches=2,
        page_conditions=2,
    )  # fmt: skip


def test_a_cpu_has_two_small_micro_batches_and_a_gpu_one_as_large_as_its_memory_allows(monkeypatch):
    assert device.suitable_batch(CPU) == (4096, 2)
    for gigabytes, batch_width in ((80, 98_304), (8, 65_536), (4, 32_768)):
        properties = SimpleNamespace(total_memory=gigabytes * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, properties=properties: properties)
        assert device.suitable_batch(torch.device("cuda")) == (batch_width, 1)


def test_what_was_asked_for_is_not_changed():
    assert (Settings().on(CPU).batch_width, Settings().on(CPU).micro_batches) == (4096, 2)
    asked = Settings(batch_width=100, micro_batches=3)
    assert asked.on(CPU) == asked


def test_without_a_gpu_the_cpu_trains():
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert loop.training_device() == CPU


def test_the_gpu_of_an_apple_trains_if_a_step_works_on_it(monkeypatch):
    tried = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.choose_device(tried.append) == torch.device("mps")
    assert tried == [torch.device("mps")]

    def fails(_):
        raise NotImplementedError("aten::_ctc_loss is not there yet")

    assert device.choose_device(fails) == CPU


def test_the_step_that_tries_a_device_is_one_of_training():
    loop.trial_step(CPU)


def test_items_are_prepared_ahead_and_come_in_order():
    started = []

    def prepare(item):
        started.append(item)
        time.sleep(0.01 * (item % 3))
        return item, threading.current_thread().name

    found = device.prefetched(prepare, range(30))
    first, thread = next(found)
    assert (first, thread.startswith("prefetch")) == (0, True)
    assert len(started) > 1
    assert [first, *(item for item, _ in found)] == list(range(30))


def test_what_goes_wrong_while_preparing_is_told_where_it_is_asked_for():
    found = device.prefetched(lambda item: 1 / item, [1, 0])
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_a_training_in_the_way_of_a_gpu_gives_the_same_weights(lines, settings, monkeypatch):
    here, figures = train(settings, CHARSET, lines, lines[:10])
    ahead = device.prepared_ahead
    monkeypatch.setattr(
        loop, "prepared_ahead", lambda prepare, batches, _: ahead(prepare, batches, torch.device("mps"))
    )
    monkeypatch.setattr(loop, "sync_interval", lambda _: 4)
    gpu_like, other = train(settings, CHARSET, lines, lines[:10])
    for name, weight in here.state_dict().items():
        assert torch.equal(gpu_like.state_dict()[name], weight), name
    for one, another in zip(figures, other, strict=True):
        assert another["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)
        assert another["val_cer"] == one["val_cer"]


def test_flat_lstms_answer_the_same():
    lstm = nn.LSTM(3, 4)
    sequence = torch.rand(5, 2, 3)
    expected = lstm(sequence)[0]
    device.flatten_lstms(nn.Sequential(lstm))
    assert torch.equal(lstm(sequence)[0], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU of CUDA")
def test_a_gpu_trains(lines, settings):
    _, figures = train(settings, CHARSET, lines, lines[:10])
    assert np.isfinite(figures[-1]["train_loss"])
