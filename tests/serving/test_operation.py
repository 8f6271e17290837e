"""A served version in operation: its alias moves under load, and what it tells of itself."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import mlflow
import pytest
from mlflow import MlflowClient

from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.serving import alias
from project.serving.request import Answer
from project.tracking.registry import BASE, READER_NAME, register, set_alias
from tests.conftest import at
from tests.serving.test_server import LINES, PICTURE, served

CLIENTS = 16
BODY = json.dumps({"inputs": [PICTURE]})
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A registry with two versions: the base model as version 1, which is the champion, and with a tag as version 2."""
    folder = tmp_path_factory.mktemp("store")
    with at(f"sqlite:///{folder}/mlflow.db"):
        experiment = MlflowClient().create_experiment("two versions", artifact_location=str(folder / "artifacts"))
        with mlflow.start_run(experiment_id=experiment):
            first = register(Recognizer.load(BASE), read_image(LINES[0]), "", {})
            register(Recognizer.load(BASE), read_image(LINES[1]), "", {})
        set_alias(first, "champion")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(scope="module")
def reader(store, tmp_path_factory):
    with served(tmp_path_factory.mktemp("reader"), store, READER_NAME, workers=2, version="champion") as server:
        yield server


def version(reader):
    return reader.health("version").json()


def test_an_alias_moves_under_load_and_no_request_is_refused(reader, store):
    ended = Event()

    def ask(_):
        with httpx.Client(timeout=60) as client:
            statuses = []
            while not ended.is_set():
                statuses.append(client.post(reader.url, content=BODY, headers=JSON).status_code)
            return statuses

    assert version(reader) == {"name": READER_NAME, "version": "1", "alias": "champion", "refused": ""}
    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = [pool.submit(ask, client) for client in range(CLIENTS)]
        MlflowClient(store).set_registered_model_alias(READER_NAME, "champion", "2")
        moved = time.monotonic()
        while version(reader)["version"] != "2" and time.monotonic() < moved + 120:
            time.sleep(0.2)
        ended.set()
        statuses = [status for client in asked for status in client.result()]
    assert version(reader)["version"] == "2"
    assert set(statuses) == {200}
    assert len(statuses) > CLIENTS
    for _ in range(100):  # the workers of the version before have gone
        if sum("project.serving.workers" in process.cmdline() for process in reader.processes()) == 2:
            break
        time.sleep(0.2)
    workers = [process.cmdline() for process in reader.processes() if "project.serving.workers" in process.cmdline()]
    assert len({worker[-1] for worker in workers}) == 1
    assert len(workers) == 2


def test_a_version_that_does_not_read_its_own_example_is_not_taken(tmp_path):
    (tmp_path / "artifacts/recognizer").mkdir(parents=True)
    (tmp_path / alias.EXAMPLE).write_text("what was read")
    good = Answer(200, json.dumps({"predictions": [{"text": "what was reed"}]}).encode())
    alias.check_example(tmp_path, good)  # another processor may round otherwise
    with pytest.raises(ValueError, match="it reads 'something else' in its own example, in which it read 'what was"):
        alias.check_example(tmp_path, Answer(200, json.dumps({"predictions": [{"text": "something else"}]}).encode()))
    with pytest.raises(ValueError, match="it answered its own example with 400"):
        alias.check_example(tmp_path, Answer(400, b"no"))


def test_a_version_that_cannot_be_loaded_leaves_the_one_that_is_served(reader, store):
    before = version(reader)["version"]
    with at(store):
        run = MlflowClient().create_run(MlflowClient().get_experiment_by_name("two versions").experiment_id)
        broken = MlflowClient().create_model_version(READER_NAME, f"runs:/{run.info.run_id}/gone")
        MlflowClient().set_registered_model_alias(READER_NAME, "champion", broken.version)
    for _ in range(150):
        if version(reader)["refused"]:
            break
        time.sleep(0.2)
    assert version(reader)["refused"].startswith(f"version {broken.version}: ")
    assert version(reader)["version"] == before
    assert reader.text()


def test_what_is_read_is_counted(reader):
    def counted():
        lines = reader.health("metrics").text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}

    before = counted()
    assert reader.post({"inputs": [PICTURE] * 3})[0] == 200
    assert reader.post({"inputs": []})[0] == 400
    after = counted()
    assert after["handwriting_lines_total"] - before["handwriting_lines_total"] == 3
    assert after["handwriting_line_confidence_count"] - before["handwriting_line_confidence_count"] == 3
    errors = 'handwriting_requests_total{path="/invocations",status="400"}'
    assert after[errors] - before.get(errors, 0) == 1
    assert after["handwriting_workers"] == 2


def test_a_request_has_an_id_in_the_answer_in_an_error_and_in_the_log(reader):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = JSON | {"X-Request-ID": "letter-7", "traceparent": trace}
    answer = reader.client.post(reader.url, content=BODY, headers=headers)
    assert (answer.headers["x-request-id"], answer.headers["traceparent"]) == ("letter-7", trace)
    error = reader.client.post(reader.url, content="{}", headers=JSON | {"X-Request-ID": "no good id"})
    assert error.json()["request_id"] == error.headers["x-request-id"] != "no good id"


def test_the_openapi_document_says_what_the_server_takes(reader):
    document = reader.health("openapi.json").json()
    assert document["openapi"] == "3.1.0"
    schema = document["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"decoder", "layout", "beam_width", "alternatives"} <= schema["properties"]["params"]["properties"].keys()
    assert "413" in document["paths"]["/invocations"]["post"]["responses"]
