"""Workflow languages under the names that WES clients use, and the versions of a language that an engine covers."""

from msgspec import Struct


class Language(Struct, frozen=True, kw_only=True):
    """A workflow language that an engine runs."""

    name: str
    """The usual short name, in capitals: `SMK`."""
    other_names: tuple[str, ...] = ()
    """In capitals."""
    versions: tuple[str, ...] = ("1.0",)
    """Of the language itself."""
    engine_names: tuple[str, ...] = ()
    """Programs by whose names clients request the engine."""
    follows_engine: bool = False
    """Whether the language has no separate versions: then an engine runs everything up to its own version."""

    def is_named(self, text: str) -> bool:
        """Return whether a client means this language; upper and lower case are the same."""
        return text.strip().upper() in (self.name, *self.other_names)

    def covers(self, requested: str, engine_versions: tuple[str, ...]) -> bool:
        """Return whether engines of these versions run workflows of the requested version of the language."""
        plain = _plain(requested)
        if any(_plain(version) == plain for version in (*self.versions, *engine_versions)):
            return True
        numbers = _numbers(plain)
        found = (_numbers(_plain(version)) for version in engine_versions)
        newest = max((version for version in found if version is not None), default=None)
        return self.follows_engine and numbers is not None and newest is not None and numbers <= newest


def is_engine_version(requested: str, offered: str) -> bool:
    """Return whether `offered` is the requested version, or one of its line: 9.27.0 is 9.27 and 9."""
    requested, offered = _plain(requested), _plain(offered)
    return offered == requested or offered.startswith(requested + ".")


def _plain(version: str) -> str:
    return version.strip().lower().removeprefix("v")


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.split(".")
    if not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):
        return None
    return tuple(int(part) for part in parts)
