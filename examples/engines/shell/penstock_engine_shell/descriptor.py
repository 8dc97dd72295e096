"""The shell engine as the whole product knows it; importing this module imports nothing that runs a script."""

from typing import Final

from penstock_domain.engines.descriptor import Capabilities, EngineDescriptor
from penstock_domain.engines.languages import Language
from penstock_domain.engines.parameters import EngineParameter, Kind

ENTRYPOINTS: Final = ("run.sh", "workflow/run.sh")


def check_entrypoint(path: str, text: str) -> str | None:
    """Refuse an empty script."""
    return None if text.strip() else f"{path} is empty"


DESCRIPTOR: Final = EngineDescriptor(
    name="shell",
    title="Shell",
    launcher="penstock_engine_shell.launcher:launch",
    languages=(Language(name="SH", other_names=("SHELL",)),),
    entrypoints=ENTRYPOINTS,
    entrypoint_title="shell script",
    suffixes=(".sh",),
    parameters=(EngineParameter(name="trace", kind=Kind.FLAG, description="Print each command before it runs."),),
    schema_locations=("parameters.schema.json",),
    check_entrypoint=check_entrypoint,
    capabilities=Capabilities(tasks=True),
)
