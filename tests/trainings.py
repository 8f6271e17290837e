"""Small trainings in processes of their own, to be held and killed, and a tracking server that can be stopped."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from project.data.dataset import load_data
from project.tracking import experiment, mlflow_run, registry
from project.training.settings import Settings
from tests.conftest import MLFLOW, at, free_port, serving

SETTINGS = Settings(epochs=5, channels=32, lstm_units=16, lstm_layers=1, patience=1000)
EPOCHS = list(range(1, SETTINGS.epochs + 1))
PER_EPOCH = {"train_loss", "val_loss", "val_cer", "val_wer", "avg_edit_distance", "train_lines_per_s"}
CONTEXT = multiprocessing.get_context("forkserver")  # it imports once; each process is a fork of it
CONTEXT.set_forkserver_preload(["project.tracking.experiment"])


class Server:
    """A tracking server that can be stopped and started again, with all that it holds."""

    def __init__(self, folder, *options, **environment):
        self.folder, port = folder, free_port()
        self.uri = f"http://127.0.0.1:{port}"
        self.command = [*MLFLOW, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *options]
        self.environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment}
        self.running = ExitStack()

    def start(self):
        health = f"{self.uri}/health"
        self.process = self.running.enter_context(serving(self.command, health, self.folder, **self.environment))

    def stop(self):
        self.running.close()

    @contextmanager
    def used(self) -> Iterator["Server"]:
        """The server runs, and the client talks to it."""
        with self.running, at(self.uri):
            self.start()
            yield self

    def signal(self, number):
        os.killpg(self.process.pid, number)


def train(name, table, folder, uri, holds, environment):
    """What the notebook does, for one run, in a process of its own; after an epoch that is in `holds` it waits."""
    os.environ |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "1", **environment}
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    mlflow.set_tracking_uri(uri)
    log_epoch = mlflow_run.log_epoch

    def hold_and_log(run_id, folder, epoch, *rest):
        if epoch in holds:
            holds[epoch].wait()
        log_epoch(run_id, folder, epoch, *rest)

    mlflow_run.log_epoch = hold_and_log
    with Path("output.txt").open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    logging.basicConfig(level=logging.INFO, force=True)
    data = load_data(str(table), height=SETTINGS.height, seed=1, synthetic_lines={})
    experiment.promote_best([experiment.run(name, "Does it hold?", SETTINGS, data)], data)
    print("done", flush=True)


def start(name, table, folder, server, holds=None, **environment):
    process = CONTEXT.Process(target=train, args=(name, table, folder, server.uri, holds or {}, environment))
    process.start()
    return process


class Hold:
    """Where a training waits: it sets `reached`, and goes on when `go_on` is set."""

    def __init__(self):
        self.reached, self.go_on = CONTEXT.Event(), CONTEXT.Event()

    def wait(self):
        self.reached.set()
        self.go_on.wait()


def output(folder):
    return (folder / "output.txt").read_text()


def runs_of(name):
    return mlflow.search_runs(
        experiment_names=[experiment.EXPERIMENT], filter_string=f"run_name = '{name}'", output_format="list"
    )


def history(run, name):
    return [(metric.step, metric.value) for metric in MlflowClient().get_metric_history(run.info.run_id, name)]


def assert_whole(run):
    """The run is finished; each epoch's figures and picture are there once, and no figure has a step twice; it has
    one version, and each test line once.
    """
    assert run.info.status == "FINISHED"
    assert {*PER_EPOCH, "test_cer"} <= set(run.data.metrics)
    for name in run.data.metrics:
        steps = sorted(step for step, _ in history(run, name))
        assert steps == (EPOCHS if name in PER_EPOCH else sorted(set(steps))), name
    images = [file.path for file in MlflowClient().list_artifacts(run.info.run_id, "images")]
    assert sorted(int(path.split("+")[2]) for path in images if path.endswith(".webp")) == EPOCHS
    versions = MlflowClient().search_model_versions(f"name = '{registry.MODEL_NAME}' and run_id = '{run.info.run_id}'")
    assert len(versions) == 1
    assert len(mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/test_lines.json")["data"]) == 4


def nothing_left(folder):
    return {path.name for path in folder.glob("checkpoints/*/*")} == {"lock"}


def read(uri, models, answers, environment):
    """Put what each of the models answers to its own example into `answers`; nothing may be unpickled."""
    os.environ |= {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", **environment}
    mlflow.set_tracking_uri(uri)
    for model_uri in models:
        model = mlflow.pyfunc.load_model(model_uri)
        answers.put((model_uri, len(model.predict(model.input_example))))


def answers_of(server, models, **environment):
    """How many lines each of the models answers to its own example, read in a process of its own."""
    answers = CONTEXT.Queue()
    process = CONTEXT.Process(target=read, args=(server.uri, models, answers, environment))
    process.start()
    process.join()
    assert process.exitcode == 0
    return dict(answers.get() for _ in models)
