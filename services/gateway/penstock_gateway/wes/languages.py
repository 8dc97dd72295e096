"""The languages of workflows, by the names that clients use, and the engines that run them."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class Language(Struct, frozen=True):
    """One language of workflows."""

    name: str
    """The usual short name; the first of its names."""
    other_names: tuple[str, ...]
    engine: str
    """The engine that runs it, as runners call it."""
    versions: tuple[str, ...]
    """Of the language itself. Where the engine's version is the language's, that one counts too."""
    engine_names: tuple[str, ...] = ()
    """Programs by whose names clients ask for the engine."""
    follows_engine: bool = False
    """Whether the language has no versions of its own: then an engine runs everything up to its own version."""


LANGUAGES: Final = (
    Language("SMK", ("SNAKEMAKE",), "snakemake", ("1.0",), follows_engine=True),
    Language("NFL", ("NEXTFLOW", "NXF"), "nextflow", ("DSL2", "1.0"), follows_engine=True),
    Language("CWL", (), "cwl", ("v1.0", "v1.1", "v1.2"), engine_names=("cwltool",)),
    Language("WDL", (), "wdl", ("draft-2", "1.0", "1.1")),
    Language("MOCK", (), "mock", ("1.0",), follows_engine=True),
)
_BY_NAME: Final = {name: each for each in LANGUAGES for name in (each.name, *each.other_names)}
_BY_ENGINE: Final = {each.engine: each for each in LANGUAGES}


def language_named(text: str) -> Language | None:
    """Return the language that a client means; upper and lower case are the same."""
    return _BY_NAME.get(text.strip().upper())


def language_of_engine(engine: str) -> Language | None:
    """Return the language that an engine runs."""
    return _BY_ENGINE.get(engine)


def offered_languages(offered: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the versions of each language that engines offer, by the language's short name.

    Args:
        offered: the versions of each engine.

    """
    found: dict[str, tuple[str, ...]] = {}
    for engine, versions in offered.items():
        language = language_of_engine(engine)
        if language is not None:
            engine_versions = versions if language.follows_engine else ()
            found[language.name] = tuple(dict.fromkeys((*language.versions, *engine_versions)))
    return dict(sorted(found.items()))


def covers_version(language: Language, asked: str, engine_versions: tuple[str, ...]) -> bool:
    """Say whether engines of these versions run workflows of the version that a client asks for."""
    plain = _plain(asked)
    if any(_plain(version) == plain for version in (*language.versions, *engine_versions)):
        return True
    numbers = _numbers(plain)
    newest = max((found for each in engine_versions if (found := _numbers(_plain(each))) is not None), default=None)
    return language.follows_engine and numbers is not None and newest is not None and numbers <= newest


def is_engine_version(asked: str, offered: str) -> bool:
    """Say whether `offered` is the version that was asked for, or one of its line: 9.27.0 is 9.27 and 9."""
    asked, offered = _plain(asked), _plain(offered)
    return offered == asked or offered.startswith(asked + ".")


def _plain(version: str) -> str:
    return version.strip().lower().removeprefix("v")


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.split(".")
    if not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):
        return None
    return tuple(int(part) for part in parts)
