"""The body of a request -> the body of its answer, by way of an MLflow model.

Takes the JSON that MLflow's own scoring server takes, in a tenth of its time and within limits; what is wrong with a
request is said without repeating what was sent.
"""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

import orjson
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.types import ParamSchema, TensorSpec

from project.errors import InputError
from project.recognition.image import picture_bytes
from project.recognition.picture_file import MAX_PIXELS, count_pixels

MAX_ROWS = 32  # of a request
MAX_LINES = 500  # of all pages of a request
FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")

log = logging.getLogger(__name__)


class RequestError(Exception):
    """A request that is not answered: the HTTP status, and what is wrong with it."""


class Answer(NamedTuple):
    """The answer to a request, with what is counted of it."""

    status: int  # of HTTP
    content: bytes  # JSON
    lines: int = 0  # that were read
    pages: int = 0  # pictures that were read as pages
    confidences: bytes = b""  # of the lines that have one, each in 1/255


def answer(model: PyFuncModel, body: bytes) -> Answer:
    """Answer the body of a request, JSON, whatever it is."""
    try:
        predictions = invoke(model, body)
    except RequestError as refused:
        return Answer(refused.args[0], error_body(*refused.args))
    except Exception:
        log.exception("a request failed")
        return Answer(500, error_body(500, "the server failed; its log says why"))
    content = orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not isinstance(predictions[0], dict):  # log-probs
        return Answer(200, content, len(predictions))
    lines = [line for row in predictions for line in row["lines"]]
    confidences = bytes(round(255 * line["confidence"]) for line in lines)
    return Answer(200, content, len(lines), sum(row["layout"] == "page" for row in predictions), confidences)


def error_body(status: int, message: str, request_id: str = "") -> bytes:
    """Return the JSON of an error, in the form that MLflow gives it, with the request's id where it has one."""
    error = {"error_code": HTTPStatus(status).name, "message": message}
    return orjson.dumps(error | ({"request_id": request_id} if request_id else {}))


def invoke(model: PyFuncModel, body: bytes) -> list:
    """Return the model's predictions for a body. Raise RequestError if it is not one that the model takes."""
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    signature = model.metadata.signature
    params = checked_params(sent.pop("params", None) if isinstance(sent, dict) else None, signature.params)
    if not isinstance(sent, dict) or len(sent) != 1:
        raise RequestError(400, f"the body must be a JSON object with one of {FORMS}, and params if need be")
    (form, content), (spec,) = sent.popitem(), signature.inputs.inputs
    data = tensor(form, content, spec.shape) if isinstance(spec, TensorSpec) else pictures(form, content, spec.name)
    try:  # not by `model.predict`, which would enforce the signature once more
        return within_limits(model.unwrap_python_model().answers(data, params))
    except MlflowException as error:
        raise RequestError(400, error.message) from None


def within_limits(answers: Iterable) -> list:
    """Return all answers; raise RequestError as soon as the pages among them have more than `MAX_LINES` lines."""
    rows, lines = [], 0
    for row in answers:
        rows.append(row)
        lines += len(row["lines"]) if isinstance(row, dict) else 0
        if lines > MAX_LINES:
            raise RequestError(413, f"the pages have more than {MAX_LINES} lines in all; send them one by one")
    return rows


def checked_params(sent: object, schema: ParamSchema | None) -> dict:
    """Return all parameters of the model: those that were sent, of the right types, and the others' defaults."""
    params = {param.name: param.default for param in schema.params} if schema else {}
    if sent is None:
        return params
    if not isinstance(sent, dict) or not sent.keys() <= params.keys():
        raise RequestError(400, f"params may be an object with {sorted(params)}, and nothing else")
    for name, value in sent.items():
        if type(value) is not type(params[name]):
            raise RequestError(400, f"params: {name} must be of type {type(params[name]).__name__}")
    return params | sent


def tensor(form: str, content: object, shape: tuple[int, ...]) -> list:
    """Return the nested lists of a request, for the model to check. Raise RequestError if it has none."""
    if form not in ("inputs", "instances") or not isinstance(content, list):
        raise RequestError(400, f'this model takes {{"inputs": a list of shape {shape}}}')
    check_rows(content)
    return content


def pictures(form: str, content: object, column: str) -> list[bytes | str]:
    """Return the encoded pictures of a request, the model's one column. Raise RequestError otherwise."""
    values: object = None
    match form, content:
        case "inputs" | "instances", [str(), *_]:
            values = content
        case "inputs", {**table}:
            values = table[column] if table.keys() == {column} else None
        case "dataframe_split", {"columns": [name], "data": [*rows]} if name == column:
            values = [row[0] if isinstance(row, list) and len(row) == 1 else None for row in rows]
        case "dataframe_records" | "instances", [*rows]:
            values = [row[column] if isinstance(row, dict) and row.keys() == {column} else None for row in rows]
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
    """Return a picture's bytes; what is not base64 stays as it is, for the model to say so in its row."""
    try:
        return picture_bytes(value)
    except InputError:
        return value
