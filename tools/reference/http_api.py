"""`http-api.md`: operations from the OpenAPI document, bodies from the schemas, errors from the gateway's table."""

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from penstock_gateway.http import problems
from penstock_gateway.jobs.rendering import render
from penstock_gateway.openapi import document
from penstock_gateway.wiring.http import software_version
from penstock_schemas import api
from penstock_schemas.plans import Plan
from penstock_schemas.software import SoftwareManifest
from penstock_schemas.views import Job
from tools.reference.effects import distinct
from tools.reference.markdown import anchor, code, heading, table
from tools.reference.shapes import enum_table, named_shapes, struct_table, summary

SECTIONS: Final = ("Jobs", "Runs", "Pipelines", "Tokens", "Server")
"""The tags of the document, in this order."""

INTRODUCTION: Final = """
A running gateway serves the same as OpenAPI at `/openapi.json`, and shows it at `/docs` and `/redoc`, without the
network. That document also has the operations of [GA4GH WES](wes.md), and links between operations.

Bodies are JSON, times are UTC. Numbers are those of JSON: `225.0` is a whole number. Every address may end with a `/`.
Answers may gain members.

A request with a member or a query parameter that does not exist is refused, so that a typing error shows; the answer
lists all of them. With the header `Prefer: handling=lenient`
([RFC 7240](https://www.rfc-editor.org/rfc/rfc7240#section-4.4)) they are ignored, and the answer has
`Preference-Applied: handling=lenient`. With `PENSTOCK_UNKNOWN_FIELDS=ignore` they are ignored for everybody who does
not send `Prefer: handling=strict`.

Errors are problems as in RFC 9457, with the media type `application/problem+json` ([errors](#errors)). Their `type`
leads to a page of the gateway that describes each kind.
"""


def openapi() -> str:
    """Return the OpenAPI document as a gateway of this version serves it."""
    return json.dumps(document(software_version()), indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """Return the page."""
    operations = [operation for operation in _operations(document("")) if operation[1]["tags"] != ["WES"]]
    parts = [heading("HTTP API", source="the OpenAPI document and the schemas"), INTRODUCTION.lstrip()]
    rows = [(f"[{code(title)}]({anchor(title)})", operation["summary"]) for title, operation in operations]
    parts.append(table(("operation", "does"), rows))
    for section in SECTIONS:
        parts.append(f"## {section}\n")
        for title, operation in operations:
            if operation["tags"] == [section]:
                parts.append(_operation(title, operation))
    parts.append("## How a job follows from its events\n")
    parts.append(_derivation())
    parts.append("## Errors\n")
    parts.append(_errors())
    parts.append("## Bodies\n")
    parts += _bodies()
    return "\n".join(parts)


def _operations(openapi: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _operation(title: str, operation: dict[str, Any]) -> str:
    parts = [f"### {title}\n", operation["summary"] + "\n"]
    if operation.get("description"):
        parts.append(operation["description"] + "\n")
    if parameters := operation.get("parameters"):
        rows = [
            (code(item["name"]), item["in"], _schema_words(item["schema"]), item["description"]) for item in parameters
        ]
        parts.append(table(("parameter", "in", "value", "meaning"), rows))
    if body := operation.get("requestBody"):
        shape = _shape_words(body["content"]["application/json"]["schema"])
        or_form = "; or a form" if "multipart/form-data" in body["content"] else ""
        parts.append(f"Body: {shape}{'' if body.get('required') else ', optional'}{or_form}\n")
    answers = operation["responses"].items()
    when = [(code(status), _content_words(answer), str(answer["description"])) for status, answer in answers]
    parts.append(table(("status", "body", "when"), when))
    return "\n".join(parts)


def _content_words(answer: dict[str, Any]) -> str:
    words: list[str] = []
    for media_type, content in answer.get("content", {}).items():
        if media_type == "application/json":
            words.append(_shape_words(content["schema"]))
        else:
            words.append("[Problem](#problem)" if media_type == problems.MEDIA_TYPE else code(media_type))
    return ", ".join(words)


def _shape_words(schema: dict[str, Any]) -> str:
    if "anyOf" in schema and all("$ref" in option for option in schema["anyOf"]):
        return " or ".join(_shape_words(option) for option in schema["anyOf"])
    name = schema.get("$ref", "").rpartition("/")[2]
    if name:
        return f"[{name}]({anchor(name)})"
    if "const" in schema or "enum" in schema:
        return code(json.dumps(schema.get("const") or schema["enum"][0]))
    return _schema_words(schema)


def _schema_words(schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        return f"{_schema_words(schema['items'])}; may be repeated"
    if "enum" in schema:
        return " or ".join(code(value) for value in schema["enum"])
    words = str(schema.get("format", schema.get("type", "any JSON value")))
    low, high, default = schema.get("minimum"), schema.get("maximum"), schema.get("default")
    if low is not None and high is not None:
        words += f" from {low:g} to {high:g}"
    elif low is not None:
        words += f" of at least {low:g}"
    return words if default is None else f"{words}; {code(default)} when left out"


def _derivation() -> str:
    """Return where each member of a job comes from, found by rendering one whose every field is unlike the others."""
    job: Job = distinct(Job, 10_000)
    rendered = render(job)
    fields: list[tuple[str, object]] = [(f"`{name}`", getattr(job, name)) for name in Job.__struct_fields__]
    fields += [(f"`spec.{name}`", getattr(job.spec, name)) for name in job.spec.__struct_fields__]
    fields += [(f"`head.{name}`", getattr(job.head, name)) for name in job.head.__struct_fields__]
    assert job.failure is not None
    fields += [(f"`failure.{name}`", getattr(job.failure, name)) for name in job.failure.__struct_fields__]
    rows: list[tuple[str, str]] = []
    for name in type(rendered).__struct_fields__:
        value = getattr(rendered, name)
        same = [words for words, member in fields if type(member) is type(value) and member == value]
        origin = f"`spec.{name}`" if f"`spec.{name}`" in same else next(iter(same), None)
        rows.append((code(name), origin or OTHERWISE[name]))
    intro = (
        "A job that the API shows is the fold of its events, with other names for a few members\n"
        "([what each event does to a job](events.md#what-each-event-does-to-a-job)). Lists are ordered by\n"
        "`created_seq`, the highest first.\n\n"
    )
    return intro + table(("member of the answer", "member of the fold"), rows)


OTHERWISE: Final = {
    "status": "by `state`, as in [the table of states](states.md#states)",
    "status_detail": "in words, from `state` and why it waits",
    "waiting": "from `state`, `not_before`, and the last report of the scheduler that leads",
    "declared": "`spec.source.declared`",
    "preflight": "from `spec.source.declared`, and what the connected runners report",
    "left_out": "`spec.source.left_out`",
    "parent": "`spec.lineage`, and whether that job was deleted",
    "children": "the jobs whose `spec.lineage` names it; of one job only",
    "child_count": "how many there are, up to 200",
}


def _errors() -> str:
    rows = [
        (
            code(kind.status),
            code(problems.TYPE_PREFIX + kind.slug),
            kind.title,
            f"{kind.retry_after_s} s" if kind.retry_after_s else "",
        )
        for kind in problems.kinds()
    ]
    return table(("status", "`type`", "title", "`Retry-After`"), rows)


def _bodies() -> Iterator[str]:
    bodies = [
        shape
        for shape in (getattr(api, name) for name in api.__all__)
        if isinstance(shape, type) and issubclass(shape, msgspec.Struct)
    ]
    bodies += [Plan, SoftwareManifest]
    inner = named_shapes(bodies)
    for shape in [*bodies, *(name for name in inner if name not in bodies)]:
        yield f"### {shape.__name__}\n\n{summary(shape)}\n"
        yield struct_table(shape) if issubclass(shape, msgspec.Struct) else enum_table(shape)
