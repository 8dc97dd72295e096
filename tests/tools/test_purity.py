"""Pure folders are pure in what they call, too: import rules alone do not see builtins, coroutines and new modules."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.coverage_gate import PURE

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = (
    "schemas",
    "domain",
    "ports",
    "runtime",
    "jetstream",
    "sources",
    "execution",
    "engines",
    "services",
    "cli",
)
PURE_MODULES: Final = frozenset(
    {
        "base64",
        "binascii",
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "shlex",
        "string",
        "types",
        "typing",
        "unicodedata",
        "uuid",
        "zlib",
    }
)
"""Of the standard library: what reads no clock, file, environment or entropy, and starts nothing."""
IMPURE_MEMBERS: Final = frozenset({"uuid1", "uuid4", "uuid6", "uuid7", "uuid8", "getnode"})
"""Of `uuid`: what reads a clock, the network card or entropy; `uuid3` and `uuid5` are hashes."""
IMPURE_BUILTINS: Final = frozenset({"open", "print", "input", "exec", "eval", "compile", "breakpoint", "__import__"})
ASYNCHRONOUS: Final = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)


def faults(source: str) -> Iterator[str]:
    """Yield what a pure module does not contain."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (fault for name in names if (fault := _import_fault(name.name)))
            case ast.ImportFrom(module=str(module)):
                yield from filter(None, [_import_fault(module)])
            case ast.Name(id=name, ctx=ast.Load()) if name in IMPURE_BUILTINS:
                yield f"line {node.lineno}: {name}"
            case ast.Attribute(attr=name) | ast.alias(name=name) if name in IMPURE_MEMBERS:
                yield f"line {node.lineno}: {name}"
            case ast.Global():
                yield f"line {node.lineno}: global"
            case _ if isinstance(node, ASYNCHRONOUS):
                yield f"line {node.lineno}: a coroutine"
            case _:
                pass


def _import_fault(module: str) -> str | None:
    top = module.partition(".")[0]
    return f"imports {module}" if top in sys.stdlib_module_names and top not in PURE_MODULES else None


def pure_modules() -> list[Path]:
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in found if any(part in f"/{path.relative_to(ROOT)}" for part in PURE))


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pure_module_calls_nothing_impure(path: Path) -> None:
    assert [*faults(path.read_text())] == []


@pytest.mark.parametrize(
    "source",
    [
        "import io",
        "import os.path",
        "from importlib.metadata import version",
        "def f():\n    import ctypes",
        "text = open('a').read()",
        "read = open",
        "print(1)",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid1 as new_id",
        "async def f(): ...",
        "def f():\n    global x\n    x = 1",
    ],
)
def test_each_kind_of_impurity_is_found(source: str) -> None:
    assert [*faults(source)] != []
