"""Which production modules no test imports: a module with logic needs a test that imports it.

`without_own_test.txt` names the modules that may still lack one. The list only shrinks: `python -m tests.own_tests`
writes it again without the modules that have a test now, and never adds one.

A test imports a module directly, or a name that the module's package imports from it. What has no function with a body
is a declaration and needs no test.
"""

import ast
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[1]
LIST: Final = Path(__file__).parent / "without_own_test.txt"
PRODUCTION: Final = (
    "schemas",
    "domain",
    "ports",
    "runtime",
    "testing",
    "jetstream",
    "sources",
    "execution",
    "engines",
    "services",
    "cli",
)
"""The folders of the packages."""
ENTRY_POINTS: Final = ("__init__", "__main__")


def production_modules(root: Path = REPOSITORY) -> dict[str, Path]:
    """Return every module with logic, with its file, by its dotted name."""
    files = (file for folder in PRODUCTION for file in sorted((root / folder).rglob("*.py")))
    modules = {_name(file.relative_to(root)): file for file in files if file.stem not in ENTRY_POINTS}
    return {name: file for name, file in modules.items() if name and has_logic(file.read_text())}


def without_own_test(root: Path = REPOSITORY) -> frozenset[str]:
    """Return the production modules that no test imports."""
    exports = _exports(root)
    imported: set[str] = set()
    for file in sorted((root / "tests").rglob("*.py")):
        for name in imports(file.read_text()):
            imported |= {name, exports.get(name, name)}
    return frozenset(production_modules(root).keys() - imported)


def imports(source: str) -> Iterator[str]:
    """Yield the dotted name of every module that a source imports, and of every name that it imports from one.

    A text of a test may be a program that the test runs.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)) if "import " in text:
                with contextlib.suppress(SyntaxError):
                    yield from imports(text)
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case _:
                pass


def has_logic(source: str) -> bool:
    """Return whether a source has a function that does something."""
    functions = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    )
    return any(isinstance(function, ast.Lambda) or not _is_declaration(function.body) for function in functions)


def listed() -> frozenset[str]:
    """Return the modules that may lack a test."""
    return frozenset(LIST.read_text().split())


def _name(file: Path) -> str:
    """Return the dotted name of a module; empty when it is in no package."""
    parts = file.with_suffix("").parts
    place = next((place for place, part in enumerate(parts) if part.startswith("penstock")), len(parts))
    return ".".join(parts[place:])


def _is_declaration(body: list[ast.stmt]) -> bool:
    return all(isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) for statement in body)


def _exports(root: Path) -> dict[str, str]:
    """Return the module of every name that a package imports for its users."""
    exports: dict[str, str] = {}
    for folder in PRODUCTION:
        for file in sorted((root / folder).rglob("__init__.py")):
            package = _name(file.relative_to(root)).removesuffix(".__init__")
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(package):
                    exports |= {f"{package}.{alias.asname or alias.name}": node.module for alias in node.names}
    return exports


if __name__ == "__main__":
    kept = sorted(listed() & without_own_test())
    LIST.write_text("".join(f"{name}\n" for name in kept))
    sys.stdout.write(f"{len(kept)} of {len(production_modules())} modules with logic are imported by no test\n")
