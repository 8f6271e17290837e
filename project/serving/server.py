"""The front of a served version: a queue with limits, and strict JSON, between uvicorn and the worker processes.

MLflow's own scoring server (`mlflow models serve`) serves the same models, but it has no limits. uvicorn is told to run
`project.serving:app` from the `code` folder of a model: then it is the code of that version that serves it.
"""

import asyncio
import logging
import multiprocessing
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import joblib
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from project.serving import web_page
from project.serving.request import ANSWER, BODY, READY, error_body, worker_main

MODEL, WORKERS = "SERVED_MODEL", "SERVING_WORKERS"  # environment variables: a model's folder; 0 for one worker a core
WEB_PAGE = "SERVING_WEB_PAGE"  # environment variable: 1 to answer GET / with a page to try the model on
MAX_BODY = 16 * 2**20  # bytes: a photo of 12 MB, or 4 million pixels as a list
MAX_PENDING_BYTES = 8 * MAX_BODY  # bytes of all bodies that were not answered yet
MAX_WAITING = 512  # requests that have come and were not answered yet
RETRY = {"Retry-After": "1"}  # s: what a client is told that comes when there is no room
CLIENT_TIMEOUT = 20  # seconds for a client to send a request's head, and again its body
WORKER_TIMEOUT = 60  # seconds for a worker to answer
START = 120  # seconds for a worker that replaces another to load the model, and for a request to wait for a worker

log = logging.getLogger(__name__)


class Worker:
    """A process that has loaded the model, and a socket to it."""

    def __init__(self, *arguments):
        self.arguments = arguments  # of `invocation.work`

    async def start(self) -> "Worker":
        """EOFError if the process cannot load the model."""
        ours, theirs = socket.socketpair()
        process = multiprocessing.get_context("spawn").Process
        self.process = process(target=worker_main, args=(theirs, *self.arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.received, self.sent = await asyncio.open_connection(sock=ours, limit=MAX_BODY)
        await self.received.readexactly(len(READY))
        return self

    async def answer(self, body: bytes) -> tuple[int, bytes]:
        """HTTP status and JSON. EOFError or OSError (TimeoutError is one) if the process is lost."""
        async with asyncio.timeout(WORKER_TIMEOUT):
            self.sent.write(BODY.pack(len(body)))
            self.sent.write(body)
            await self.sent.drain()
            status, size = ANSWER.unpack(await self.received.readexactly(ANSWER.size))
            return status, await self.received.readexactly(size)

    async def restart(self) -> None:
        """EOFError or OSError if no new process can load the model."""
        self.sent.transport.abort()
        self.process.kill()
        await asyncio.to_thread(self.process.join)
        async with asyncio.timeout(START):
            await self.start()


class Dispatcher:
    """Takes requests in as long as there is room, and hands each to a worker that is free."""

    def __init__(self, model: str, workers: int):
        self.arguments = (model, max(1, joblib.cpu_count() // workers))  # the workers share the cores
        self.size = workers
        self.waiting = self.held = 0
        self.replacements: set[asyncio.Task] = set()

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """The server is up when all workers are."""
        self.free = asyncio.LifoQueue()  # who was free last has the warmest caches
        for worker in await asyncio.gather(*(Worker(*self.arguments).start() for _ in range(self.size))):
            self.free.put_nowait(worker)
        yield

    async def answer(self, body: bytes) -> tuple[int, bytes]:
        """HTTP status and JSON from a worker; a worker that is lost on the way is replaced."""
        try:
            async with asyncio.timeout(START):
                worker = await self.free.get()
        except TimeoutError:
            raise HTTPException(503, "no worker is free", RETRY) from None
        try:
            answered = await worker.answer(body)
        except (EOFError, OSError) as error:
            log.error("a worker was lost: %r", error)
            replacement = asyncio.create_task(self.replace(worker))
            self.replacements.add(replacement)  # the event loop itself keeps no hold of it
            replacement.add_done_callback(self.replacements.discard)
            return 500, error_body(500, "the server could not cope with this request")
        self.free.put_nowait(worker)
        return answered

    async def replace(self, worker: Worker) -> None:
        """Start a lost worker anew, however often it takes; it is free when it has loaded the model."""
        while True:
            try:
                await worker.restart()
            except (EOFError, OSError) as error:
                log.error("a worker could not start: %r", error)
                await asyncio.sleep(1)
            else:
                return self.free.put_nowait(worker)

    async def invocations(self, request: Request) -> Response:
        """POST /invocations: JSON as `mlflow models serve` takes it."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "the content type must be application/json")
        body = bytearray()
        try:
            await self.read_body(request, body)
            if self.waiting == MAX_WAITING:
                raise HTTPException(503, "too many requests at once", RETRY)
            self.waiting += 1
            try:
                status, content = await self.answer(bytes(body))
            finally:
                self.waiting -= 1
        finally:
            self.held -= len(body)
        return Response(content, status, media_type="application/json")

    async def health(self, request: Request) -> Response:
        """GET /ping and /health: whether any worker is there to answer."""
        if len(self.replacements) == self.size:
            raise HTTPException(503, "all workers are being replaced", RETRY)
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def read_body(self, request: Request, body: bytearray) -> None:
        """Append to `body` what is sent; refused as soon as it is too large, too slow, or too much for this server."""
        too_large = HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
        if int(request.headers.get("content-length", 0)) > MAX_BODY:
            raise too_large
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT):
                async for chunk in request.stream():
                    body += chunk
                    self.held += len(chunk)
                    if len(body) > MAX_BODY:
                        raise too_large
                    if self.held > MAX_PENDING_BYTES:
                        raise HTTPException(503, "too many large requests at once", RETRY)
        except TimeoutError:
            raise HTTPException(
                408, f"the body did not come within {CLIENT_TIMEOUT} s", {"Connection": "close"}
            ) from None
        except ClientDisconnect:
            raise HTTPException(400, "the body ended early") from None


async def refuse(request: Request, error: HTTPException) -> Response:
    content = error_body(error.status_code, error.detail)
    return Response(content, error.status_code, error.headers, media_type="application/json")


async def fail(request: Request, error: Exception) -> Response:
    """What no handler expected: uvicorn logs it."""
    return Response(error_body(500, "the server failed; its log says why"), 500, media_type="application/json")


def app() -> Starlette:
    """What uvicorn runs."""
    front = Dispatcher(os.environ[MODEL], int(os.environ[WORKERS]) or joblib.cpu_count())
    routes = [Route("/invocations", front.invocations, methods=["POST"])]
    routes += [Route(path, front.health) for path in ("/ping", "/health")]
    if os.environ.get(WEB_PAGE) == "1":
        routes.append(Route("/", web_page.get))
    starlette = Starlette(
        routes=routes, exception_handlers={HTTPException: refuse, Exception: fail}, lifespan=front.lifespan
    )
    starlette.router.redirect_slashes = False
    return starlette


class TimeoutProtocol(H11Protocol):
    """uvicorn's connection, with an end to its patience, and with JSON where a request is not HTTP."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.schedule_check()

    def schedule_check(self) -> None:
        self.next_check = self.loop.call_later(CLIENT_TIMEOUT, self.check_progress, self.headers, self.conn.their_state)

    def check_progress(self, headers: list | None, state: type) -> None:
        """Cut off a client that still sends the request of the last check_progress, or does not take its answer."""
        sends = state in (h11.IDLE, h11.SEND_BODY) and self.conn.their_state is state
        if self.transport.is_closing() or (sends and self.headers is headers):
            self.transport.abort()
        else:
            self.schedule_check()

    def connection_lost(self, exc: Exception | None) -> None:
        self.next_check.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        content = error_body(400, msg)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content))), ("Connection", "close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()
