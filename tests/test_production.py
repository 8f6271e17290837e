"""What "In production" in the README says, as far as it can be run here: PostgreSQL, basic-auth, a Dockerfile."""

import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from project.tracking import registry
from tests.conftest import MLFLOW, free_port
from tests.trainings import Server, answers_of, assert_whole, output, runs_of, start

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
USER = "postgres" if os.getuid() == 0 else None  # PostgreSQL does not run as root
ACCOUNT = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "a long password"}


@pytest.fixture(scope="module")
def postgresql():
    """The URI of a PostgreSQL server, without the name of a database; `mlflow` and `accounts` are there."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        if USER:
            shutil.chown(folder, USER)

        def command(name, *arguments):
            return {"args": [str(BINARIES[-1] / name), *arguments], "cwd": folder, "user": USER}

        subprocess.run(
            **command("initdb", "-D", "data", "-U", "mlflow", "-A", "trust"), check=True, capture_output=True
        )
        options = ["-c", "listen_addresses=127.0.0.1", "-k", folder, "-p", str(port)]
        server = subprocess.Popen(**command("postgres", "-D", "data", *options), stderr=subprocess.DEVNULL)
        try:
            connection = ["-h", "127.0.0.1", "-p", str(port), "-U", "mlflow"]
            while subprocess.run(**command("pg_isready", "-q", *connection)).returncode:
                assert server.poll() is None
                time.sleep(0.1)
            for database in ("mlflow", "accounts"):
                subprocess.run(**command("createdb", *connection, database), check=True)
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def server(postgresql, tmp_path_factory):
    """A tracking server as in the README, with an account for the administrator."""
    folder = tmp_path_factory.mktemp("production")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {postgresql}/accounts\nadmin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    server = Server(
        folder,
        *("--app-name", "basic-auth", "--backend-store-uri", f"{postgresql}/mlflow"),
        *("--artifacts-destination", str(folder / "artifacts")),
        MLFLOW_AUTH_CONFIG_PATH=str(folder / "auth.ini"),
        MLFLOW_AUTH_ADMIN_PASSWORD=ACCOUNT["MLFLOW_TRACKING_PASSWORD"],
        MLFLOW_FLASK_SERVER_SECRET_KEY="a secret",
    )
    with server.used():
        yield server


@pytest.fixture(scope="module")
def trained(server, table, tmp_path_factory):
    """The run of a training with an account. From here on the tests have the account too."""
    folder = tmp_path_factory.mktemp("trained")
    process = start("production", table, folder, server, **ACCOUNT)
    process.join()
    assert process.exitcode == 0, output(folder)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in ACCOUNT.items():
            patched.setenv(name, value)
        (run,) = runs_of("production")
        yield run


def test_without_an_account_nothing_is_answered(server):
    with pytest.raises(MlflowException, match="not authenticated"):
        mlflow.search_experiments()


def test_a_training_with_an_account_is_whole_on_postgresql(trained):
    assert_whole(trained)


def test_a_registered_version_reads_where_nothing_may_be_unpickled(server, trained):
    uri = f"models:/{registry.MODEL_NAME}@champion"
    assert answers_of(server, [uri], **ACCOUNT) == {uri: 1}


def test_the_alias_promotes_a_version_and_rolls_it_back(trained):
    client, first = mlflow.MlflowClient(), registry.find_version("champion")
    second = mlflow.register_model(first.source, registry.MODEL_NAME)
    for version in (second.version, first.version):
        client.set_registered_model_alias(registry.MODEL_NAME, "champion", version)
        assert registry.find_version("champion").version == version


def test_the_dockerfile_of_a_version_holds_its_files_and_pinned_requirements(trained, tmp_path):
    command = [*MLFLOW, "models", "generate-dockerfile", "-m", f"models:/{registry.MODEL_NAME}@champion"]
    subprocess.run([*command, "-d", str(tmp_path)], check=True, capture_output=True)
    dockerfile = (tmp_path / "Dockerfile").read_text()
    assert f"FROM python:{platform.python_version()}-slim" in dockerfile
    assert "COPY model_dir /opt/ml/model" in dockerfile
    assert list(tmp_path.glob("model_dir/artifacts/recognizer/weights.*"))
    requirements = (tmp_path / "model_dir/requirements.txt").read_text().split()
    assert f"mlflow=={mlflow.__version__}" in requirements
    assert all("==" in requirement for requirement in requirements)
