"""What happens to training when things break: real processes, killed, and a real tracking server, stopped.

`KILLS=20 python -m pytest -s tests/test_faults.py -k killed` kills more often than the suite does, and prints a count.
"""

import itertools
import os
import re
import resource
import signal
import time

import mlflow
import numpy as np
import pytest

from project import atomic
from project.data.dataset import load_data
from project.training import loop
from tests.trainings import (
    CONTEXT,
    EPOCHS,
    SETTINGS,
    Hold,
    Server,
    answers_of,
    assert_whole,
    history,
    nothing_left,
    output,
    runs_of,
    start,
)

KILLS = int(os.environ.get("KILLS", 3))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server")).used() as server:
        yield server


# --------------------------------------------------------------------------------------------------- kill -9


@pytest.fixture(scope="module")
def undisturbed(server, table, tmp_path_factory):
    """A run that nothing happens to, and how long it took, in seconds."""
    imports = CONTEXT.Process(target=time.time)
    imports.start()
    imports.join()
    folder, started = tmp_path_factory.mktemp("undisturbed"), time.monotonic()
    process = start("undisturbed", table, folder, server)
    process.join()
    assert process.exitcode == 0, output(folder)
    return runs_of("undisturbed")[0], time.monotonic() - started


def test_a_training_killed_at_any_moment_goes_on_in_its_run(server, table, undisturbed, tmp_path):
    reference, seconds = undisturbed
    rng, killed = np.random.default_rng(1), 0
    while True:
        process = start("killed", table, tmp_path, server)
        process.join(rng.uniform(0, seconds) if killed < KILLS else None)
        if not process.is_alive():
            assert process.exitcode == 0, output(tmp_path)
            if killed == KILLS:
                break
            continue  # it was done before its time had come
        process.kill()
        process.join()
        killed += 1
    runs = runs_of("killed")
    trained = [int(epoch) for epoch in re.findall(r"loop:epoch (\d+): ", output(tmp_path))]
    again = sum(after == before for before, after in itertools.pairwise(trained))
    print(f"{killed} kills, {len(runs)} runs of {len(EPOCHS)} epochs, {again} epochs trained again from the one before")
    assert len(runs) == output(tmp_path).count("done\n")
    assert [epoch for epoch, _ in itertools.groupby(trained)] == EPOCHS * len(runs)
    for run in runs:
        assert_whole(run)
        assert history(run, "val_loss") == history(reference, "val_loss")
    assert nothing_left(tmp_path)


def test_every_registered_model_answers_where_nothing_may_be_unpickled(server, undisturbed):
    models = [f"models:/{model.name}/latest" for model in mlflow.search_registered_models()]
    assert models
    assert answers_of(server, models) == dict.fromkeys(models, 1)


# ----------------------------------------------------------------------------------- the server, gone and back


@pytest.fixture(scope="module")
def outage(server, table, tmp_path_factory):
    """Two trainings whose server stops after their second epoch: `stays` has an epoch to go when it is back, `leaves`
    has ended by then. Their folders, their exit codes, and which epochs of `stays` were waiting.
    """
    folders = {name: tmp_path_factory.mktemp(name) for name in ("stays", "leaves")}
    stays_at_3, stays_at_5, leaves_at_3 = Hold(), Hold(), Hold()
    stays = start("stays", table, folders["stays"], server, {3: stays_at_3, 5: stays_at_5})
    leaves = start("leaves", table, folders["leaves"], server, {3: leaves_at_3}, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
    assert stays_at_3.reached.wait(300)
    assert leaves_at_3.reached.wait(300)
    server.stop()
    stays_at_3.go_on.set()
    leaves_at_3.go_on.set()
    assert stays_at_5.reached.wait(300)
    waiting = sorted(path.name for path in folders["stays"].glob("checkpoints/*/spool/*.json"))
    leaves.join()
    server.start()
    stays_at_5.go_on.set()
    stays.join()
    return folders, {"stays": stays.exitcode, "leaves": leaves.exitcode}, waiting


def test_what_a_stopped_server_did_not_hear_of_is_sent_when_it_is_back(outage, undisturbed):
    folders, exit_codes, waiting = outage
    assert exit_codes["stays"] == 0, output(folders["stays"])
    assert waiting == ["000003.json", "000004.json"]
    (run,) = runs_of("stays")
    assert_whole(run)
    assert history(run, "val_loss") == history(undisturbed[0], "val_loss")
    assert nothing_left(folders["stays"])


def test_a_training_whose_server_is_gone_for_good_says_what_to_do_and_keeps_all(outage, server, table, undisturbed):
    folders, exit_codes, _ = outage
    folder = folders["leaves"]
    words = f"What was trained is kept: start the server, then give the same command again in {folder}"
    assert exit_codes["leaves"] == 1
    assert f"ConnectionError: the tracking server at {server.uri} does not answer. {words}" in output(folder)
    assert len(list(folder.glob("checkpoints/*/checkpoint.pt"))) == 1

    again = start("leaves", table, folder, server)
    again.join()
    assert again.exitcode == 0, output(folder)
    before, _, after = output(folder).partition(words)
    assert "loop:epoch 5: " in before
    assert "loop:epoch " not in after
    (run,) = runs_of("leaves")
    assert_whole(run)
    assert history(run, "val_loss") == history(undisturbed[0], "val_loss")
    assert nothing_left(folder)


def test_a_server_that_hangs_holds_an_epoch_up_for_seconds_only(server, table, tmp_path):
    at_3, at_4 = Hold(), Hold()
    process = start("hangs", table, tmp_path, server, {3: at_3, 4: at_4})
    assert at_3.reached.wait(300)
    server.signal(signal.SIGSTOP)
    started = time.monotonic()
    at_3.go_on.set()
    assert at_4.reached.wait(300)
    seconds = time.monotonic() - started
    server.signal(signal.SIGCONT)
    at_4.go_on.set()
    process.join()
    assert process.exitcode == 0, output(tmp_path)
    assert seconds < 60
    assert_whole(*runs_of("hangs"))


# ------------------------------------------------------------------------------- Ctrl-C, two at once, a full disk


def test_after_ctrl_c_a_run_is_killed_and_the_same_call_takes_it_up(server, table, tmp_path):
    at_3 = Hold()
    process = start("interrupted", table, tmp_path, server, {3: at_3})
    assert at_3.reached.wait(300)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 1
    assert [run.info.status for run in runs_of("interrupted")] == ["KILLED"]
    again = start("interrupted", table, tmp_path, server)
    again.join()
    assert_whole(*runs_of("interrupted"))


def test_two_trainings_at_once_in_one_folder_are_two_runs(server, table, tmp_path):
    at_3 = Hold()
    first = start("both", table, tmp_path, server, {3: at_3})
    assert at_3.reached.wait(300)
    second = start("both", table, tmp_path, server)
    second.join()
    at_3.go_on.set()
    first.join()
    assert (first.exitcode, second.exitcode) == (0, 0), output(tmp_path)
    runs = runs_of("both")
    assert len(runs) == 2
    for run in runs:
        assert_whole(run)
    assert nothing_left(tmp_path)


class Disk:
    """Once it is full, no file of this process can grow beyond 100,000 bytes."""

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, self.limits[1]))

    def clear(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)


@pytest.fixture
def disk():
    disk = Disk()
    yield disk
    disk.clear()


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_old_one(table, tmp_path, disk):
    data = load_data(str(table), height=SETTINGS.height, seed=1, synthetic_lines={})
    lines, checkpoint = (data.charset, data.lines["train"], data.lines["validation"]), tmp_path / "checkpoint.pt"
    _, whole = loop.train(SETTINGS, *lines)
    with pytest.raises(OSError, match="File too large"):
        loop.train(SETTINGS, *lines, lambda epoch, *_: epoch == 2 and disk.fill(), checkpoint)
    disk.clear()
    told = []
    _, resumed = loop.train(SETTINGS, *lines, lambda epoch, *_: told.append(epoch), checkpoint)
    assert told == [2, 3, 4, 5]
    assert [figures["val_loss"] for figures in resumed] == [figures["val_loss"] for figures in whole]
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_a_file_that_does_not_fit_on_the_disk_leaves_the_old_one(tmp_path, disk):
    path = tmp_path / "text_image.json"
    path.write_text("old")
    disk.fill()
    with pytest.raises(OSError, match="File too large"), atomic.replaced(path) as beside:
        beside.write_text("n" * 200_000)
    disk.clear()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
