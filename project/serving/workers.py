"""The worker processes of a served version: each loads the model with the version's own code, and answers bodies."""

import asyncio
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow

from project.serving.request import Answer, answer

READY = b"!"  # what a worker sends once its model is loaded
BODY = struct.Struct("!I")  # before a body: its size
ANSWER = struct.Struct("!HIIII")  # before an answer: HTTP status, and the sizes of content, lines, pages, confidences
# Versions registered before November 2026 have their own worker, which counts nothing:
FORMER_WORKER = "import socket, sys; from project import invocation; "
FORMER_WORKER += "invocation.work(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3]))"
FORMER_ANSWER = struct.Struct("!HI")  # HTTP status, size of the content
STREAM_LIMIT = 2**20  # bytes that are buffered of an answer on its way
WORKER_TIMEOUT = 60  # seconds for a worker to answer
START_TIMEOUT = 600  # seconds for a worker to load the model: 2 on a quiet machine, over 100 on a crowded one


@dataclass
class Served:
    """What is served: a model's folder on this machine, and where it is in the registry."""

    folder: str
    name: str = ""
    version: str = ""
    alias: str = ""  # that is followed; "" for none
    refused: str = ""  # the version that the alias means but that did not pass, and why
    downloaded: TemporaryDirectory | None = None  # holds `folder`, and goes when no worker needs it any more

    def described(self) -> dict[str, str]:
        """Return what GET /version answers."""
        return {"name": self.name, "version": self.version, "alias": self.alias, "refused": self.refused}


class Worker:
    """A process that has loaded a version, and a socket to it."""

    def __init__(self, served: Served, threads: int):
        self.served, self.threads = served, threads  # so many does the network use
        self.former = Path(served.folder, "code/project/invocation.py").exists()

    async def start(self) -> "Worker":
        """Start the process and wait for its model. Raise EOFError or OSError if it cannot be loaded in time.

        The process imports `project` from the version's own folder `code`, so that versions of different code can be
        served one after the other.
        """
        ours, theirs = socket.socketpair()
        program = ["-c", FORMER_WORKER] if self.former else ["-m", "project.serving.workers"]
        command = [sys.executable, "-P", *program, str(theirs.fileno()), self.served.folder, str(self.threads)]
        path = os.pathsep.join(filter(None, [f"{self.served.folder}/code", os.environ.get("PYTHONPATH")]))
        settings = {"PYTHONPATH": path, "OMP_NUM_THREADS": str(self.threads), "OMP_WAIT_POLICY": "passive"}
        with theirs:
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=os.environ | settings, stdin=subprocess.DEVNULL
            )
        self.received, self.sent = await asyncio.open_connection(sock=ours, limit=STREAM_LIMIT)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self.received.readexactly(len(READY))
        except BaseException:
            await self.stop()
            raise
        return self

    async def answer(self, body: bytes) -> Answer:
        """Return the model's answer to a body. Raise EOFError or OSError (TimeoutError is one) if it is lost."""
        async with asyncio.timeout(WORKER_TIMEOUT):
            self.sent.write(BODY.pack(len(body)))
            self.sent.write(body)
            await self.sent.drain()
            if self.former:
                status, size = FORMER_ANSWER.unpack(await self.received.readexactly(FORMER_ANSWER.size))
                return Answer(status, await self.received.readexactly(size))
            status, size, lines, pages, count = ANSWER.unpack(await self.received.readexactly(ANSWER.size))
            content = await self.received.readexactly(size)
            return Answer(status, content, lines, pages, await self.received.readexactly(count))

    async def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.sent.transport.abort()
        self.process.kill()
        await asyncio.to_thread(self.process.wait)


def worker_main(connection: socket.socket, folder: str) -> None:
    """Load the model in `folder`, send `READY`, and answer the bodies that come, until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the front ends its workers itself
    model = mlflow.pyfunc.load_model(folder)
    gc.freeze()  # the garbage collector need not look through all that was imported again and again
    connection.sendall(READY)
    with connection.makefile("rb") as received, suppress(BrokenPipeError):
        while size := received.read(BODY.size):
            done = answer(model, received.read(*BODY.unpack(size)))
            head = ANSWER.pack(done.status, len(done.content), done.lines, done.pages, len(done.confidences))
            connection.sendall(head + done.content + done.confidences)


if __name__ == "__main__":
    worker_main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
