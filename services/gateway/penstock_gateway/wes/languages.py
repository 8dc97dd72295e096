"""The workflow languages that the connected runners offer, by their short names."""

from collections.abc import Mapping

from penstock_domain.engines.registry import EngineRegistry


def offered_languages(engines: EngineRegistry, offered: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the versions of each language that engines offer, by the language's short name.

    Args:
        engines: those that are installed.
        offered: the versions of each engine that runners offer.

    """
    found: dict[str, tuple[str, ...]] = {}
    for engine, versions in offered.items():
        descriptor = engines.find(engine)
        for language in descriptor.languages if descriptor is not None else ():
            engine_versions = versions if language.follows_engine else ()
            found[language.name] = tuple(dict.fromkeys((*language.versions, *engine_versions)))
    return dict(sorted(found.items()))
