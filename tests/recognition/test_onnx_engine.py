import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from project.recognition import onnx_engine
from project.recognition.batch import batch, padded_width
from project.recognition.charset import Charset
from project.recognition.image import read_image
from project.recognition.network import CRNN
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, TEST_INPUTS

NETWORKS = [
    {"channels": 32, "lstm_units": 16, "lstm_layers": 1},
    {"channels": 48, "lstm_units": 24, "lstm_layers": 2},
    {"channels": 128, "lstm_units": 128, "lstm_layers": 2},  # the base model
]


def as_if_trained(network: CRNN) -> CRNN:
    """Weights that say something: batch norms that have seen data, some of their scales negative, sure answers."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in network.state_dict().items():
            if "norm" in name and weight.is_floating_point():
                weight.copy_(torch.randn(weight.shape, generator=generator))
                if name.endswith("var"):
                    weight.abs_().add_(0.5)
            if "lstms" in name:
                weight.mul_(3)
        network.head.weight.mul_(20)
    return network.eval()


@pytest.fixture(scope="module", params=NETWORKS, ids=str)
def engines(request):
    torch.manual_seed(0)
    recognizer = Recognizer.from_network(
        as_if_trained(CRNN(30, **request.param)), Charset("abcdefghijklmnopqrstuvwxyzé ,."), 36
    )
    return recognizer.network, recognizer.session


def line_images(*widths, height=36):
    rng = np.random.default_rng(list(widths))
    return [rng.integers(0, 256, (1, height, width), dtype=np.uint8) for width in widths]


def both(engines, images):
    """Log-probs of each line, within its own frames, from torch and from the engine that reads."""
    network, session = engines
    padded, widths = batch(images)
    with torch.inference_mode():
        expected, input_lengths = network(torch.from_numpy(padded), torch.from_numpy(widths))
    answered = onnx_engine.log_probs(session, padded, input_lengths.numpy())
    assert answered.shape == tuple(expected.shape)
    return [(expected[:length, n].numpy(), answered[:length, n]) for n, length in enumerate(input_lengths)]


@pytest.mark.parametrize("height", [24, 36, 64])
@pytest.mark.parametrize(
    "widths",
    [(8,), (9,), (61,), (256,), (1500,), (300, 300), (8, 500), (500, 8, 33, 34, 35, 36, 37), tuple(range(40, 700, 41))],
    ids=str,
)
def test_the_engine_answers_as_torch_does(engines, widths, height):
    for expected, answered in both(engines, line_images(*widths, height=height)):
        assert expected.min() < -5  # the network says something, so there is something to compare
        assert np.abs(answered - expected).max() < 1e-4


def test_a_line_reads_the_same_alone_and_in_any_batch(engines):
    images = line_images(8, 61, 203, 300, 900)
    for image, (_, in_batch) in zip(images, both(engines, images), strict=True):
        ((_, alone),) = both(engines, [image])
        assert np.abs(alone - in_batch).max() < 1e-4
    assert padded_width(203) != padded_width(900)


def test_the_base_model_reads_as_torch_does_with_twice_the_digits():
    base = Recognizer.load(BASE)
    images = [base.line_image(read_image(picture)) for picture in sorted(TEST_INPUTS.glob("*.png"))]
    single, double = CRNN.from_weights(base.weights), CRNN.from_weights(base.weights).double()
    for image, answered in zip(images, base.log_probs(images), strict=True):
        padded, widths = map(torch.from_numpy, batch([image]))
        with torch.inference_mode():
            log_probs, _ = single(padded, widths)
            expected, _ = double(padded.double(), widths)
        expected = expected[: len(answered), 0].numpy()
        own_error = np.abs(log_probs[: len(answered), 0].numpy() - expected).max()  # of float32, in torch itself
        assert np.abs(answered - expected).max() < max(1e-4, 2 * own_error)
        assert own_error < 1e-3


def test_the_graph_is_valid_onnx():
    weights = Recognizer.from_network(CRNN(5, channels=8, lstm_units=4, lstm_layers=1), Charset("abcd"), 36).weights
    onnx.checker.check_model(onnx_engine.onnx_model(weights), full_check=True)


def test_reading_is_done_without_torch(tmp_path):
    Recognizer.from_network(CRNN(5, channels=8, lstm_units=4, lstm_layers=1), Charset("abcd"), 36).save(tmp_path)
    script = (
        "import sys, numpy; from project.recognition.recognizer import Recognizer;"
        "import project.serving.cnn_text_identifier;"
        f"print(Recognizer.load({str(tmp_path)!r}).read([numpy.zeros((1, 36, 99), numpy.uint8)])); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_threads_are_what_the_environment_says_and_else_the_cores_of_this_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert onnx_engine.threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")  # of threads that start threads of their own: OpenMP 5.2, 21.2
    assert onnx_engine.threads() == 4
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert onnx_engine.threads() == len(os.sched_getaffinity(0))


WATCH_IMPORTS = """
import os, sys
class Watch:
    def find_spec(self, name, *_):
        if name == "onnxruntime":
            print("telemetry off:", os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
"""


@pytest.mark.parametrize("module", ["recognition.recognizer", "serving.handwriting_reader", "pages.detection"])
def test_telemetry_is_off_before_the_engine_is_imported(module):
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    script = f"{WATCH_IMPORTS}import project.{module}, onnxruntime"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.splitlines() == ["telemetry off: 1"]


def test_reading_a_line_leaves_nothing_in_the_home_of_the_user_and_asks_no_name_server(tmp_path):
    script = (
        "import numpy; from project.recognition.recognizer import Recognizer;"
        f"print(Recognizer.load({str(BASE)!r}).read([numpy.full((1, 36, 99), 255, numpy.uint8)]))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script]
    if strace := shutil.which("strace"):
        command = [strace, "-f", "-e", "trace=connect", "-o", str(tmp_path / "calls"), *command]
    subprocess.run(command, check=True, env=environment)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "calls"]
    assert written == []
    if strace:
        assert "AF_INET" not in (tmp_path / "calls").read_text()
