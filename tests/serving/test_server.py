"""The served models under load and under attack: real servers, real bodies, over HTTP."""

import base64
import io
import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import joblib
import mlflow
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from project.serving import server
from project.serving.metrics import Metrics
from project.serving.workers import Served
from project.tracking.registry import TEST_INPUTS
from tests.conftest import ROOT, free_port, serving

LINES = sorted(TEST_INPUTS.glob("*.png"))
PICTURE = base64.b64encode(LINES[0].read_bytes()).decode()
PIXELS = np.asarray(Image.open(LINES[0]).convert("L"))[None, None]  # (1, 1, H, W)
JSON = {"Content-Type": "application/json"}
MARK = "do-not-repeat-me"  # no answer may repeat what was sent


class Server:
    """A served model, and what it answers."""

    def __init__(self, port, process):
        self.process, self.port, self.url = process, port, f"http://127.0.0.1:{port}/invocations"
        self.client = httpx.Client(timeout=60)

    def post(self, body=None, content=None, headers=JSON):
        """Status and answer, which is strict JSON whatever was sent."""
        answer = self.client.post(self.url, content=content if body is None else json.dumps(body), headers=headers)
        return answer.status_code, strict(answer)

    def health(self, path="ping"):
        return self.client.get(self.url.replace("invocations", path))

    def text(self):
        """What it reads in a good picture."""
        status, answer = self.post({"inputs": [PICTURE]})
        assert status == 200, answer
        return answer["predictions"][0]["text"]

    def processes(self):
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def memory(self):
        return sum(process.memory_info().rss for process in self.processes()) / 2**20  # MB


def strict(answer):
    assert answer.headers["content-type"] == "application/json"
    assert MARK not in answer.text
    return json.loads(answer.text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))


@contextmanager
def served(folder, store, model_name, workers, shell=False, run_id=None, version="base"):
    """`serve_model`, from a shell that waits for it or without one; `mlflow run` gives it a run."""
    port = free_port()
    command = [sys.executable, "-m", "project.serve_model", f"--model-name={model_name}"]
    command += [
        f"--model-version={version}",
        "--host=127.0.0.1",
        f"--port={port}",
        f"--workers={workers}",
        "--web-page=off",
    ]
    environment = {"MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(ROOT)}
    environment |= {"MLFLOW_RUN_ID": run_id} if run_id else {}
    command = ["sh", "-c", f"{shlex.join(command)}; true"] if shell else command
    with serving(command, f"http://127.0.0.1:{port}/ping", folder, **environment) as process:
        yield Server(port, process)


@pytest.fixture(scope="module")
def reader(base_store, tmp_path_factory):
    with served(tmp_path_factory.mktemp("reader"), base_store, "handwriting_reader", workers=2) as server:
        yield server


@pytest.fixture(scope="module")
def identifier(base_store, tmp_path_factory):
    with served(tmp_path_factory.mktemp("identifier"), base_store, "cnn_text_identifier", workers=1) as server:
        yield server


@pytest.fixture(scope="module")
def fail_fast(models, tmp_path_factory):
    """The reader with one worker, and with a second of patience instead of many."""
    port = free_port()
    settings = "server.CLIENT_TIMEOUT = 1; workers.WORKER_TIMEOUT = 2; server.MAX_WAITING = 8"
    run = (
        f"uvicorn.run('project.serving.server:app', factory=True, http=server.TimeoutProtocol, port={port}, ws='none')"
    )
    command = [sys.executable, "-c", f"import uvicorn; from project.serving import server, workers; {settings}; {run}"]
    environment = {"SERVED_MODEL": models["handwriting_reader"], "SERVING_WORKERS": "1", "PYTHONPATH": str(ROOT)}
    folder = tmp_path_factory.mktemp("impatient")
    with serving(command, f"http://127.0.0.1:{port}/ping", folder, **environment) as process:
        yield Server(port, process)


def picture(size, mode="L", kind="PNG"):
    with io.BytesIO() as file:
        Image.new(mode, size, 1).save(file, kind)
        return base64.b64encode(file.getvalue()).decode()


# ----------------------------------------------------------------------------------------------- what is asked of it


def test_pictures_are_read_in_every_form_of_body(reader, models):
    model = mlflow.pyfunc.load_model(models["handwriting_reader"])
    expected = model.predict({"image": [LINES[0].read_bytes()]}).iloc[0].to_dict()
    for body in (
        {"dataframe_split": {"columns": ["image"], "data": [[PICTURE]]}},
        {"dataframe_records": [{"image": PICTURE}]},
        {"inputs": {"image": [PICTURE]}},
        {"inputs": [PICTURE]},
        {"instances": [{"image": PICTURE}]},
    ):
        assert reader.post(body) == (200, {"predictions": [expected]})


def test_parameters_reach_the_model(reader, models):
    model = mlflow.pyfunc.load_model(models["handwriting_reader"])
    for params in ({"decoder": "beam"}, {"decoder": "beam", "beam_width": 3}):
        expected = model.predict({"image": [LINES[0].read_bytes()]}, params).iloc[0].to_dict()
        assert reader.post({"inputs": [PICTURE], "params": params}) == (200, {"predictions": [expected]})


def test_a_picture_that_cannot_be_read_is_told_in_its_row(reader):
    status, answer = reader.post({"inputs": ["AAAA", PICTURE, picture((5, 5))]})
    assert status == 200
    assert [row["text"] == "" for row in answer["predictions"]] == [True, False, True]
    assert "not a picture" in answer["predictions"][0]["error"]


def test_the_tensor_route_answers_with_the_model_s_own_log_probs(identifier, models):
    model = mlflow.pyfunc.load_model(models["cnn_text_identifier"])
    status, answer = identifier.post({"inputs": PIXELS.tolist()})
    assert status == 200
    assert answer["predictions"] == model.predict(PIXELS.astype(np.float32))


def test_health_is_json(reader):
    for path in ("ping", "health"):
        assert strict(reader.health(path)) == {"status": "ok"}


# ----------------------------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ([], 400, "must be a JSON object"),
        ({}, 400, "must be a JSON object"),
        ({"inputs": [PICTURE], MARK: 1}, 400, "must be a JSON object"),
        ({"inputs": []}, 400, "this model takes"),
        ({"inputs": [5]}, 400, "this model takes"),
        ({"inputs": [None]}, 400, "this model takes"),
        ({"inputs": {MARK: [PICTURE]}}, 400, "this model takes"),
        ({"dataframe_split": {"columns": ["image", MARK], "data": [[PICTURE, 1]]}}, 400, "this model takes"),
        ({"dataframe_split": {"columns": ["image"], "data": [[PICTURE], [PICTURE, PICTURE]]}}, 400, "this model takes"),
        ({"dataframe_split": {"columns": ["image"], "data": []}}, 400, "no rows"),
        ({"dataframe_records": [{"image": PICTURE}, {}]}, 400, "this model takes"),
        ({"inputs": [PICTURE], "params": {MARK: 1}}, 400, "params may be an object with"),
        ({"inputs": [PICTURE], "params": [MARK]}, 400, "params may be an object with"),
        ({"inputs": [PICTURE], "params": {"beam_width": MARK}}, 400, "beam_width must be of type int"),
        ({"inputs": [PICTURE], "params": {"beam_width": True}}, 400, "beam_width must be of type int"),
        ({"inputs": [PICTURE], "params": {"beam_width": 10**9}}, 400, "beam_width must be from 1 to 100"),
        ({"inputs": [PICTURE] * 33}, 413, "33 rows; at most 32"),
        ({"inputs": [picture((20000, 3000))]}, 413, "60000000 pixels"),
        ({"inputs": [picture((30000, 30000), "1")]}, 413, "pixels"),
        ({"inputs": [picture((2000, 2000))] * 11}, 413, "44000000 pixels"),
    ],
)
def test_what_the_reader_does_not_take_is_refused_in_words(reader, body, status, words):
    said, answer = reader.post(body)
    assert (said, words in answer["message"]) == (status, True), answer


@pytest.mark.parametrize(
    ("inputs", "status", "words"),
    [
        ([[1, 2], [3, 4]], 400, "must be (N, 1, H, W) with N >= 1, H and W >= 8; got shape (2, 2)"),
        (np.zeros((1, 2, 9, 9)).tolist(), 400, "got shape (1, 2, 9, 9)"),
        (np.zeros((1, 1, 9, 1)).tolist(), 400, "H and W >= 8"),
        ([[[[1, 2], [3]]]], 400, "lists of equal length"),
        ([[[[MARK] * 9] * 9]], 400, "must be numbers"),
        ([[[[{}] * 9] * 9]], 400, "must be numbers"),
        ([[[[None] * 9] * 9]], 400, "must be numbers"),
        ([[[["12"] * 9] * 9]], 400, "must be numbers"),
        ([["a" * 100_000] + ["b"] * 50_000], 400, "and not texts"),  # 20 GB, if they were an array
        ([[[[256] * 9] * 9]], 400, "must be from 0 (black) to 255"),
        ([[[[10**400] * 9] * 9]], 400, "not JSON"),
        ([], 400, "no rows"),
        (np.zeros((33, 1, 8, 8)).tolist(), 413, "33 rows"),
        ({"image": [PICTURE]}, 400, "this model takes"),
    ],
)
def test_what_the_tensor_route_does_not_take_is_refused_in_words(identifier, inputs, status, words):
    said, answer = identifier.post({"inputs": inputs})
    assert (said, words in answer["message"]) == (status, True), answer


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"inputs": [NaN]}', b"\xff\xfe", b"[" * 100_000, b'{"inputs": 1e999}']
)
def test_what_is_not_json_is_refused(identifier, content):
    status, answer = identifier.post(content=content)
    assert status == 400
    assert "not JSON" in answer["message"]


def test_another_content_type_path_or_method_is_refused(reader):
    body = json.dumps({"inputs": [PICTURE]})
    for content_type in ("text/csv", "application/octet-stream", "application/vnd.apache.parquet", ""):
        assert reader.post(content=body, headers={"Content-Type": content_type})[0] == 415
    assert reader.client.get(reader.url).status_code == 405
    for method, path in (("GET", "/"), ("POST", "/invocations/"), ("GET", "/docs"), ("GET", f"/{MARK}")):
        answer = reader.client.request(method, f"http://127.0.0.1:{reader.port}{path}")
        strict(answer)
        assert answer.status_code == 404
    with socket.create_connection(("127.0.0.1", reader.port)) as connection:
        connection.sendall(b"this is not HTTP\r\n\r\n")
        head, _, said = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(said)["error_code"] == "BAD_REQUEST"


@pytest.mark.parametrize("header", ["Content-Length: 100000000", "Transfer-Encoding: chunked", "Expect: 100-continue"])
def test_a_body_of_100_mb_is_refused_at_once_and_is_not_held(reader, tmp_path, header):
    reader.text()
    before = reader.memory()
    with (tmp_path / "body.json").open("wb") as body:
        body.truncate(10**8)
    curl = [
        "curl",
        "-sS",
        "-w",
        "\n%{http_code} %{time_total}",
        "-H",
        "Content-Type: application/json",
        "-H",
        "Expect:",
    ]
    curl += ["-H", header, "--data-binary", f"@{tmp_path}/body.json", reader.url]
    answer, _, figures = subprocess.run(curl, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    status, took = figures.split()
    assert "larger than" in json.loads(answer)["message"]
    assert status == "413"
    assert float(took) < 1
    assert reader.memory() - before < 50
    assert reader.text()


# ---------------------------------------------------------------------------------------------------------------- fuzz

FUZZ = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(PICTURE),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
FORMS = st.sampled_from(["inputs", "instances", "dataframe_split", "dataframe_records", "params", "predictions"])
TABLES = st.fixed_dictionaries({}, optional={"columns": VALUES, "data": VALUES, "index": VALUES, "image": VALUES})


def good_bodies():
    return [json.dumps({"inputs": PIXELS.tolist()}).encode(), json.dumps({"inputs": [PICTURE]}).encode()]


@st.composite
def spoiled(draw, originals):
    """One of `originals` (bytes), with a few bytes changed, and perhaps cut off or followed by more."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 8))):
        data[draw(st.integers(0, min(len(data) - 1, 400)))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(1, len(data)))] if draw(st.booleans()) else data) + draw(st.binary(max_size=9))


@st.composite
def spoiled_pictures(draw):
    kinds = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000")
    image = Image.open(LINES[0]).convert("L")
    return draw(spoiled([encoded(image, kind) for kind in kinds]))


def encoded(image, kind):
    with io.BytesIO() as file:
        image.save(file, kind)
        return file.getvalue()


def survives(server, content):
    status, answer = server.post(content=content)
    assert status in (200, 400, 413), answer
    assert ("predictions" in answer) == (status == 200)


@FUZZ
@given(content=st.binary(max_size=200) | spoiled(good_bodies()))
def test_bytes_that_are_hardly_json_never_make_it_fail(reader, identifier, content):
    for served in (reader, identifier):
        survives(served, content)


@FUZZ
@given(body=VALUES | st.dictionaries(FORMS, VALUES | TABLES | st.lists(TABLES, max_size=3), max_size=3))
def test_json_of_any_shape_never_makes_it_fail(reader, identifier, body):
    for served in (reader, identifier):
        survives(served, json.dumps(body))


@settings(FUZZ, max_examples=150)
@given(pictures=st.lists(spoiled_pictures(), min_size=1, max_size=3))
def test_pictures_with_broken_bytes_never_make_it_fail(reader, pictures):
    survives(reader, json.dumps({"inputs": [base64.b64encode(data).decode() for data in pictures]}))


# ----------------------------------------------------------------------------------------------------------- under load


def test_two_hundred_clients_at_once_are_all_answered(reader):
    expected = reader.text()

    def one(_):
        answer = httpx.post(reader.url, json={"inputs": [PICTURE]}, timeout=120)
        return answer.status_code, strict(answer)["predictions"][0]["text"]

    with ThreadPoolExecutor(200) as clients:
        assert set(clients.map(one, range(200))) == {(200, expected)}


def test_slow_clients_are_sent_away_and_keep_no_one_waiting(fail_fast):
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    slow = [socket.create_connection(("127.0.0.1", fail_fast.port)) for _ in range(100)]
    for number, connection in enumerate(slow):
        connection.sendall(head[:50] if number % 2 else b"")
    with socket.create_connection(("127.0.0.1", fail_fast.port)) as stuck:
        stuck.sendall(head + b"\r\n{")
        started = time.perf_counter()
        assert fail_fast.text()
        assert time.perf_counter() - started < 5
        assert b"408 Request Timeout" in stuck.makefile("rb").readline()
    for connection in slow:
        connection.settimeout(10)
        with connection:
            assert connection.recv(100) == b""
    assert fail_fast.text()


def test_more_requests_than_fit_are_refused_and_the_others_answered(fail_fast):
    def one(_):
        answer = httpx.post(fail_fast.url, json={"inputs": [PICTURE] * 8}, timeout=120)
        strict(answer)
        return answer.status_code, answer.headers.get("retry-after")

    with ThreadPoolExecutor(40) as clients:
        answers = set(clients.map(one, range(40)))
    assert answers == {(200, None), (503, "1")}
    assert fail_fast.text()


@pytest.mark.parametrize("fault", ["kill", "suspend"])
@pytest.mark.parametrize("rows", [1, 30])  # what a socket holds, and far more
def test_a_worker_that_is_lost_or_hangs_is_replaced(fail_fast, fault, rows):
    worker = next(process for process in fail_fast.processes() if "project.serving.workers" in process.cmdline())
    getattr(worker, fault)()
    status, answer = fail_fast.post({"inputs": [PICTURE] * rows})
    assert (status, answer["error_code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert fail_fast.health().status_code == 503  # it has no other
    assert fail_fast.text()
    assert not worker.is_running()


@pytest.mark.parametrize("workers", [1, 2, 3, 1000])
def test_the_workers_share_the_cores(workers):
    front = server.Dispatcher(Served("a model"), workers, Metrics())
    assert front.threads == max(1, joblib.cpu_count() // workers)


HANG_UP = pytest.param(
    1,
    signal.SIGHUP,
    marks=pytest.mark.skipif(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="under nohup it is ignored"),
)


@pytest.mark.parametrize(("ended", "number"), [(0, signal.SIGKILL), (1, signal.SIGINT), HANG_UP])
def test_with_serve_model_or_its_parent_all_its_processes_end(base_store, tmp_path, ended, number):
    run_id = mlflow.MlflowClient(base_store).create_run("0").info.run_id
    with served(tmp_path, base_store, "cnn_text_identifier", workers=1, shell=True, run_id=run_id) as server:
        processes = server.processes()  # the shell, serve_model, uvicorn, and the worker
        assert len(processes) == 4
        processes[ended].send_signal(number)
        _, left = psutil.wait_procs(processes, timeout=20)
        assert left == []


def test_a_server_that_was_not_started_by_mlflow_run_outlives_its_shell(base_store, tmp_path):
    with served(tmp_path, base_store, "cnn_text_identifier", workers=1, shell=True) as server:
        shell, *others = server.processes()
        shell.kill()
        psutil.wait_procs([shell])
        time.sleep(1.5)  # it looks for its parent twice a second
        assert server.health().status_code == 200
        others[0].terminate()
        _, left = psutil.wait_procs(others, timeout=20)
        assert left == []
