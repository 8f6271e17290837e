"""What a served version takes and answers, by the OpenAPI Specification 3.1 (https://spec.openapis.org/oas/v3.1.0)."""

from typing import Any

from mlflow.models import ModelSignature
from mlflow.types import DataType, TensorSpec
from mlflow.types.schema import Array, Object

from project.serving.workers import Served

JSON_TYPES = {"string": "string", "integer": "integer", "long": "integer", "double": "number", "boolean": "boolean"}
ERRORS = {
    "400": "What the model does not take",
    "408": "The body took too long",
    "413": "Too large: bytes, rows, pixels or lines",
    "415": "Not application/json",
    "500": "The worker crashed or took too long",
    "503": "No room at the moment; see Retry-After",
}


def describe(served: Served, signature: ModelSignature) -> dict[str, Any]:
    """Return the OpenAPI document of the server of a version with this signature."""
    (spec,) = signature.inputs.inputs
    if isinstance(spec, TensorSpec):
        inputs: dict = {"description": "numbers (N, 1, H, W) from 0 black to 255 white", "type": "array"}
        predictions: dict = {"description": "log-probs (N, T, C); index 0 is the blank", "type": "array"}
    else:
        inputs = {"description": "pictures in base64", "type": "array", "items": {"type": "string"}}
        fields: dict = {column.name: _schema(column.type) for column in signature.outputs.inputs}
        predictions = {"type": "array", "items": {"type": "object", "properties": fields}}
    params = {
        one.name: {"type": JSON_TYPES[one.dtype.name], "default": one.default}
        for one in (signature.params.params if signature.params else [])
        if isinstance(one.dtype, DataType)
    }
    body = {"inputs": inputs} | ({"params": {"type": "object", "properties": params}} if params else {})
    error = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("error_code", "message", "request_id")},
    }
    answers = {"200": _answer("What was read", {"type": "object", "properties": {"predictions": predictions}})}
    answers |= {status: _answer(description, error) for status, description in ERRORS.items()}
    request = {"required": True, "content": _json({"type": "object", "properties": body, "required": ["inputs"]})}
    gets = {
        "/ping": "200 if any worker can answer",
        "/health": "The same",
        "/version": "Which version is served",
        "/metrics": "Figures for Prometheus",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": served.name or "handwriting", "version": served.version or "unknown"},
        "paths": {
            "/invocations": {"post": {"summary": "Read handwriting", "requestBody": request, "responses": answers}},
            **{
                path: {"get": {"summary": text, "responses": {"200": {"description": text}}}}
                for path, text in gets.items()
            },
        },
    }


def _answer(description: str, schema: dict) -> dict:
    return {"description": description, "content": _json(schema)}


def _schema(kind: object) -> dict:
    """Return the JSON schema of a type of MLflow's; one that JSON has no word for may be anything."""
    if isinstance(kind, Array):
        return {"type": "array", "items": _schema(kind.dtype)}
    if isinstance(kind, Object):
        return {"type": "object", "properties": {one.name: _schema(one.dtype) for one in kind.properties}}
    return {"type": JSON_TYPES[kind.name]} if isinstance(kind, DataType) and kind.name in JSON_TYPES else {}


def _json(schema: dict) -> dict:
    return {"application/json": {"schema": schema}}
