"""Regular expressions of the product end where the text ends."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.own_tests import PRODUCTION

from penstock_schemas.patterns import NAME_PATTERN, as_ecma, with_ecma_patterns

ROOT = Path(__file__).parents[2]
PRODUCT = (*PRODUCTION, "tools")


@pytest.mark.slow
def test_no_pattern_of_the_product_ends_with_a_dollar_sign() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for folder in PRODUCT
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in _dollar_ends(ast.parse(path.read_text()))
    ]
    assert not found, "`$` also matches before a final line feed: end the pattern with `\\Z`, or use fullmatch"


@pytest.mark.parametrize(
    "code",
    [
        're.compile("a$")',
        're.match(r"^a$", text)',
        'Meta(pattern="^a$")',
        'A_PATTERN = f"{x}$"',
        'A_PATTERN: Final = "a$"',
    ],
)
def test_a_dollar_sign_at_the_end_is_found(code: str) -> None:
    assert list(_dollar_ends(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ['re.compile("^a$", re.MULTILINE)', r're.compile(r"a\$")', 're.compile("a$|b")', 'x = "a$"']
)
def test_other_dollar_signs_are_not_meant(code: str) -> None:
    assert not list(_dollar_ends(ast.parse(code)))


def test_schemas_show_the_dialect_of_json_schema() -> None:
    patterned = with_ecma_patterns(
        {"oneOf": ({"pattern": NAME_PATTERN}, {"properties": {"pattern": {"type": "string"}}})}
    )
    assert patterned["oneOf"][0]["pattern"] == as_ecma(NAME_PATTERN)
    assert "\\Z" not in as_ecma(NAME_PATTERN)
    assert as_ecma(NAME_PATTERN).endswith("$")


def _dollar_ends(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for pattern in _patterns(node):
            text = _end_of(pattern)
            if re.search(r"(?<!\\)\$\Z", text):
                yield pattern.lineno, text


def _patterns(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what a call or an assignment takes for a regular expression."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re")), args=[first, *rest]):
            if not any(
                "MULTILINE" in ast.dump(keyword) for keyword in (*rest, *(word.value for word in node.keywords))
            ):
                yield first
        case ast.Call(keywords=keywords):
            yield from (word.value for word in keywords if word.arg == "pattern")
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.endswith("PATTERN"):
            yield value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name.endswith("PATTERN"):
            yield value
        case _:
            pass


def _end_of(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Constant(value=bytes(raw)):
            return raw.decode("latin-1")
        case ast.JoinedStr(values=[*_, last]):
            return _end_of(last)
        case _:
            return ""
