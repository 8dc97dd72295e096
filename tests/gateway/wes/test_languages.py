"""The versions of workflow languages that the connected runners offer."""

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.languages import Language
from penstock_domain.engines.registry import EngineRegistry
from penstock_gateway.wes.languages import offered_languages


def engine(name: str, *languages: Language) -> EngineDescriptor:
    return EngineDescriptor(
        name=name, title=name.title(), launcher=f"{name}:launch", languages=languages, needs_source=False
    )


ENGINES = EngineRegistry(
    [
        engine("snake", Language(name="SMK", versions=("1.0",), follows_engine=True)),
        engine("common", Language(name="CWL", versions=("v1.0", "v1.2")), Language(name="ACWL", versions=("1",))),
        engine("plain"),
    ]
)


def test_a_language_that_follows_its_engine_has_the_versions_of_the_runners() -> None:
    assert offered_languages(ENGINES, {"snake": ("9.1", "9.3")}) == {"SMK": ("1.0", "9.1", "9.3")}


def test_other_languages_have_versions_of_their_definition() -> None:
    offered = offered_languages(ENGINES, {"common": ("4",), "plain": ("1",)})
    assert offered == {"ACWL": ("1",), "CWL": ("v1.0", "v1.2")}
    assert list(offered) == sorted(offered)


def test_a_version_is_listed_once() -> None:
    assert offered_languages(ENGINES, {"snake": ("9.1", "1.0", "9.1")}) == {"SMK": ("1.0", "9.1")}


def test_an_engine_that_is_not_installed_here_offers_no_language() -> None:
    assert offered_languages(ENGINES, {"unknown": ("1",)}) == {}
    assert offered_languages(ENGINES, {}) == {}
