"""The official document, and the checks of bodies against it."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]  # it ships no stubs
from jsonschema import Draft4Validator, validate  # type: ignore[import-untyped]  # it ships no stubs

PREFIX = "/ga4gh/wes/v1"
DOCUMENT = Path(__file__).with_name("wes-1.1.0-bundled.openapi.yaml")
Json = dict[str, Any]


@cache
def document() -> Json:
    """Return the document, with `nullable` in the form of JSON Schema."""
    loaded: Json = yaml.safe_load(DOCUMENT.read_text())
    schemas: Json = loaded["components"]["schemas"]
    schemas["RunLog"]["properties"]["task_logs"]["type"] = ["array", "null"]
    return loaded


def check(body: Any, schema: str) -> None:
    """Check a body against one of the document's schemas; times have the form that the descriptions require."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": document()["components"]}
    validate(body, whole, cls=Draft4Validator)
    for time in re.findall(r'"(?:start|end)_time": "([^"]*)"', json.dumps(body)):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time)


def answered(response: httpx.Response, schema: str, status: int = 200) -> Json:
    """Check that a response has this status and a body of this schema, and return the body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body: Json = response.json()
    check(body, schema)
    return body


def refused(response: httpx.Response, status: int) -> str:
    """Check that a response is an error of this status, and return its message."""
    body = answered(response, "ErrorResponse", status)
    assert set(body) == {"msg", "status_code"}
    assert body["status_code"] == status
    message: str = body["msg"]
    assert message
    return message
