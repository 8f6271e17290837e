"""Entry point `serve_model`: serve a registered version."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import mlflow

from project import cli
from project.errors import InputError
from project.serving.server import ALIAS, MODEL, NAME, VERSION, WEB_PAGE, WORKERS
from project.tracking.registry import READER_NAME, TWINS, find_version, version_uri


def check_port(host: str, port: int) -> None:
    """ValueError if no server can listen there, with the reason: taken, not allowed, not an address of this machine."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise InputError(f"cannot listen on host {host}, port {port}: {error.strerror}") from None


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


def serve(model: str, host: str, port: int, settings: dict[str, str], parent: int | None) -> int:
    """Run the server of the version in the folder `model`, with the version's own code; return its exit code.

    It runs until it ends, we are told to end, or our parent is no longer the process `parent`. settings: environment
    variables of `serving.server`.
    """
    app, protocol = served_names(model)
    command = [sys.executable, "-m", "uvicorn", app, "--factory", "--app-dir", f"{model}/code"]
    command += ["--http", protocol, "--ws", "none", "--no-access-log", "--no-server-header"]
    command += ["--workers", "1", "--host", host, "--port", str(port), "--timeout-graceful-shutdown", "10"]
    server = subprocess.Popen(command, env=os.environ | settings)
    cli.on_termination(lambda *_: server.terminate())
    while True:
        try:
            return server.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if parent and os.getppid() != parent:
                server.terminate()


@click.command()
@click.option("--model-name", required=True, type=click.Choice(list(TWINS)))
@click.option("--model-version", required=True, help="Number, latest, or alias.")
@click.option("--host", required=True)
@click.option("--port", required=True, type=cli.PORT)
@click.option("--workers", required=True, type=click.IntRange(0), help="Processes that read; 0 for one a core.")
@click.option("--web-page", required=True, type=click.BOOL, help="Answer GET / with a page to try the reader on.")
def main(model_name: str, model_version: str, host: str, port: int, workers: int, web_page: bool) -> None:
    # Where `mlflow run` is ended, it tells its children nothing. (MLflow forgets the name of its run at first use.)
    parent = os.getppid() if "MLFLOW_RUN_ID" in os.environ else None
    check_port(host, port)
    version = find_version(model_version, model_name)
    mlflow.set_tags({"model": model_name, "version": version.version})
    print(f"serving {model_name} version {version.version} on {cli.invocations(host, port)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        model = mlflow.artifacts.download_artifacts(version_uri(version), dst_path=folder)
        web_page = web_page and model_name == READER_NAME
        if web_page:
            print(f"to try it in a browser: {cli.invocations(host, port).removesuffix('invocations')}", flush=True)
        settings = {MODEL: model, WORKERS: str(workers), WEB_PAGE: str(int(web_page)), NAME: model_name}
        settings |= {VERSION: str(version.version), ALIAS: model_version if is_alias(model_version) else ""}
        code = serve(model, host, port, settings, parent)
    if code not in (0, *(-one for one in cli.ENDING)):
        raise InputError(f"the server ended with code {code}; what it printed above says why")


if __name__ == "__main__":
    cli.run("serve_model", main)
