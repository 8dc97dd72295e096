"""Tables of the settings that a submission may choose, and their validation.

A parameter that no table lists is refused. Each engine's descriptor brings its own table; `FOR_EVERY_ENGINE` holds for
all. The gateway checks parameters before anything is queued, and the engine reads the same table when it runs.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from msgspec import Struct

from penstock_domain.engines.parameters import EngineParameter, InvalidValue, Kind
from penstock_domain.scheduling.capacity import Request

MAX_PARAMETERS: Final = 64
"""In one submission."""
_SIMILARITY: Final = 0.75
"""How similar a misspelt name is to the one that was meant, from 0 to 1."""


class RefusedParameter(Struct, frozen=True, kw_only=True):
    """An option of the engine's own command line that a submission cannot choose."""

    name: str
    """Its long name, without dashes."""
    reason: str
    """Why, and what to use in its place; completes "`name`: "."""


class ParameterViolation(Struct, frozen=True, kw_only=True):
    """What is wrong with one parameter."""

    name: str
    """As it was given."""
    detail: str


NO_REQUEUE: Final = EngineParameter(
    name="no-requeue",
    kind=Kind.FLAG,
    description="Fail the run when its runner is stopped or lost after it was begun, in place of beginning it again.",
)
KEEP_WORK: Final = EngineParameter(
    name="keep-work",
    kind=Kind.FLAG,
    description="Keep the work directory for a while, however the run ended, for `penstock files`; with `false` not "
    "even that of a run that failed. The operator bounds time and size.",
)
GPUS: Final = EngineParameter(
    name="gpus",
    kind=Kind.COUNT,
    low=0,
    high=64,
    default="0",
    description="GPUs of one runner that the run has alone.",
)
CORES: Final = "cores"
"""The parameter by which a run requests more cores than a slot has, where an engine's table has it."""
FOR_EVERY_ENGINE: Final = (NO_REQUEUE, KEEP_WORK, GPUS)
"""Parameters of Penstock itself, valid with every engine and not passed to it."""


class ParameterTable(Struct, frozen=True):
    """The parameters that submissions to one engine may choose."""

    engine: str
    own: tuple[EngineParameter, ...] = ()
    """Those of the engine itself."""
    refused: tuple[RefusedParameter, ...] = ()
    """What its own command line takes and a submission does not, with the reasons."""

    def find(self, given: str) -> EngineParameter | None:
        """Return the parameter that `given` names: with or without leading dashes, with `_` or `-`, long or short."""
        bare = given.strip().lstrip("-")
        name = bare.replace("_", "-")
        for parameter in (*self.own, *FOR_EVERY_ENGINE):
            if name in (parameter.name, *parameter.other_names) or (bare and bare == parameter.short):
                return parameter
        return None

    def check(self, parameters: Mapping[str, str | None]) -> tuple[ParameterViolation, ...]:
        """Return every violation in `parameters`; empty when all of them are valid."""
        if len(parameters) > MAX_PARAMETERS:
            return (ParameterViolation(name="", detail=f"at most {MAX_PARAMETERS} engine parameters can be given"),)
        violations: list[ParameterViolation] = []
        seen: dict[str, str] = {}
        for given, value in parameters.items():
            known = self.find(given)
            detail = self._unknown(given) if known is None else _fault(known, value)
            if known is not None and detail is None and known.field in seen:
                detail = f"`{seen[known.field]}` sets the same parameter; give one of the two"
            if detail is not None:
                violations.append(ParameterViolation(name=given, detail=detail))
            elif known is not None:
                seen[known.field] = given
        return tuple(violations)

    def read(self, parameters: Mapping[str, str | None]) -> dict[str, Any]:
        """Return the values of the engine's own parameters among checked `parameters`, by `EngineParameter.field`.

        Raises:
            ValueError: they are not valid.

        """
        violations = self.check(parameters)
        if violations:
            raise ValueError("; ".join(f"{violation.name}: {violation.detail}" for violation in violations))
        values: dict[str, Any] = {}
        for given, text in parameters.items():
            known = self.find(given)
            if known is not None and known not in FOR_EVERY_ENGINE:
                values[known.field] = known.read(text)
        return values

    def overlaid(self, defaults: Mapping[str, str | None], chosen: Mapping[str, str | None]) -> dict[str, str | None]:
        """Return `chosen`, and those of `defaults` that it does not set under any of their names."""
        known = [self.find(given) for given in chosen]
        taken = {parameter.field for parameter in known if parameter is not None}
        kept = {
            given: value
            for given, value in defaults.items()
            if (parameter := self.find(given)) is None or parameter.field not in taken
        }
        return {**kept, **chosen}

    def without_forcing(self, parameters: Mapping[str, str | None]) -> dict[str, str | None]:
        """Return those of `parameters` that make no task run whose results are up to date."""
        return {
            given: value
            for given, value in parameters.items()
            if (parameter := self.find(given)) is None or not parameter.forces
        }

    def forbids_requeue(self, parameters: Mapping[str, str | None]) -> bool:
        """Return whether checked `parameters` choose that a run which was begun is not begun again."""
        return any(self.find(given) == NO_REQUEUE and NO_REQUEUE.read(text) for given, text in parameters.items())

    def keeps_work(self, parameters: Mapping[str, str | None]) -> bool | None:
        """Return whether checked `parameters` choose that the work directory is kept; `None`: they do not choose."""
        for given, text in parameters.items():
            if self.find(given) == KEEP_WORK:
                return bool(KEEP_WORK.read(text))
        return None

    def request(self, parameters: Mapping[str, str | None]) -> Request:
        """Return the amounts that checked `parameters` request of one runner."""
        values = {known.field: known.read(text) for given, text in parameters.items() if (known := self.find(given))}
        cores: int | None = values.get(CORES)
        return Request(cores=cores or 0, gpus=values.get(GPUS.field, 0))

    def is_for_every_engine(self, given: str) -> bool:
        """Return whether `given` names a parameter of Penstock itself, which the engine does not receive."""
        return self.find(given) in FOR_EVERY_ENGINE

    def _unknown(self, given: str) -> str:
        name = given.strip().lstrip("-").replace("_", "-")
        taken = [parameter.name for parameter in (*self.own, *FOR_EVERY_ENGINE)]
        names = ", ".join(f"`{one_name}`" for one_name in taken)
        reason = next((f": {refused.reason}" for refused in self.refused if refused.name == name), "")
        meant = "" if reason else "".join(f"did you mean `{one_name}`? " for one_name in _similar(name, taken))
        return f"the engine `{self.engine}` does not take this parameter here{reason}; {meant}it takes {names}"


def _similar(name: str, known: list[str]) -> list[str]:
    return get_close_matches(name[:100], known, n=1, cutoff=_SIMILARITY)


def _fault(known: EngineParameter, value: str | None) -> str | None:
    try:
        known.read(value)
    except InvalidValue as invalid:
        return str(invalid)
    return None
