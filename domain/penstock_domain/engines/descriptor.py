"""The descriptor of an engine: everything that the product knows about an engine without running it."""

from collections.abc import Callable

from msgspec import Struct

from penstock_domain.engines.languages import Language
from penstock_domain.engines.parameter_table import ParameterTable, RefusedParameter
from penstock_domain.engines.parameters import EngineParameter
from penstock_domain.engines.reserved_folders import ReservedFolder


class Capabilities(Struct, frozen=True, kw_only=True):
    """What an engine can do besides running a workflow to its end."""

    plans: bool = False
    """Whether it can list the tasks of a workflow without running them; without it a request for a plan is refused."""
    tasks: bool = False
    """Whether it reports the tasks of a workflow, not only the run as a whole; the engine contract checks it."""


class SoftwareDeclarations(Struct, frozen=True, kw_only=True):
    """How workflow files declare software and variables that a runner may not provide."""

    in_rule: str
    """A regular expression at the beginning of a line; its first group is the directive."""
    in_workflow: str
    rule: str = ""
    """A regular expression for the line with which a rule begins; its first group is the rule's name."""
    variables: frozenset[str] = frozenset()
    """Directives that request environment variables, not software."""


def _no_files(_text: str) -> tuple[str, ...]:
    return ()


def _no_violation(_entrypoint: str, _text: str) -> str | None:
    return None


class EngineDescriptor(Struct, frozen=True, kw_only=True):
    """One engine. A plug-in publishes it under an entry point of the group `penstock.engines`, named as the engine."""

    name: str
    """The name in jobs and settings: lower-case letters, digits and `-`."""
    title: str
    """The name in messages to people."""
    launcher: str
    """`module:function` of the launcher, `penstock_execution.engine.Launch`; only runners import it."""
    requires: tuple[str, ...] = ()
    """Modules that must be installed where the engine runs; a runner without them does not offer the engine."""
    install_hint: str = ""
    """How to install them."""
    languages: tuple[Language, ...] = ()
    needs_source: bool = True
    """Whether it needs workflow files."""
    default_rank: int = 0
    """Among engines with the same `needs_source`, the highest rank above 0 runs submissions that name no engine."""
    entrypoints: tuple[str, ...] = ()
    """Paths in a source at which the main workflow file is looked for, in this order."""
    entrypoint_title: str = "main file"
    """The main workflow file in messages to people."""
    entrypoint_option: str = ""
    """The option of the engine's command line that takes the main file, for the command line shown with a run."""
    suffixes: tuple[str, ...] = ()
    """Suffixes of the engine's workflow files, with the dot."""
    folder_signs: tuple[str, ...] = ()
    """Names that, next to a main file with another name, show that its folder is the folder of a workflow."""
    statement: str = ""
    """A regular expression that a line of every workflow file of this engine matches; empty: no such line."""
    reserved_folders: tuple[ReservedFolder, ...] = ()
    """Folders in which the engine keeps its own state; a submission cannot fill them, except with their records."""
    parameters: tuple[EngineParameter, ...] = ()
    """What a submission may choose of the engine itself."""
    refused_parameters: tuple[RefusedParameter, ...] = ()
    """Options of the engine's own command line that a submission cannot choose, with the reasons."""
    schema_locations: tuple[str, ...] = ()
    """Paths in a source at which the JSON Schema of the workflow's parameters is looked for, in this order."""
    configuration_files: Callable[[str], tuple[str, ...]] = _no_files
    """Returns the configuration files that the text of a main file names; a job's parameters go over them."""
    check_entrypoint: Callable[[str, str], str | None] = _no_violation
    """Takes the path and the text of a main file; returns what is wrong with it, or `None`."""
    settings: type[Struct] | None = None
    """Its settings on a runner: a frozen Struct with a default for each field, whose annotations describe it.

    The runner reads the field `x_y` from `PENSTOCK_<NAME>_X_Y` and passes all to the launcher.
    """
    software: SoftwareDeclarations | None = None
    capabilities: Capabilities = Capabilities()

    @property
    def table(self) -> ParameterTable:
        """The table that parameters of submissions are checked against."""
        return ParameterTable(self.name, self.parameters, self.refused_parameters)

    @property
    def default_entrypoint(self) -> str:
        """The path that a single workflow file gets; empty for an engine without workflow files."""
        return self.entrypoints[0] if self.entrypoints else ""

    def is_workflow_file(self, path: str) -> bool:
        """Return whether a file is one of the engine's workflow files, by its name."""
        name = path.rpartition("/")[2]
        return self.has_suffix(name) or any(name == location.rpartition("/")[2] for location in self.entrypoints)

    def has_suffix(self, path: str) -> bool:
        """Return whether a file has one of the suffixes of the engine's workflow files."""
        return path.endswith(self.suffixes)
