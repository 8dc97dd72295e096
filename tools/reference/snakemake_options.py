"""`snakemake-options.md`: every option of the installed Snakemake, from its own parser and the tables of the engine."""

import argparse
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from msgspec import Struct

from penstock_engines.snakemake.descriptor import DESCRIPTOR
from penstock_engines.snakemake.refused_options import NOT_SUPPORTED, OPERATOR
from tools.reference.markdown import code, heading, table

_OWN_PLUGINS: Final = "penstock"
"""In the options of the engine's own plug-ins, once they are registered in this process."""
PARAMETERS_PAGE: Final = "engine-parameters.md#snakemake"


class SnakemakeOption(Struct, frozen=True):
    """An option of Snakemake's command line."""

    section: str
    names: tuple[str, ...]
    """With dashes."""

    @property
    def long_names(self) -> tuple[str, ...]:
        """Its long names, without dashes."""
        return tuple(name.lstrip("-") for name in self.names if name.startswith("--")) or self.names


class UnknownOption(Exception):
    """The installed Snakemake has an option of which neither `parameters` nor `refused_options` knows anything."""


def installed_options() -> Iterator[SnakemakeOption]:
    """Yield the options of the installed Snakemake, in the order of its help text."""
    from snakemake.cli import get_argument_parser  # type: ignore[import-untyped,unused-ignore]  # it takes a second

    parser: argparse.ArgumentParser = get_argument_parser()
    for group in parser._action_groups:  # pyright: ignore[reportPrivateUsage] - argparse shows its groups nowhere else
        for action in group._group_actions:  # pyright: ignore[reportPrivateUsage]
            names = tuple(action.option_strings) or (action.dest,)
            if "--help" not in names and not any(_OWN_PLUGINS in name for name in names):
                yield SnakemakeOption((group.title or "").capitalize(), names)


def state_of(option: SnakemakeOption) -> tuple[str, str]:
    """Return whether a submission may choose an option, and what there is to know about it.

    Raises:
        UnknownOption: the tables do not list it.

    """
    found = next((known for name in option.long_names if (known := DESCRIPTOR.table.find(name))), None)
    if found is not None:
        return f"[{code(found.name)}]({PARAMETERS_PAGE})", found.description
    for name in option.long_names:
        if name in OPERATOR:
            return "operator only", OPERATOR[name]
        if name in NOT_SUPPORTED:
            return "no", NOT_SUPPORTED[name]
    raise UnknownOption(
        f"Snakemake {metadata.version('snakemake')} has the option {option.names[0]}: list it in `parameters` or in "
        "`refused_options` of the engine"
    )


def page() -> str:
    """Return the page."""
    parts = [
        heading("Snakemake's options", source="the parser of Snakemake and the tables of the engine"),
        "Every option of the command `snakemake`, and what a submission does in its place. An option with a parameter",
        "is given as an [engine parameter](engine-parameters.md) of this name through the native API and WES, as a",
        "preset of the catalogue, and as an option of `penstock submit` and `penstock plan`. Parameters of Penstock",
        "itself are listed there too.\n",
    ]
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for option in installed_options():
        state, note = state_of(option)
        rows.setdefault(option.section, []).append((", ".join(map(code, option.names)), state, note))
    for section, listed in rows.items():
        parts += [f"## {section}\n", table(("option", "engine parameter", "meaning or reason"), listed)]
    return "\n".join(parts)
