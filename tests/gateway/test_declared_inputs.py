"""What the OpenAPI document declares of a request is what is accepted: every parameter and field, WES included.

For each operation of the document that a gateway serves, one wrong value of each declared input, one input that is not
declared, and one that is sent twice are refused with its name; values within the declaration are not.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx
from tests.gateway.gateway_harness import GatewayHarness, submission, submit

Json = dict[str, Any]
WES = "/ga4gh/wes/v1"
SERVER_ONLY = frozenset({"cursor", "page_token"})
"""Of these, only values that the server itself gave are accepted."""
IGNORES_UNDECLARED = frozenset({"/health", "/healthz"})
"""Probes of load balancers; the operations of WES, which other clients extend, ignore it as well."""
LIST_TASKS = f"{WES}/runs/{{run_id}}/tasks"
"""It refuses wrong pages alone, as pages that do not exist."""
TEXTS = ("", "\0", "\n", ":", "!", "é", "a", "A" * 44, "a" * 300, "a" * 10_001)
JSON_TYPES: Final = ("string", "integer", "number", "boolean", "object", "array", "null")
WRONG_JSON: Final[tuple[Any, ...]] = ("x", 5, 1.5, True, {}, [])
BODIES: Json = {
    "/jobs": submission(),
    "/tokens": {"name": "n"},
    "/pipelines": {"name": "n", "version": "1", "source": {"files": {"Snakefile": "rule a:\n    output: 'a'\n"}}},
}


class Declared(NamedTuple):
    """An operation of the document, at an address that exists."""

    method: str
    template: str
    address: str
    operation: Json
    document: Json

    def parameters(self, where: str) -> Iterator[tuple[str, Json, bool]]:
        """Yield name, schema of one value, and whether it may be repeated."""
        for reference in self.operation.get("parameters", ()):
            parameter = resolved(self.document, reference)
            if parameter["in"] == where and "schema" in parameter:
                schema = resolved(self.document, parameter["schema"])
                is_repeatable = schema.get("type") == "array"
                yield (
                    parameter["name"],
                    resolved(self.document, schema["items"] if is_repeatable else schema),
                    is_repeatable,
                )

    @property
    def body_schema(self) -> Json | None:
        content = self.operation.get("requestBody", {}).get("content", {}).get("application/json")
        return None if content is None else resolved(self.document, content["schema"])

    async def send(
        self, client: httpx.AsyncClient, query: str = "", headers: dict[str, str] | None = None, body: Any = None
    ) -> httpx.Response:
        if body is None and self.body_schema is not None:
            body = BODIES.get(self.template, {})
        return await client.request(self.method, self.address + query, headers=headers, json=body)


def resolved(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        found: Any = document
        for key in schema["$ref"].split("/")[1:]:
            found = found[key]
        schema = found
    return schema


def wrong_values(schema: Json) -> list[str]:
    """Return texts that a parameter of this schema may not have."""
    if "enum" in schema:
        return ["zzz"]
    if schema.get("type") == "integer":
        return ["x", "1.5", str(schema["minimum"] - 1), str(schema["maximum"] + 1)]
    if schema.get("type") == "number":
        return ["x", "-1"]
    if schema.get("format") == "date-time":
        return ["yesterday"]
    return [text for text in TEXTS if not fits(schema, text)][:3]


def right_values(schema: Json) -> list[str]:
    if "enum" in schema:
        return [schema["enum"][0], schema["enum"][-1]]
    if schema.get("type") == "integer":
        return [str(schema["minimum"]), str(schema["default"])]
    if schema.get("type") == "number":
        return ["0", "0.0"]
    if schema.get("format") == "date-time":
        return ["2026-01-31T12:00:00Z"]
    return [text for text in TEXTS if fits(schema, text)][:3]


def fits(schema: Json, text: str) -> bool:
    pattern = re.sub(r"\$\Z", r"\\Z", schema.get("pattern", ""))  # in JSON Schema, no line end fits before it
    is_long_enough = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    return is_long_enough and re.search(pattern, text) is not None


def json_types(document: Json, schema: Json) -> set[str]:
    schema = resolved(document, schema)
    options: list[Json] = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if options:
        return set[str]().union(*(json_types(document, option) for option in options))
    if "enum" in schema or "const" in schema:
        return {"string"}
    declared: Any = schema.get("type", JSON_TYPES)  # without a type, every value fits
    return {declared} if isinstance(declared, str) else set(declared)


def types_of(value: object) -> set[str]:
    match value:
        case bool():
            return {"boolean"}
        case int():
            return {"integer", "number"}
        case float():
            return {"number"}
        case str():
            return {"string"}
        case list():
            return {"array"}
        case _:
            return {"object"}


async def declared(harness: GatewayHarness, client: httpx.AsyncClient) -> list[Declared]:
    await harness.connect_runner("mock")
    job = await submit(client)
    await harness.project()
    document: Json = (await client.get("/openapi.json")).json()
    values = {
        "job_id": job["id"],
        "run_id": job["id"],
        "stream": "stdout",
        "path": "a",
        "task_id": "t-1",
        "version": "1",
    }
    return [
        Declared(
            method.upper(),
            template,
            re.sub(r"{(\w+)}", lambda name: values.get(name[1], "x"), template),
            found,
            document,
        )
        for template, operations in document["paths"].items()
        for method, found in operations.items()
        if method != "parameters"
    ]


def require_refused(response: httpx.Response, name: str, value: object) -> None:
    where = f"{response.request.method} {response.request.url}: {name} = {value!r}: {response.status_code}"
    assert 400 <= response.status_code < 500, where
    assert name.lower() in response.text.lower(), f"{where}: {response.text}"


async def test_values_outside_the_declaration_of_a_parameter_are_refused(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        checked = 0
        for operation in await declared(harness, client):
            for name, schema, is_repeatable in operation.parameters("query"):
                values = wrong_values(schema)
                queries = [f"{name}={quote(value)}" for value in values]
                if not is_repeatable:
                    right = quote((right_values(schema) or ["x"])[0])
                    queries.append(f"{name}={right}&{name}={right}")
                for query in queries:
                    require_refused(await operation.send(client, f"?{query}"), name, query)
                    checked += 1
            for name, schema, _ in operation.parameters("header"):
                for value in wrong_values(schema):
                    if value.isprintable() and value.isascii() and value:
                        require_refused(await operation.send(client, headers={name: value}), name, value)
                        checked += 1
        assert checked > 100


async def test_values_within_the_declaration_of_a_parameter_are_accepted(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        operations = await declared(harness, client)
        (job,) = (await client.get("/jobs")).json()["jobs"]
        await client.post(f"/jobs/{job['id']}/cancel")
        await harness.project()  # its log ends here, for those who follow it
        for operation in operations:
            if operation.method != "GET":
                continue
            plain = (await operation.send(client)).status_code
            for name, schema, _ in operation.parameters("query"):
                for value in () if name in SERVER_ONLY else right_values(schema):
                    response = await operation.send(client, f"?{name}={quote(value)}")
                    assert response.status_code == plain, f"{operation.template}: {name}={value!r}: {response.text}"


async def test_parameters_that_are_not_declared_are_refused(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        for operation in await declared(harness, client):
            response = await operation.send(client, "?undeclared=1")
            has_query = any(True for _ in operation.parameters("query"))
            if operation.template in IGNORES_UNDECLARED or (operation.template.startswith(WES) and not has_query):
                assert "undeclared" not in response.text
            elif operation.template != LIST_TASKS:
                require_refused(response, "undeclared", 1)


async def test_fields_outside_the_declaration_of_a_body_are_refused(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        checked = 0
        for operation in await declared(harness, client):
            schema = operation.body_schema
            if schema is None:
                continue
            body: Json = BODIES.get(operation.template, {})
            require_refused(await operation.send(client, body={**body, "undeclared": 1}), "undeclared", 1)
            for name in schema.get("required", ()):
                less = {key: value for key, value in body.items() if key != name}
                require_refused(await operation.send(client, body=less), name, "nothing")
            for name, field in schema["properties"].items():
                types = json_types(operation.document, field)
                for value in WRONG_JSON:
                    if not types & types_of(value):
                        require_refused(await operation.send(client, body={**body, name: value}), name, value)
                        checked += 1
        assert checked > 20
