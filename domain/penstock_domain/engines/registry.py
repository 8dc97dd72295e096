"""The engines that an installation has, by name; invalid and conflicting descriptors are refused."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Final, cast, get_args, get_origin, get_type_hints

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.languages import Language
from penstock_domain.engines.parameter_table import FOR_EVERY_ENGINE, ParameterTable
from penstock_domain.engines.reserved_folders import ReservedFolders

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,49}")


class InvalidEngines(Exception):
    """Engine plug-ins cannot be used; the text names each and the reason."""


class EngineRegistry:
    """The descriptors of all engines, in the order of their names.

    Raises:
        InvalidEngines: a descriptor is invalid, or two of them conflict.

    """

    def __init__(self, descriptors: Iterable[EngineDescriptor]) -> None:
        found = tuple(descriptors)
        faults = [*_faults(found)]
        if faults:
            raise InvalidEngines("; ".join(faults))
        self._by_name: Mapping[str, EngineDescriptor] = {
            descriptor.name: descriptor for descriptor in sorted(found, key=lambda descriptor: descriptor.name)
        }

    def __iter__(self) -> Iterator[EngineDescriptor]:
        return iter(self._by_name.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all engines."""
        return tuple(self._by_name)

    @property
    def entrypoints(self) -> tuple[str, ...]:
        """The paths at which a main file may be, those of the default engine first, without repetitions."""
        ordered = sorted(self, key=lambda descriptor: descriptor.name != self.default)
        return tuple(dict.fromkeys(path for descriptor in ordered for path in descriptor.entrypoints))

    def find(self, name: str) -> EngineDescriptor | None:
        """Return an engine; `None` when none has this name."""
        return self._by_name.get(name)

    def table(self, name: str) -> ParameterTable:
        """Return the parameters of an engine; an unknown engine has no parameters."""
        descriptor = self.find(name)
        return ParameterTable(name) if descriptor is None else descriptor.table

    def reserved_folders(self, engine: str | None) -> ReservedFolders:
        """Return the reserved folders of an engine.

        Where it is not known which engine will run a source (`None`, or no engine has this name), they are those of
        all engines: what is accepted then is accepted whichever of them runs it.
        """
        known = None if engine is None else self.find(engine)
        descriptors = self if known is None else (known,)
        return ReservedFolders(tuple(folder for descriptor in descriptors for folder in descriptor.reserved_folders))

    @property
    def default(self) -> str:
        """The engine of a submission with workflow files that names none; empty when there is no such engine."""
        return self._default(needs_source=True)

    @property
    def default_without_source(self) -> str:
        """The engine of a submission without workflow files; empty when there is no such engine."""
        return self._default(needs_source=False)

    def language_named(self, text: str) -> tuple[EngineDescriptor, Language] | None:
        """Return the language that a client means, with its engine."""
        for descriptor in self:
            for language in descriptor.languages:
                if language.is_named(text):
                    return descriptor, language
        return None

    def language_of(self, engine: str) -> Language | None:
        """Return the first language of an engine."""
        descriptor = self.find(engine)
        return descriptor.languages[0] if descriptor is not None and descriptor.languages else None

    def _default(self, *, needs_source: bool) -> str:
        ranked = [
            (descriptor.default_rank, descriptor.name)
            for descriptor in self
            if descriptor.default_rank > 0 and descriptor.needs_source is needs_source
        ]
        return max(ranked)[1] if ranked else ""


def _faults(descriptors: tuple[EngineDescriptor, ...]) -> Iterator[str]:
    names: set[str] = set()
    languages: dict[str, str] = {}
    ranks: dict[tuple[bool, int], str] = {}
    for descriptor in descriptors:
        wrong_types = [*_wrong_types(descriptor)]
        if wrong_types:
            yield f"engine {descriptor.name!r}: {', '.join(wrong_types)}"
            continue
        yield from (f"engine {descriptor.name!r}: {fault}" for fault in _own_faults(descriptor))
        if descriptor.name in names:
            yield f"engine {descriptor.name!r}: two plug-ins have this name"
        names.add(descriptor.name)
        for language in descriptor.languages:
            for name in (language.name, *language.other_names):
                other = languages.setdefault(name, descriptor.name)
                if other != descriptor.name:
                    yield f"engine {descriptor.name!r}: the language {name!r} belongs to the engine {other!r}"
        rank = (descriptor.needs_source, descriptor.default_rank)
        if descriptor.default_rank > 0 and ranks.setdefault(rank, descriptor.name) != descriptor.name:
            yield f"engine {descriptor.name!r}: it has the same default rank as the engine {ranks[rank]!r}"


def _wrong_types(descriptor: EngineDescriptor) -> Iterator[str]:
    """Yield the fields whose value has another type than is declared; a Struct does not check what it is made of."""
    for name, hint in get_type_hints(EngineDescriptor).items():
        value: object = getattr(descriptor, name)
        if not _has_type(value, hint):
            yield f"`{name}` has the wrong type, {type(value).__name__}"


def _has_type(value: object, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is tuple:
        members = cast("tuple[object, ...]", value)
        return isinstance(value, tuple) and all(_has_type(member, get_args(hint)[0]) for member in members)
    if origin is Callable:
        return callable(value)
    if origin is UnionType:
        return any(_has_type(value, member) for member in get_args(hint))
    if origin is type:
        return isinstance(value, type) and issubclass(value, get_args(hint)[0])
    return isinstance(value, hint)


def _own_faults(descriptor: EngineDescriptor) -> Iterator[str]:
    if NAME.fullmatch(descriptor.name) is None:
        yield "a name has lower-case letters, digits and `-`, begins with a letter and has at most 50 characters"
    if descriptor.launcher.count(":") != 1 or not all(descriptor.launcher.split(":")):
        yield f"the launcher {descriptor.launcher!r} does not have the form `module:function`"
    if descriptor.needs_source and not descriptor.entrypoints:
        yield "it needs workflow files and names no location of the main file (`entrypoints`)"
    for path in (*descriptor.entrypoints, *descriptor.schema_locations):
        if path.startswith("/") or ".." in path.split("/") or not path:
            yield f"{path!r} is not a path within a source"
    for folder in descriptor.reserved_folders:
        for name in (folder.name, *folder.records):
            if name in ("", ".", "..") or "/" in name:
                yield f"the reserved folder {name!r} is not the name of a folder"
    for suffix in descriptor.suffixes:
        if len(suffix) < 2 or not suffix.startswith("."):  # an empty one would fit every file
            yield f"the suffix {suffix!r} does not begin with a dot, or is only a dot"
    for language in descriptor.languages:
        for name in (language.name, *language.other_names):
            if not name or name != name.strip().upper():  # a client's name is compared like this
                yield f"the language {name!r} is not named in capitals"
    seen: set[str] = set()
    for parameter in (*descriptor.parameters, *FOR_EVERY_ENGINE):
        for name in filter(None, (parameter.name, *parameter.other_names, parameter.short)):
            if name in seen:
                yield f"the parameter `{name}` is listed twice"
            seen.add(name)
    for pattern in filter(None, (descriptor.statement, *_software_patterns(descriptor))):
        try:
            re.compile(pattern)
        except re.error as error:
            yield f"the regular expression {pattern!r} is invalid: {error}"


def _software_patterns(descriptor: EngineDescriptor) -> tuple[str, ...]:
    return (
        (descriptor.software.in_rule, descriptor.software.in_workflow, descriptor.software.rule)
        if descriptor.software
        else ()
    )
