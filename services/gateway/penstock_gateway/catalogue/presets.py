"""What jobs of a catalogue entry are run with: the operator's preset, the entry's resources, its engine parameters."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from penstock_domain.engines.parameter_table import ParameterTable
from penstock_domain.json_pointers import pointer
from penstock_gateway.catalogue.engine_choices import require_allowed
from penstock_gateway.catalogue.workflow_files import BadDocument, read_object
from penstock_gateway.http.problems import Invalid
from penstock_runtime.engine_plugins import installed_engines
from penstock_runtime.setting_files import read_setting_file
from penstock_schemas.api import PipelineRegistration, Violation
from penstock_schemas.jobs import EngineParameters

Presets = Mapping[str, EngineParameters]
"""Engine parameters by the name that the operator gave them."""


def read_presets(path: Path) -> Presets:
    """Read a file of presets: an object of objects, in JSON or YAML.

    Raises:
        ValueError: it cannot be read, or a preset holds what no engine takes.

    """
    try:
        presets = msgspec.convert(read_object(path.name, read_setting_file(path)), dict[str, EngineParameters])
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    except (BadDocument, msgspec.ValidationError) as error:
        raise ValueError(f"expected names with engine parameters, each a text or null: {error}") from None
    for name, parameters in presets.items():
        faults = [engine.table.check(parameters) for engine in installed_engines()]
        if all(faults):
            fault = faults[0][0]
            raise ValueError(f"the preset `{name}` is for no engine: `{fault.name}`: {fault.detail}")
    return presets


def engine_parameters_of(registration: PipelineRegistration, engine: str, presets: Presets) -> EngineParameters | None:
    """Return what the jobs of an entry are run with; what is closer to the entry counts.

    Raises:
        Invalid: there is no such preset, or the engine does not take what is given.

    """
    table = installed_engines().table(engine)
    preset = {} if registration.preset is None else _named(registration.preset, presets)
    _require(table, preset, "preset")
    resources = _of_resources(registration.resources)
    _require(table, resources, "resources")
    own = registration.engine_parameters or {}
    require_allowed(table, own)
    return table.overlaid(table.overlaid(preset, resources), own) or None


def _named(name: str, presets: Presets) -> EngineParameters:
    if name in presets:
        return presets[name]
    known = ", ".join(f"`{preset}`" for preset in sorted(presets))
    listed = f"there are {known}" if known else "its operator named none in PENSTOCK_PRESETS_FILE"
    raise Invalid([Violation(pointer=pointer("preset"), detail=f"this server has no preset `{name}`; {listed}")])


def _of_resources(resources: Mapping[str, int]) -> EngineParameters:
    others = " ".join(f"{name}={number}" for name, number in sorted(resources.items()) if name != "cores")
    cores: EngineParameters = {"cores": str(resources["cores"])} if "cores" in resources else {}
    return cores | ({"resources": others} if others else {})


def _require(table: ParameterTable, given: EngineParameters, place: str) -> None:
    violations = table.check(given)
    if violations:
        raise Invalid(
            Violation(pointer=pointer(place), detail=f"`{violation.name}`: {violation.detail}")
            for violation in violations
        )
