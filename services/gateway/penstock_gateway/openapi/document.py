"""From the table of operations to the OpenAPI document."""

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from penstock_gateway.http.operations import Link, Operation, Parameter, ResponseSpec, Surface
from penstock_gateway.http.problems import (
    CROSS_SITE,
    FORBIDDEN,
    INTERNAL,
    INVALID,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TOO_MANY,
    TYPE_PREFIX,
    UNAUTHENTICATED,
    Kind,
)
from penstock_gateway.operations import OPERATIONS, examples
from penstock_gateway.operations.parts import PREFER
from penstock_gateway.operations.wes_models import ErrorResponse
from penstock_gateway.wes.failures import status_of
from penstock_schemas.api import FormManifest, Problem
from penstock_schemas.patterns import with_ecma_patterns

WES_PREFIX: Final = "/ga4gh/wes/v1"
EVERYWHERE: Final = (UNAUTHENTICATED, CROSS_SITE, TOO_MANY, METHOD_NOT_ALLOWED, INTERNAL)
"""What every operation may answer."""
_REF: Final = "#/components/schemas/{name}"
_SOURCE_KINDS: Final = [
    {"required": [name], "properties": {name: {"type": "object" if name in ("files", "archive") else "string"}}}
    for name in ("files", "archive", "git", "url", "path")
]
"""A source names exactly one of these."""
_TAGS: Final = {
    "Jobs": "Submit jobs, read them, list them, hold them, cancel them.",
    "Runs": "What a run does and leaves behind: events, tasks, logs, outputs.",
    "Pipelines": "The catalogue: workflows that are offered under a name, in versions.",
    "Tokens": "API tokens, for programs.",
    "WES": "The same jobs as runs of the GA4GH Workflow Execution Service 1.1. Errors are `{msg, status_code}`.",
    "Server": "The server itself.",
}
_SECURITY: Final = {
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API token, or one of the OpenID provider."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API token."},
}
_HEADERS: Final = {
    "Location": "The address of what was made.",
    "Repr-Digest": "The SHA-256 of the whole file (RFC 9530), also beside a part of it.",
    "ETag": "Names this state of the answer; give it back in `If-None-Match`.",
    "Penstock-Seq": "The sequence of the log that the answer reflects; give it back in `Penstock-Min-Seq`.",
}


def document(
    software_version: str, *, wes_prefix: str = WES_PREFIX, presets: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document.

    Args:
        software_version: of the gateway.
        wes_prefix: the path below which WES is served.
        presets: the presets that the gateway has; `None` when the document is of no gateway in particular.

    """
    shapes = _shapes()
    schemas, components = with_ecma_patterns(msgspec.json.schema_components(shapes, ref_template=_REF))
    components["SubmittedSource"]["oneOf"] = _SOURCE_KINDS
    if presets is not None:
        components["PipelineRegistration"]["properties"]["preset"] = {
            "description": "A preset that this server's operator named.",
            "enum": [None, *sorted(presets)],
            "default": None,
        }
    schema_of = dict(zip(map(repr, shapes), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        prefix = wes_prefix if operation.surface is Surface.WES else ""
        paths.setdefault(prefix + operation.path, {})[operation.method] = _operation(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": software_version,
            "summary": "Scientific pipelines as a service.",
            "description": "Submit workflows, watch them run, download their outputs. Errors are problems as in "
            "RFC 9457; every time is UTC. Send credentials in the header Authorization: a name with its password "
            "(Basic), an API token, which `POST /tokens` and `penstock token` issue, or a token of the OpenID "
            "provider (Bearer). X-API-Key takes API tokens, too. The operator configures which are accepted.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "security": [{}, *({name: []} for name in _SECURITY)],
        "paths": paths,
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": _SECURITY},
    }


def _shapes() -> list[Any]:
    found = [
        Problem,
        ErrorResponse,
        FormManifest,
        *(operation.body for operation in OPERATIONS if operation.body is not None),
    ]
    found.extend(answer.shape for operation in OPERATIONS for answer in operation.answers if answer.shape is not None)
    return list({repr(shape): shape for shape in found}.values())


def _operation(operation: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in operation.answers:
        _add(responses, str(answer.status), _answer(answer, schema_of))
    for status, kinds in _by_status((*operation.problems, *_derived(operation)), operation.surface).items():
        response = _problem(kinds) if operation.surface is Surface.NATIVE else _error(status, kinds)
        responses.setdefault(str(status), response)
    rendered: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": dict(sorted(responses.items())),
    }
    if operation.description:
        rendered["description"] = operation.description
    parameters = (*operation.parameters, *((PREFER,) if _can_ignore(operation) else ()))
    if parameters:
        rendered["parameters"] = [_parameter(parameter) for parameter in parameters]
    if operation.body is not None:
        schema = schema_of[repr(operation.body)]
        examples = {name: {"value": value} for name, value in operation.body_examples.items()}
        content = {"application/json": {"schema": schema, "examples": examples}}
        if operation.takes_files:
            content["multipart/form-data"] = _form(schema, schema_of[repr(FormManifest)])
        rendered["requestBody"] = {"required": operation.body_is_required, "content": content}
    elif operation.form is not None:
        rendered["requestBody"] = {"required": True, "content": _plain_form(operation.form)}
    return rendered


def _derived(operation: Operation) -> Iterator[Kind]:
    """Yield the problems that follow from the rest of a declaration."""
    if operation.role is not None:
        yield FORBIDDEN
    if operation.checks_query:
        yield INVALID
    yield from EVERYWHERE


def _can_ignore(operation: Operation) -> bool:
    """Return whether a request may have fields or parameters that could be unknown."""
    has_query = any(parameter.where == "query" for parameter in operation.parameters)
    return operation.surface is Surface.NATIVE and (has_query or operation.body is not None)


def _plain_form(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the two media types of a form: only one of them can have files."""
    fields = {name: field for name, field in schema["properties"].items() if field["type"] != "array"}
    return {
        "multipart/form-data": {"schema": schema},
        "application/x-www-form-urlencoded": {"schema": {**schema, "properties": fields}},
    }


def _form(schema: Any, manifest: Any) -> dict[str, Any]:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    parts = {"job": schema, "manifest": manifest, "files": {"type": "array", "items": file}, "archive": file}
    return {
        "schema": {"type": "object", "properties": parts, "required": ["job"], "additionalProperties": False},
        "encoding": {"job": {"contentType": "application/json"}, "manifest": {"contentType": "application/json"}},
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = parameter.schema
    if parameter.is_repeatable:
        schema = {"type": "array", "items": schema}
        if parameter.max_values is not None:
            schema["maxItems"] = parameter.max_values
    rendered: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.where == "path",
    }
    if "contentSchema" in schema:  # a text that holds JSON
        return {**rendered, "content": {schema["contentMediaType"]: {"schema": schema["contentSchema"]}}}
    rendered["schema"] = schema
    if parameter.is_repeatable:
        rendered |= {"style": "form", "explode": True}
    return rendered


def _answer(answer: ResponseSpec, schema_of: dict[str, Any]) -> dict[str, Any]:
    rendered: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        rendered["headers"] = {
            name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in answer.headers
        }
    if answer.links:
        rendered["links"] = {link.operation: _link(link) for link in answer.links}
    if answer.shape is not None:
        content: dict[str, Any] = {"schema": schema_of[repr(answer.shape)]}
        if answer.example is not None:
            content["example"] = answer.example
        rendered["content"] = {answer.media_type: content}
    elif answer.media_type != "application/json":
        rendered["content"] = {answer.media_type: {"schema": {"type": "string"}}}
    return rendered


def _link(link: Link) -> dict[str, Any]:
    rendered: dict[str, Any] = {"operationId": link.operation}
    if link.parameters:
        rendered["parameters"] = link.parameters
    if link.body is not None:
        rendered["requestBody"] = link.body
    return rendered


def _add(responses: dict[str, Any], status: str, answer: dict[str, Any]) -> None:
    """Add an answer; of two with the same status, either may come."""
    known = responses.setdefault(status, answer)
    if known is answer:
        return
    known["description"] = f"{known['description']}; or {answer['description'][0].lower()}{answer['description'][1:]}"
    for media_type, content in answer["content"].items():
        first = known["content"].setdefault(media_type, content)
        if first is not content:
            first["schema"] = {"anyOf": [first["schema"], content["schema"]]}


def _by_status(kinds: tuple[Kind, ...], surface: Surface) -> dict[int, tuple[Kind, ...]]:
    found: dict[int, tuple[Kind, ...]] = {}
    for kind in dict.fromkeys(kinds):
        status = kind.status if surface is Surface.NATIVE else status_of(kind)
        found[status] = (*found.get(status, ()), kind)
    return found


def _error(status: int, kinds: tuple[Kind, ...]) -> dict[str, Any]:
    """Return an error of WES."""
    example = {"msg": f"{kinds[0].title}.", "status_code": status}
    content = {"schema": {"$ref": _REF.format(name="ErrorResponse")}, "example": example}
    return {"description": "; or ".join(kind.title for kind in kinds), "content": {"application/json": content}}


def _problem(kinds: tuple[Kind, ...]) -> dict[str, Any]:
    return {
        "description": "; or ".join(kind.title for kind in kinds),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": _REF.format(name="Problem")},
                "examples": {kind.slug: {"value": _example(kind)} for kind in kinds},
            }
        },
    }


def _example(kind: Kind) -> dict[str, Any]:
    match kind.slug:
        case INVALID.slug:
            return examples.INVALID
        case NOT_FOUND.slug:
            return examples.NOT_FOUND
        case _:
            detail = kind.advice or f"{kind.title}."
            return {"type": TYPE_PREFIX + kind.slug, "title": kind.title, "status": kind.status, "detail": detail}
