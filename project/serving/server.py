"""The front of a served version: a queue with limits, and strict JSON, between uvicorn and the worker processes.

MLflow's own scoring server (`mlflow models serve`) serves the same models, but it has no limits. uvicorn is told to run
`project.serving.server:app` from the `code` folder of a model: then it is the code of that version that serves it.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import h11
import joblib
import orjson
from mlflow.models import Model
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from project.serving import web_page
from project.serving.access_log import AccessLog
from project.serving.alias import follow
from project.serving.metrics import Metrics
from project.serving.openapi import describe
from project.serving.request import Answer, error_body
from project.serving.workers import Served, Worker

# environment variables, set by `serve_model`
MODEL, WORKERS = "SERVED_MODEL", "SERVING_WORKERS"  # a model's folder; 0 for one worker a core
NAME, VERSION, ALIAS = "SERVED_NAME", "SERVED_VERSION", "SERVED_ALIAS"  # in the registry; the alias to follow, or ""
WEB_PAGE = "SERVING_WEB_PAGE"  # 1 to answer GET / with a page to try the model on
MAX_BODY = 16 * 2**20  # bytes: a photo of 12 MB, or 4 million pixels as a list
MAX_PENDING_BYTES = 8 * MAX_BODY  # bytes of all bodies that were not answered yet
MAX_WAITING = 512  # requests that have come and were not answered yet
RETRY = {"Retry-After": "1"}  # s: what a client is told that comes when there is no room
QUEUE_TIMEOUT = 120  # seconds for a request to wait for a worker
CLIENT_TIMEOUT = 20  # seconds for a client to send a request's head, and again its body

log = logging.getLogger(__name__)


class Dispatcher:
    """Take requests in as long as there is room, and hand each to a worker that is free.

    `served` is the version that new workers load. When there are more than `size` workers, those of another version
    are stopped as soon as they are free.
    """

    def __init__(self, served: Served, workers: int, metrics: Metrics):
        self.served, self.size, self.metrics = served, workers, metrics
        self.threads = max(1, joblib.cpu_count() // workers)  # the workers share the cores
        self.waiting = self.held = 0  # requests, and bytes of their bodies
        self.free: list[Worker] = []  # who was free last has the warmest caches, and comes first
        self.available = asyncio.Semaphore(0)  # counts `free`
        self.all: set[Worker] = set()  # that have loaded their model
        self.tasks: set[asyncio.Task] = set()  # the event loop itself keeps no hold of them

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Start all workers before the server is up, and stop them with it."""
        self.metrics.set_version(self.served.name, self.served.version)
        try:
            for worker in await asyncio.gather(*(self.new_worker() for _ in range(self.size))):
                self.add(worker)
            if self.served.alias:
                self.run(follow(self))
            yield
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*(worker.stop() for worker in self.all))

    def run(self, coroutine: Coroutine) -> None:
        """Run a coroutine beside the requests."""
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def new_worker(self, served: Served | None = None) -> Worker:
        """Return a worker that has loaded the version, by default the one that is served. Raise EOFError or OSError."""
        return await Worker(served or self.served, self.threads).start()

    def serve(self, served: Served, first: Worker) -> None:
        """Serve another version, of which there is a worker already."""
        self.served = served
        self.metrics.set_version(served.name, served.version)
        self.add(first)

    def add(self, worker: Worker) -> None:
        """Give requests to this worker, and stop another one if there are more than enough."""
        self.all.add(worker)
        self.metrics.workers.set(len(self.all))
        self.release(worker)
        if len(self.all) > self.size:
            self.run(self.retire())

    async def retire(self) -> None:
        """Stop a free worker if there are more than enough; where some are of another version, one of these."""
        await self.available.acquire()
        outdated = {worker for worker in self.all if worker.served is not self.served}
        worker = next((one for one in self.free if one in outdated or not outdated), None)
        if worker and len(self.all) > self.size:
            self.free.remove(worker)
            self.discard(worker)
        else:
            self.available.release()

    def release(self, worker: Worker) -> None:
        """Take a worker back that has answered; stop it if another version is served by enough others."""
        if worker.served is not self.served and len(self.all) > self.size:
            self.discard(worker)
        else:
            self.free.append(worker)
            self.available.release()

    def discard(self, worker: Worker) -> None:
        """Stop a worker that is not free."""
        self.all.discard(worker)
        self.metrics.workers.set(len(self.all))
        self.run(worker.stop())

    async def answer(self, body: bytes) -> Answer:
        """Return a worker's answer; a worker that is lost is replaced. Raise HTTPException if none is free."""
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT):
                await self.available.acquire()
        except TimeoutError:
            raise HTTPException(503, "no worker is free", RETRY) from None
        worker = self.free.pop()
        try:
            answered = await worker.answer(body)
        except BaseException as error:  # a client that has gone, too: what is on its way must not answer the next one
            self.discard(worker)
            self.run(self.start_worker())
            if not isinstance(error, (EOFError, OSError)):
                raise
            log.error("a worker was lost: %r", error)
            self.metrics.lost.inc()
            return Answer(500, error_body(500, "the worker crashed on this request, or took too long"))
        self.release(worker)
        return answered

    async def start_worker(self) -> None:
        """Add a worker of the version that is served, however often it takes."""
        while True:
            try:
                return self.add(await self.new_worker())
            except (EOFError, OSError) as error:
                log.error("a worker could not start: %r", error)
                await asyncio.sleep(1)

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
                answer = await self.answer(bytes(body))
            finally:
                self.waiting -= 1
        finally:
            self.held -= len(body)
        self.metrics.count_answer(answer)
        content = answer.content
        if answer.status != 200:
            content = orjson.dumps(orjson.loads(content) | {"request_id": request.state.request_id})
        return Response(content, answer.status, media_type="application/json")

    async def health(self, request: Request) -> Response:
        """GET /ping and /health: 200 if any worker is there to answer."""
        if not self.all:
            raise HTTPException(503, "all workers are being replaced", RETRY)
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def version(self, request: Request) -> Response:
        """GET /version: what is served."""
        return Response(orjson.dumps(self.served.described()), media_type="application/json")

    async def exposition(self, request: Request) -> Response:
        """GET /metrics, for Prometheus."""
        self.metrics.pending.set(self.waiting)
        return Response(self.metrics.exposition(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json: what the server takes and answers, by the OpenAPI Specification 3.1."""
        signature = Model.load(f"{self.served.folder}/MLmodel").signature
        return Response(orjson.dumps(describe(self.served, signature)), media_type="application/json")

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


async def refuse(request: Request, error: Exception) -> Response:
    """Answer with what a handler raised: no such path or method, too much, too slow."""
    assert isinstance(error, HTTPException)
    content = error_body(error.status_code, error.detail, request.state.request_id)
    return Response(content, error.status_code, error.headers, media_type="application/json")


async def fail(request: Request, error: Exception) -> Response:
    """Answer what no handler expected; uvicorn logs it."""
    content = error_body(500, "the server failed; its log says why", request.state.request_id)
    return Response(content, 500, media_type="application/json")


def app() -> AccessLog:
    """Return what uvicorn runs."""
    environment = os.environ.get
    served = Served(os.environ[MODEL], environment(NAME, ""), environment(VERSION, ""), environment(ALIAS, ""))
    metrics = Metrics()
    front = Dispatcher(served, int(os.environ[WORKERS]) or joblib.cpu_count(), metrics)
    routes = [Route("/invocations", front.invocations, methods=["POST"])]
    routes += [Route(path, front.health) for path in ("/ping", "/health")]
    routes += [Route("/version", front.version), Route("/metrics", front.exposition)]
    routes += [Route("/openapi.json", front.openapi)]
    if environment(WEB_PAGE) == "1":
        routes.append(Route("/", web_page.get))
    starlette = Starlette(
        routes=routes, exception_handlers={HTTPException: refuse, Exception: fail}, lifespan=front.lifespan
    )
    starlette.router.redirect_slashes = False
    access = logging.getLogger("project.serving.access")
    access.addHandler(logging.StreamHandler(sys.stdout))
    access.setLevel(logging.INFO)
    access.propagate = False
    return AccessLog(starlette, metrics)


class TimeoutProtocol(H11Protocol):
    """uvicorn's connection, with a time limit for the client, and with JSON where a request is not HTTP."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.schedule_check()

    def schedule_check(self) -> None:
        self.next_check = self.loop.call_later(CLIENT_TIMEOUT, self.check_progress, self.headers, self.conn.their_state)

    def check_progress(self, headers: list | None, state: type) -> None:
        """Abort a connection that got no further since the last check: with its request, or in taking its answer."""
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
