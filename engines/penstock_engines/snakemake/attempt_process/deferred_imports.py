"""What Snakemake imports for every workflow and nearly none uses: it would be in the zygote for ever.

- smart_open imports the client of S3, 7 MiB, and requests, 3 MiB, for workflows that read from other hosts. They are
  executed at their first use.
- Snakemake's records of results are files here, or a database where a workflow's run chooses so. It declares a record
  as a class of sqlmodel, which imports SQLAlchemy, 16 MiB. Without the database, pydantic does: sqlmodel's classes are
  pydantic's. The database is imported when it is used.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any, ClassVar, Final

_RECORDS: Final = "snakemake.persistence"
"""Snakemake's package of the records of results; its module `db` keeps them in a database."""


class _DeferredModule(ModuleType):
    """A module that was not executed yet."""

    lazy: ClassVar[type[ModuleType]]
    """Python's class of such modules, which executes them at any access."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__spec__":  # each `import` of the module reads it
            return object.__getattribute__(self, name)
        object.__setattr__(self, "__class__", _DeferredModule.lazy)
        return getattr(self, name)


class _DeferringLoader(importlib.util.LazyLoader):
    """As Python's, but a second import of a module does not execute it either."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _DeferredModule.lazy = type(module)
        object.__setattr__(module, "__class__", _DeferredModule)


class _DeferringFinder(MetaPathFinder):
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _DeferringLoader(spec.loader)
        return spec


@contextmanager
def deferred(*names: str) -> Generator[None]:
    """Let the modules with these names, if they are imported within the block, execute at their first use."""
    finder = _DeferringFinder(frozenset(names))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def database_left_out() -> Generator[None]:
    """Let Snakemake be imported, for the first time in this process, without the database of its records.

    Afterwards sqlmodel and SQLAlchemy can be imported as ever, by a workflow for example.
    """
    stand_ins = _stand_ins()
    assert _RECORDS not in sys.modules, "Snakemake was imported with its database"
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def open_database(*arguments: Any, **options: Any) -> Any:
    """Return Snakemake's records in a database; the arguments are Snakemake's."""
    return _database()(*arguments, **options)


@cache
def _database() -> Any:
    """Import the database, once: with the class of a record that it extends, which was made without it."""
    for name in [name for name in sys.modules if name == _RECORDS or name.startswith(f"{_RECORDS}.")]:
        del sys.modules[name]
    return importlib.import_module(f"{_RECORDS}.db").DbPersistence


def _stand_ins() -> dict[str, ModuleType]:
    from pydantic import BaseModel, ConfigDict, Field

    class Record(BaseModel):
        model_config = ConfigDict(from_attributes=True)  # as sqlmodel has it

    def field(*, sa_column: object = None, **options: Any) -> Any:
        """Return a field; its column is that of a database."""
        return Field(**options)

    def column(*_: object) -> None:
        """Return nothing, in place of a column."""

    return {
        "sqlalchemy": _module("sqlalchemy", Column=column, JSON=None),
        "sqlmodel": _module("sqlmodel", SQLModel=Record, Field=field),
        f"{_RECORDS}.db": _module(f"{_RECORDS}.db", DbPersistence=open_database),
    }


def _module(name: str, **members: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module
