"""The files of a conda environment as a workflow declares it, read strictly: they are hostile input."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from msgspec import Struct

from penstock_execution.conda.pins import PinnedPackage, parse_pins
from penstock_execution.provisioning import CondaEnvironment, ProvisionFailed

MAX_DEPENDENCIES: Final = 1_000
MAX_CHANNELS: Final = 20
MAX_ITEM_CHARS: Final = 500
"""Of a dependency, a channel, or the value of a variable."""
MAX_NODES: Final = 10_000
"""Values and keys of a YAML file, all together."""
MAX_LEVELS: Final = 8
MAX_NUMBER: Final = 10**18
"""A larger one is no version; to write it could take long."""
NO_DEFAULTS: Final = "nodefaults"
"""Among the channels: add no others. None are ever added here."""
_KEYS: Final = ("name", "prefix", "channels", "dependencies", "variables")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_DEPENDENCY: Final = re.compile(r"(?:(?P<channel>[^\s\[\]]+?)::)?(?P<rest>[A-Za-z0-9_.*][^\x00-\x1f\x7f]*)\Z")
_ADDRESS: Final = re.compile(r"://|\b(?:url|channel|fn|subdir)\s*=(?!=)|\.(?:conda|tar\.bz2)\b")
"""What in a dependency would name a package by its place: an address, a key of the bracket form, a file."""
_PIP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9,._ -]*\])?\s*(?:[<>=!~][^@/\\]*)?(?:;[^@/\\]*)?\Z")


class Dependency(Struct, frozen=True):
    """One required package."""

    spec: str
    """Name, version and build, as conda writes them."""
    channel: str | None = None
    """From which it must come, as written."""


class Specification(Struct, frozen=True, kw_only=True):
    """What a workflow declares, checked in its form alone."""

    channels: tuple[str, ...] = ()
    """As written, the preferred one first."""
    dependencies: tuple[Dependency, ...] = ()
    pip: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}
    """Set wherever the environment is activated."""
    pins: tuple[PinnedPackage, ...] = ()
    """Exact packages; where there are some, nothing is solved."""
    post_deploy: str | None = None


def read_specification(environment: CondaEnvironment) -> Specification:
    """Return what the files of an environment declare.

    Raises:
        ProvisionFailed: they do not declare an environment that can be built; the message states why.

    """
    table = _table(environment.specification)
    unknown = [key for key in table if key not in _KEYS]
    if unknown:
        raise _wrong(f"it has the key {unknown[0]!r}, which is not supported; supported are {', '.join(_KEYS)}")
    dependencies: list[Dependency] = []
    pip: list[str] = []
    for item in _list(table, "dependencies", MAX_DEPENDENCIES):
        if isinstance(item, dict):
            pip.extend(_pip(cast("dict[object, object]", item)))
        else:
            dependencies.append(_dependency(item))
    pins = () if environment.pins is None else parse_pins(environment.pins)
    if not dependencies and not pins and not pip:
        raise _wrong("it lists no dependencies")
    return Specification(
        channels=tuple(_text(item, "channel") for item in _list(table, "channels", MAX_CHANNELS)),
        dependencies=tuple(dependencies),
        pip=tuple(pip),
        variables=_variables(table.get("variables")),
        pins=pins,
        post_deploy=environment.post_deploy,
    )


def _table(text: str) -> dict[str, object]:
    import yaml  # type: ignore[import-untyped]  # only a runner that provides environments needs it

    try:
        # With references a few characters can become gigabytes. An environment file needs none.
        levels = 0
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # many times faster, where PyYAML was built with it
        events = cast("Iterable[Any]", yaml.parse(text, Loader=loader))  # pyright: ignore[reportUnknownMemberType]
        for number, event in enumerate(events):
            levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if number > MAX_NODES or levels > MAX_LEVELS:
                raise _wrong("it is too large")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _wrong("it uses anchors or aliases (& and *), which are not supported")
        content: object = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _wrong(f"it is not valid YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict):
        raise _wrong("it is no table with the keys channels and dependencies")
    return {str(key): value for key, value in cast("dict[object, object]", content).items()}


def _list(table: Mapping[str, object], key: str, limit: int) -> list[object]:
    items = table.get(key)
    if items is None:
        return []
    if not isinstance(items, list):
        raise _wrong(f"{key} must be a list")
    if len(cast("list[object]", items)) > limit:
        raise _wrong(f"{key} has more than {limit:,} entries")
    return cast("list[object]", items)


def _text(item: object, what: str) -> str:
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        raise _wrong(f"a {what} must be a text, not {str(item)[:80]!r}")
    if isinstance(item, int) and abs(item) > MAX_NUMBER:
        raise _wrong(f"a {what} must be a text, not a number of many digits")
    text = str(item).strip()
    if not text or len(text) > MAX_ITEM_CHARS or not text.isprintable():
        raise _wrong(f"a {what} must be 1 to {MAX_ITEM_CHARS} printable characters")
    return text


def _dependency(item: object) -> Dependency:
    text = _text(item, "dependency")
    match = _DEPENDENCY.match(text)
    if match is None or _ADDRESS.search(match["rest"]):
        raise _wrong(
            f"the dependency {text[:80]!r} is not a package's name with a version; addresses and files are not "
            "supported: list the channel under channels"
        )
    return Dependency(" ".join(match["rest"].split()), match["channel"])


def _pip(item: dict[object, object]) -> list[str]:
    if list(item) != ["pip"]:
        raise _wrong(f"a dependency must be a text, or a table with the key pip alone, not {str(item)[:80]!r}")
    wanted = [_text(entry, "pip requirement") for entry in _list({"pip": item["pip"]}, "pip", MAX_DEPENDENCIES)]
    for requirement in wanted:
        if not _PIP.match(requirement):
            raise _wrong(
                f"the pip requirement {requirement[:80]!r} is not a package's name with a version; options, addresses "
                "and files are not supported"
            )
    return wanted


def _variables(items: object) -> dict[str, str]:
    if items is None:
        return {}
    table = cast("dict[object, object]", items) if isinstance(items, dict) else {"": None}
    if any(not isinstance(name, str) or not _VARIABLE.match(name) for name in table):
        raise _wrong("variables must be a table of names and texts")
    return {str(name): _text(value, "variable") for name, value in table.items()}


def _wrong(reason: str) -> ProvisionFailed:
    return ProvisionFailed(f"the environment file cannot be used: {reason}")
