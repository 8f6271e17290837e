"""Entry point `serve_model`: serve a registered version with MLflow's scoring server."""

import os
import socket
import sys

import click
import mlflow

from project import entry_point
from project.registry import MODEL_NAME, find_version, version_uri


def check_port(host: str, port: int) -> None:
    """ValueError if no server can listen there, with the reason: taken, not allowed, not an address of this machine."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ValueError(f"cannot listen on host {host}, port {port}: {error.strerror}") from None


@click.command()
@click.option("--model-version", required=True, help="Number, latest, or alias.")
@click.option("--host", required=True)
@click.option("--port", required=True, type=entry_point.PORT)
def main(model_version: str, host: str, port: int) -> None:
    check_port(host, port)
    version = find_version(model_version)
    mlflow.set_tag("version", version.version)
    print(f"serving {MODEL_NAME} version {version.version} on http://{host}:{port}/invocations", flush=True)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", version_uri(version), "-h", host, "-p", str(port)]
    os.execv(sys.executable, command)  # from here on this process is the server, and gets its signals


if __name__ == "__main__":
    entry_point.run("serve_model", main)
