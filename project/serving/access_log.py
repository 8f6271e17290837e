"""A line of JSON for each request, and the ids by which it is found again in other logs."""

import logging
import re
import time
import uuid
from datetime import UTC, datetime

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from project.serving.metrics import Metrics

REQUEST_ID = re.compile(rb"[\w.:-]{1,128}", re.ASCII)  # a client's own id is kept if it is like this
# https://www.w3.org/TR/trace-context, section 3.2.2: version ff and ids of zeros are invalid
TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
PATHS = {"/", "/invocations", "/ping", "/health", "/version", "/metrics", "/openapi.json"}

log = logging.getLogger("project.serving.access")


class AccessLog:
    """Give each request an id, log it, and count it.

    The id is the client's `X-Request-ID` or a new one; it goes back in that header, and in the body of an error. A
    `traceparent` (W3C Trace Context) goes back as it came, and its trace id is in the log.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, size = time.perf_counter(), 500, 0
        headers = dict(scope["headers"])
        own, trace = headers.get(b"x-request-id", b""), headers.get(b"traceparent", b"")
        request_id = own if REQUEST_ID.fullmatch(own) else uuid.uuid4().hex.encode()
        traced = TRACEPARENT.fullmatch(trace)
        scope.setdefault("state", {})["request_id"] = request_id.decode()

        async def send_with_ids(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                ids = [(b"x-request-id", request_id), *([(b"traceparent", trace)] if traced else [])]
                message = {**message, "headers": [*message.get("headers", []), *ids]}
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, send_with_ids)
        finally:
            seconds = time.perf_counter() - started
            path = scope["path"] if scope["path"] in PATHS else "other"
            self.metrics.requests.labels(path, status).inc()
            if path == "/invocations":
                self.metrics.seconds.observe(seconds)
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "request_id": request_id.decode(),
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": status,
                "ms": round(1000 * seconds, 1),
                "bytes": size,
            }
            log.info(orjson.dumps(line | ({"trace_id": traced[1].decode()} if traced else {})).decode())
