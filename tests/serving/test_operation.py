"""A served version in operation: its alias moves under load, and what it tells of itself."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import httpx
import mlflow
import psutil
import pytest
from mlflow import MlflowClient

from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.serving import alias
from project.serving.request import Answer
from project.tracking.registry import BASE, READER_NAME, register, set_alias
from tests.conftest import ROOT, at, free_port
from tests.serving.test_server import LINES, PICTURE, served

CLIENTS = 16
FORMER = "8e598a7"  # the last commit before the project was split into packages
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


@pytest.fixture(scope="module")
def former(store, tmp_path_factory):
    """A version that the code before the packages registered in the same registry: its number, and what it reads."""
    folder = tmp_path_factory.mktemp("former")
    archive = subprocess.run(["git", "archive", FORMER, "project"], cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip(f"the history of this checkout does not reach back to {FORMER}")
    subprocess.run(["tar", "x"], cwd=folder, input=archive.stdout, check=True)
    program = (
        "import mlflow, sys; from project.registration import register_base\n"
        "from project.images import read_picture; from project.recognizer import Recognizer\n"
        "mlflow.set_experiment('two versions')\n"
        "with mlflow.start_run(): version = register_base().version\n"
        "base = Recognizer.load('project/base')\n"
        "print('version', version, *base.read([base.line_image(read_picture(sys.argv[1]))]), sep='\\t')"
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", program, str(LINES[0])]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    _, number, text = ran.stdout.splitlines()[-1].split("\t")
    return number, text


def workers_of(server):
    """The command lines of its workers; one that is ending has none."""
    commands = []
    for process in server.processes():
        with suppress(psutil.Error):
            commands.append(process.cmdline())
    return [command for command in commands if "project.serving.workers" in command]


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
    for _ in range(100):
        if len(workers_of(reader)) == 2:
            break
        time.sleep(0.2)
    assert len(workers_of(reader)) == 2  # those of the version before have gone
    assert len({folder for *_, folder, threads in workers_of(reader)}) == 1


def test_a_version_that_does_not_read_its_own_example_is_not_taken(tmp_path):
    (tmp_path / "artifacts/recognizer").mkdir(parents=True)
    (tmp_path / alias.EXAMPLE).write_text("what was read")
    good = Answer(200, json.dumps({"predictions": [{"text": "what was reed"}]}).encode())
    alias.check_example(tmp_path, good)  # another processor may round otherwise
    with pytest.raises(ValueError, match="it reads 'something else' in its own example, in which it read 'what was"):
        alias.check_example(tmp_path, Answer(200, json.dumps({"predictions": [{"text": "something else"}]}).encode()))
    with pytest.raises(ValueError, match="it answered its own example with 400"):
        alias.check_example(tmp_path, Answer(400, b"no"))


def test_a_version_that_the_code_of_before_registered_is_served_and_an_alias_may_move_to_it(
    reader, store, former, tmp_path
):
    number, text = former
    with served(tmp_path, store, READER_NAME, workers=1, version=number) as by_its_own_front:
        assert by_its_own_front.text() == text
    MlflowClient(store).set_registered_model_alias(READER_NAME, "champion", number)
    for _ in range(600):
        if version(reader)["version"] == number:
            break
        time.sleep(0.2)
    assert version(reader) == {"name": READER_NAME, "version": number, "alias": "champion", "refused": ""}
    assert reader.text() == text
    MlflowClient(store).set_registered_model_alias(READER_NAME, "champion", "2")


def test_a_server_that_is_killed_is_started_anew_and_requests_wait_for_it(base_store, tmp_path):
    with served(tmp_path, base_store, READER_NAME, workers=1) as server:
        text = server.text()
        front = next(process for process in server.processes() if "uvicorn" in process.cmdline())
        front.kill()
        front.wait()
        with httpx.Client(timeout=120) as client:  # a new connection: the old one was the front's
            answer = client.post(server.url, content=BODY, headers=JSON)
        assert answer.json()["predictions"][0]["text"] == text


def test_a_champion_that_is_not_of_this_project_is_not_served(tmp_path):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(store)
    client.create_registered_model(READER_NAME)
    other = client.create_model_version(READER_NAME, str(tmp_path))
    client.set_registered_model_alias(READER_NAME, "champion", other.version)
    command = [sys.executable, "-m", "project.serve_model", f"--model-name={READER_NAME}", "--model-version=champion"]
    command += ["--host=127.0.0.1", f"--port={free_port()}", "--workers=1", "--web-page=off"]
    environment = os.environ | {"MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "version 1 (champion) cannot be read: " in ran.stderr.splitlines()[-1]


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
    for invalid in (f"ff{trace[2:]}", trace.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), "nonsense"):
        assert "traceparent" not in reader.client.get(reader.url, headers={"traceparent": invalid}).headers
    error = reader.client.post(reader.url, content="{}", headers=JSON | {"X-Request-ID": "no good id"})
    assert error.json()["request_id"] == error.headers["x-request-id"] != "no good id"


def test_the_openapi_document_says_what_the_server_takes(reader):
    document = reader.health("openapi.json").json()
    assert document["openapi"] == "3.1.0"
    schema = document["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"decoder", "layout", "beam_width", "alternatives"} <= schema["properties"]["params"]["properties"].keys()
    assert "413" in document["paths"]["/invocations"]["post"]["responses"]
    answer = document["paths"]["/invocations"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    fields = answer["properties"]["predictions"]["items"]["properties"]
    assert fields["text"] == {"type": "string"}
    assert fields["lines"]["items"]["properties"]["baseline"]["items"]["items"] == {"type": "integer"}
