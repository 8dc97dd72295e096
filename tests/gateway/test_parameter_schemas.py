"""Schemas are checked once, parameters every time; nothing in either can hold a gateway up."""

import time
from typing import Any

import pytest

from penstock_engines.snakemake.descriptor import DESCRIPTOR as SNAKEMAKE
from penstock_gateway.catalogue.parameter_schemas import fault_of_schema, merge, violations, with_defaults
from penstock_gateway.catalogue.workflow_files import BadDocument, find_schema, own_configuration, read_object
from penstock_gateway.http.problems import Invalid

DRAFTS = (
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
)


@pytest.mark.parametrize("draft", DRAFTS)
def test_every_violation_has_its_pointer_in_every_draft(draft: str) -> None:
    schema = {
        "$schema": draft,
        "type": "object",
        "properties": {
            "threads": {"type": "integer", "minimum": 1},
            "genome": {"type": "string"},
            "samples": {"type": "array", "items": {"type": "object", "required": ["a/b"]}},
        },
        "required": ["genome"],
        "additionalProperties": False,
    }
    assert fault_of_schema(schema) is None
    found = violations({"threads": 0, "samples": [{"a/b": 1}, {}], "colour": 1}, schema)
    assert {item.pointer for item in found} == {
        "#/parameters/threads",
        "#/parameters/samples/1/a~1b",
        "#/parameters/genome",
        "#/parameters/colour",
    }
    assert violations({"genome": "hg38"}, schema) == ()


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "strin"}, "#/type"),
        ({"properties": {"a": {"pattern": "("}}}, "regex"),
        ({"$ref": "https://example.org/schema.json"}, "within the document"),
        ({"properties": {"a": {"$ref": "other.yaml#/a"}}}, "within the document"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"$schema": "https://example.org/my-own"}, "my-own"),
        ({"description": "x" * 300_000}, "bytes"),
    ],
)
def test_an_unusable_schema_is_refused_with_the_reason(schema: dict[str, Any], why: str) -> None:
    assert why in (fault_of_schema(schema) or "")


def test_references_within_the_document_are_followed() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/positive"}}, "$defs": {"positive": {"exclusiveMinimum": 0}}}
    assert fault_of_schema(schema) is None
    assert [violation.pointer for violation in violations({"a": 0}, schema)] == ["#/parameters/a"]


def test_a_regular_expression_cannot_hold_a_gateway_up() -> None:
    schema = {"properties": {"a": {"pattern": r"^(?=(a+)+$)(a|aa)+$"}}}
    assert fault_of_schema(schema) is None
    started = time.perf_counter()
    assert violations({"a": "a" * 5_000 + "!"}, schema)
    assert time.perf_counter() - started < 2


def test_a_default_of_the_schema_counts_as_given() -> None:
    schema = {
        "properties": {"q": {"type": "number", "default": 0.5}, "in": {"$ref": "#/$defs/in"}},
        "required": ["q"],
        "allOf": [{"properties": {"z": {"default": 1}}}],
        "$defs": {"in": {"properties": {"x": {"default": "y"}}, "required": ["x"]}},
    }
    assert violations({"in": {}}, schema) == ()
    assert with_defaults({"in": {}}, schema) == {"q": 0.5, "in": {"x": "y"}, "z": 1}


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema: dict[str, Any] = {"properties": {"a": {"$ref": "#"}}, "allOf": [{"$ref": "#"}]}
    assert with_defaults({"a": {"a": {}}}, schema) == {"a": {"a": {}}}


def test_objects_are_merged_key_by_key_and_all_else_as_a_whole() -> None:
    defaults = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    assert merge(defaults, {"a": {"y": [3]}, "b": None, "c": 2}) == {"a": {"x": 1, "y": [3]}, "b": None, "c": 2}
    assert defaults == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


def test_the_first_place_that_holds_a_schema_counts() -> None:
    found = find_schema(
        {"config/config.schema.yaml": b"type: object", "workflow/schemas/config.schema.yml": b"{}"}, SNAKEMAKE
    )
    assert found is not None
    assert found.path == "workflow/schemas/config.schema.yml"
    assert find_schema({"Snakefile": b""}, SNAKEMAKE) is None
    with pytest.raises(Invalid, match=r"config~1config.schema.yaml.*does not hold an object"):
        find_schema({"config/config.schema.yaml": b"- a list"}, SNAKEMAKE)


def test_the_configuration_that_the_snakefile_names_is_the_workflows_own() -> None:
    files = {"workflow/Snakefile": b'configfile: "config/config.yaml"\n', "config/config.yaml": b"a: 1\nb: {c: [2]}\n"}
    assert own_configuration(files, None, SNAKEMAKE) == {"a": 1, "b": {"c": [2]}}
    assert own_configuration({**files, "workflow/Snakefile": b"rule all:\n"}, None, SNAKEMAKE) == {}
    assert own_configuration({**files, "config/config.yaml": b"a: [1"}, None, SNAKEMAKE) == {}


BOMB = "a: &a [1,1]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]\n" for n in range(14))
MANY = "a: &a 1\nb: [" + ",".join(["*a"] * 50) + "]"


@pytest.mark.parametrize(("text", "why"), [(BOMB, "values"), (MANY, "anchors"), ("a: &x [*x]", "cannot|values|deep")])
def test_a_document_that_explodes_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadDocument, match=why):
        read_object("x.yaml", text.encode())


def test_dates_and_numbers_as_keys_become_texts() -> None:
    assert read_object("x.yaml", b"day: 2026-01-31\n7: x\n") == {"day": "2026-01-31", "7": "x"}


def test_references_that_double_with_each_level_are_refused() -> None:
    def doubling(levels: int) -> dict[str, Any]:
        twice = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
        return {"$ref": "#/$defs/a0", "$defs": {**twice, f"a{levels}": {"type": "object"}}}

    assert fault_of_schema(doubling(10)) is None
    assert "too long to compare" in (fault_of_schema(doubling(60)) or "")


def test_a_schema_that_refers_to_itself_is_taken() -> None:
    tree = {"type": "object", "additionalProperties": {"$ref": "#/$defs/tree"}}
    assert fault_of_schema({"$ref": "#/$defs/tree", "$defs": {"tree": tree}}) is None
