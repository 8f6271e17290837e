"""Entry point `serve_model`: serve a registered version."""

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import mlflow

from project import cli
from project.errors import InputError
from project.serving.server import ALIAS, MODEL, NAME, VERSION, WEB_PAGE, WORKERS
from project.tracking.registry import READER_NAME, TWINS, check_version, find_version, version_uri

ENDED = (0, *(-one for one in cli.ENDING))  # exit codes of a server that was told to end
RESTART_PAUSE = 1  # seconds

log = logging.getLogger(__name__)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound there, but does not listen yet.

    Raise InputError if no server can listen there: the port is taken, not allowed, not of this machine.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it; uvicorn sets it not
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen on host {host}, port {port}: {error.strerror}") from None
    return listener


def served_names(model: str) -> tuple[str, str]:
    """Return what uvicorn is to run of the code in the folder `model`: the app and the protocol, as "module:name".

    In versions registered before November 2026 both stand in the module `project.serving`.
    """
    if Path(model, "code/project/serving.py").exists():
        return "project.serving:app", "project.serving:Patient"
    return "project.serving.server:app", "project.serving.server:TimeoutProtocol"


def is_alias(model_version: str) -> bool:
    """Return whether a version is meant by an alias, which may move, and is then followed."""
    return not model_version.isdecimal() and model_version != "latest"


def serve(model: str, listener: socket.socket, settings: dict[str, str], parent: int | None) -> int:
    """Run the server of the version in the folder `model`, with the version's own code; return its exit code.

    It runs until it is told to end, or we are, or our parent is no longer the process `parent`. Where it was up and was
    killed or failed, it is started anew; we keep `listener` open, so that requests wait for it. settings: environment
    variables of `serving.server`.
    """
    ending = False
    app, protocol = served_names(model)
    command = [sys.executable, "-m", "uvicorn", app, "--factory", "--app-dir", f"{model}/code"]
    command += ["--http", protocol, "--ws", "none", "--no-access-log", "--no-server-header"]
    command += ["--workers", "1", "--fd", str(listener.fileno()), "--timeout-graceful-shutdown", "10"]
    command += ["--timeout-keep-alive", "20"]  # s: longer than clients keep an idle connection (httpx: 5)

    def start() -> subprocess.Popen:
        return subprocess.Popen(command, env=os.environ | settings, pass_fds=[listener.fileno()])

    def end(*_: object) -> None:
        nonlocal ending
        ending = True
        server.terminate()

    server = start()
    cli.on_termination(end)
    while True:
        try:
            code = server.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if parent and os.getppid() != parent:
                end()
            continue
        was_up = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if ending or code in ENDED or not was_up:
            return code
        log.warning("the server ended with code %s, and is started anew", code)
        time.sleep(RESTART_PAUSE)
        if not ending:
            server = start()
        if ending:  # since then
            server.terminate()


@click.command()
@click.option("--model-name", required=True, type=click.Choice(list(TWINS)))
@click.option("--model-version", required=True, help="Number, latest, or alias.")
@click.option("--host", required=True)
@click.option("--port", required=True, type=cli.PORT)
@click.option("--workers", required=True, type=click.IntRange(0), help="Processes that read; 0 for one a core.")
@click.option("--web-page", required=True, type=click.BOOL, help="Answer GET / with a page to try the reader on.")
def main(model_name: str, model_version: str, host: str, port: int, workers: int, web_page: bool) -> None:
    # A killed `mlflow run` signals nobody, so the server watches its parent; MLflow's first call removes this variable.
    parent = os.getppid() if "MLFLOW_RUN_ID" in os.environ else None
    listener = bound(host, port)
    version = find_version(model_version, model_name)
    check_version(version)
    mlflow.set_tags({"model": model_name, "version": version.version})
    print(f"serving {model_name} version {version.version} on {cli.invocations(host, port)}", flush=True)
    web_page = web_page and model_name == READER_NAME
    if web_page:
        print(f"to try it in a browser: {cli.invocations(host, port).removesuffix('invocations')}", flush=True)
    with listener, tempfile.TemporaryDirectory() as folder:
        model = mlflow.artifacts.download_artifacts(
            version_uri(version), dst_path=str(Path(folder, str(version.version)))
        )
        settings = {MODEL: model, WORKERS: str(workers), WEB_PAGE: str(int(web_page)), NAME: model_name}
        settings |= {VERSION: str(version.version), ALIAS: model_version if is_alias(model_version) else ""}
        settings["TMPDIR"] = folder  # what the server leaves, however it ends, goes with the folder
        settings["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"  # its output is a log
        code = serve(model, listener, settings, parent)
    if code not in ENDED:
        raise InputError(f"the server ended with code {code}; what it printed above says why")


if __name__ == "__main__":
    cli.run("serve_model", main)
