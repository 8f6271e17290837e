"""The body of a request -> the body of its answer: what a worker process of `serving` does with an MLflow model.

Takes the JSON that MLflow's own scoring server takes, in a tenth of its time and within limits; what is wrong with a
request is said without repeating what was sent.
"""

import gc
import itertools
import logging
import os
import signal
import socket
import struct
from contextlib import suppress
from http import HTTPStatus

import mlflow
import numpy as np
import orjson
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.types import ParamSchema, TensorSpec

from project.recognition.image import picture_bytes
from project.recognition.picture_file import MAX_PIXELS, count_pixels

READY = b"!"  # what a worker says first
BODY, ANSWER = struct.Struct("!I"), struct.Struct("!HI")  # what goes before them: the size; the HTTP status and size
MAX_ROWS = 32  # of a request
FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")

log = logging.getLogger(__name__)


class RequestError(Exception):
    """A request that is not answered: the HTTP status, and what is wrong with it."""


def worker_main(connection: socket.socket, folder: str, threads: int) -> None:
    """Load the model in `folder`, send `READY`, and answer the bodies that come, until the connection ends.

    A body comes after its size (`BODY`), an answer goes after its HTTP status and size (`ANSWER`). The network uses so
    many threads.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group, but the front ends first
    os.environ |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    model = mlflow.pyfunc.load_model(folder)
    gc.freeze()  # the garbage collector need not look through all that was imported again and again
    connection.sendall(READY)
    with connection.makefile("rb") as received, suppress(BrokenPipeError):
        while size := received.read(BODY.size):
            status, content = answer(model, received.read(*BODY.unpack(size)))
            connection.sendall(ANSWER.pack(status, len(content)) + content)


def answer(model: PyFuncModel, body: bytes) -> tuple[int, bytes]:
    """HTTP status and JSON for the body of a request."""
    try:
        return 200, invoke(model, body)
    except RequestError as refused:
        return refused.args[0], error_body(*refused.args)
    except Exception:
        log.exception("a request failed")
        return 500, error_body(500, "the server failed; its log says why")


def error_body(status: int, message: str) -> bytes:
    """The JSON of an error, in the form that MLflow gives it."""
    return orjson.dumps({"error_code": HTTPStatus(status).name, "message": message})


def invoke(model: PyFuncModel, body: bytes) -> bytes:
    """JSON -> JSON by way of the model; `RequestError` if the request is not one that it takes."""
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    signature = model.metadata.signature
    params = checked_params(sent.pop("params", None) if isinstance(sent, dict) else None, signature.params)
    if not isinstance(sent, dict) or len(sent) != 1:
        raise RequestError(400, f"the body must be a JSON object with one of {FORMS}, and params if need be")
    (form, content), (spec,) = sent.popitem(), signature.inputs.inputs
    data = tensor(form, content, spec) if isinstance(spec, TensorSpec) else pictures(form, content, spec.name)
    try:  # not by `model.predict`, which would enforce the signature once more
        predictions = model.unwrap_python_model().answers(data, params)
    except MlflowException as error:
        raise RequestError(400, error.message) from None
    return orjson.dumps({"predictions": predictions})


def checked_params(sent: object, schema: ParamSchema | None) -> dict:
    """All parameters of the model: those that were sent, of the right types, and the others' defaults."""
    params = {param.name: param.default for param in schema.params} if schema else {}
    if sent is None:
        return params
    if not isinstance(sent, dict) or not sent.keys() <= params.keys():
        raise RequestError(400, f"params may be an object with {sorted(params)}, and nothing else")
    for name, value in sent.items():
        if type(value) is not type(params[name]):
            raise RequestError(400, f"params: {name} must be of type {type(params[name]).__name__}")
    return params | sent


def tensor(form: str, content: object, spec: TensorSpec) -> np.ndarray:
    """The array of a request, of the type and shape that the model takes."""
    if form not in ("inputs", "instances") or not isinstance(content, list):
        raise RequestError(400, f'this model takes {{"inputs": a list of shape {spec.shape}}}')
    check_rows(content)
    if holds_text(content):
        raise RequestError(400, "inputs must be numbers, and not texts")
    try:
        array = np.array(content)
    except (ValueError, OverflowError):
        array = np.array("lists of unequal length")
    if array.dtype.kind not in "biuf":
        raise RequestError(400, "inputs must be numbers, in lists of equal length")
    wanted = [n if free == -1 else free for free, n in zip(spec.shape, array.shape, strict=False)]
    if array.ndim != len(spec.shape) or wanted != list(array.shape):
        raise RequestError(400, f"inputs must have the shape {spec.shape}, got {array.shape}")
    return array.astype(spec.type)


def holds_text(content: list) -> bool:
    """Whether there is a string in nested lists: NumPy would give every number as much memory as the longest."""
    while content:
        kinds = set(map(type, content))
        if str in kinds:
            return True
        content = list(itertools.chain.from_iterable(one for one in content if isinstance(one, list)))
    return False


def pictures(form: str, content: object, column: str) -> list[bytes | str]:
    """The encoded pictures of a request, which are the one column that the model takes."""
    match form, content:
        case "inputs" | "instances", [str(), *_] as values:
            pass
        case "inputs", {**table}:
            values = table[column] if table.keys() == {column} else None
        case "dataframe_split", {"columns": [name], "data": [*rows]} if name == column:
            values = [row[0] if isinstance(row, list) and len(row) == 1 else None for row in rows]
        case "dataframe_records" | "instances", [*rows]:
            values = [row[column] if isinstance(row, dict) and row.keys() == {column} else None for row in rows]
        case _:
            values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        example = {"dataframe_split": {"columns": [column], "data": [["a picture in base64"], ["..."]]}}
        raise RequestError(400, f"this model takes {orjson.dumps(example).decode()}")
    check_rows(values)
    encoded = [decoded(value) for value in values]
    if (pixels := sum(count_pixels(one) for one in encoded if isinstance(one, bytes))) > MAX_PIXELS:
        raise RequestError(413, f"the pictures have {pixels} pixels in all; at most {MAX_PIXELS} are read at once")
    return encoded


def check_rows(values: list) -> None:
    if len(values) > MAX_ROWS:
        raise RequestError(413, f"the request has {len(values)} rows; at most {MAX_ROWS} are read at once")
    if not values:
        raise RequestError(400, "the request has no rows")


def decoded(value: str) -> bytes | str:
    """A picture's bytes; what is not base64 stays as it is, for the model to say so in its row."""
    try:
        return picture_bytes(value)
    except ValueError:
        return value
