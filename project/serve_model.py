"""Entry point `serve_model`: serve a registered version with MLflow's scoring server."""

import argparse
import os
import socket
import sys

from project.entry_point import entry_point
from project.registry import MODEL_NAME, find_version, version_uri


def free_port(host: str, port: int) -> int:
    """`port`, if a server can listen there. ValueError says why it cannot."""
    if not 1 <= port <= 65535:
        raise ValueError(f"port: {port} is not one of 1..65535")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ValueError(f"cannot listen on host {host}, port {port}: {error.strerror}") from None
    return port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-version", required=True, help="number, latest, or alias")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    arguments = parser.parse_args()

    port = free_port(arguments.host, arguments.port)
    version = find_version(arguments.model_version)
    print(f"serving {MODEL_NAME} version {version.version} on http://{arguments.host}:{port}/invocations", flush=True)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", version_uri(version), "-h", arguments.host, "-p", str(port)]
    os.execv(sys.executable, command)  # from here on this process is the server, and gets its signals


if __name__ == "__main__":
    entry_point("serve_model", main)
