"""Modules that a library imports where they are installed, though no service uses what it does with them.

Snakemake brings rich, pydantic and attrs along. structlog imports rich, for tracebacks in colours. Litestar imports
pydantic and attrs, with its plug-ins for their classes. That is 13 MiB that a gateway without Snakemake does not have.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def left_out(*names: str) -> Generator[None]:
    """Let the modules with these names be missing within the block."""
    before: dict[str, ModuleType | None] = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: Python's own way to prevent an import
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)  # type: ignore[arg-type]  # as above
