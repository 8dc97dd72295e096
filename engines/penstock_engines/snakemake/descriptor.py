"""The Snakemake engine as the whole product knows it; importing this module imports nothing of Snakemake."""

import re
from pathlib import PurePosixPath
from typing import Final

from penstock_domain.engines.descriptor import Capabilities, EngineDescriptor, SoftwareDeclarations
from penstock_domain.engines.languages import Language
from penstock_domain.engines.reserved_folders import ReservedFolder
from penstock_engines.snakemake.parameters import PARAMETERS
from penstock_engines.snakemake.refused_options import refused_parameters
from penstock_engines.snakemake.settings import SnakemakeSettings

ENTRYPOINTS: Final = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
"""Where Snakemake itself looks, in this order."""
_SCHEMA_FOLDERS: Final = ("workflow/schemas/", "config/", "schemas/", "")
_CONFIGFILE: Final = re.compile(r"""^\s*configfile:\s*["']([^"']+)["']""", re.MULTILINE)


def configuration_files(text: str) -> tuple[str, ...]:
    """Return the files that a Snakefile names in `configfile:`."""
    return tuple(str(PurePosixPath(path)) for path in _CONFIGFILE.findall(text))


DESCRIPTOR: Final = EngineDescriptor(
    name="snakemake",
    title="Snakemake",
    launcher="penstock_engines.snakemake.launcher:launch",
    requires=("snakemake",),
    install_hint="install Penstock with the extra `snakemake`",
    languages=(Language(name="SMK", other_names=("SNAKEMAKE",), follows_engine=True),),
    default_rank=100,
    entrypoints=ENTRYPOINTS,
    entrypoint_title="Snakefile",
    entrypoint_option="--snakefile",
    suffixes=(".smk", ".snakefile", ".snake"),
    folder_signs=(
        *("Snakefile", "snakefile", "workflow", "rules", "envs", "scripts", "profiles", ".snakemake"),
        *("config", "config.yaml", "config.yml", "config.json"),
    ),
    statement=r"^\s*(rule|checkpoint|module|include|configfile|subworkflow|workdir)\b[^=\n]*:",
    reserved_folders=(ReservedFolder(name=".snakemake", records=("metadata", "incomplete")),),  # rerun rules read them
    parameters=PARAMETERS,
    refused_parameters=refused_parameters(),
    schema_locations=(
        *(f"{folder}config.schema.{end}" for folder in _SCHEMA_FOLDERS for end in ("yaml", "yml", "json")),
        "nextflow_schema.json",
    ),
    configuration_files=configuration_files,
    software=SoftwareDeclarations(
        in_rule=r"\s+(conda|container|containerized|singularity|envmodules|wrapper)\s*:(?!=)",
        in_workflow=r"(conda|container|containerized|singularity|envvars)\s*:(?!=)",
        rule=r"\s*(?:rule|checkpoint)\b\s*(\w*)\s*:",
        variables=frozenset({"envvars"}),
    ),
    settings=SnakemakeSettings,
    capabilities=Capabilities(plans=True, tasks=True),
)
