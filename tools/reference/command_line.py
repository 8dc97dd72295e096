"""`command-line.md`: every command, argument and option of `penstock`, and the exit codes, from the click commands."""

import inspect
import re

import click

from penstock.command_line import ENTRIES, penstock
from penstock.terminal.exit_codes import Exit
from tools.reference.markdown import code, fenced, heading, table
from tools.reference.shapes import attribute_notes


def page() -> str:
    """Return the page."""
    context = click.Context(penstock, info_name="penstock")
    parts = [
        heading("Command line", source="the commands of `penstock`"),
        "Every command prints this with `--help`.\n",
        "## Exit codes\n",
        _exit_codes(),
        "## Which server\n",
        _epilog(),
    ]
    section = ""
    for name, entry in ENTRIES.items():
        if entry.section != section:
            section = entry.section
            parts.append(f"## {section}\n")
        command = penstock.get_command(context, name)
        assert command is not None
        parts.append(_command(command, click.Context(command, info_name=name, parent=context)))
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"### {context.command_path}\n", fenced(usage, "text"), _paragraphs(command.help or "")]
    rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context))]
    if rows:
        parts.append(table(("argument or option", "default", "meaning"), rows))
    if command.epilog:
        parts.append(_paragraphs(command.epilog))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            parts.append(_command(child, click.Context(child, info_name=name, parent=context)))
    return "\n".join(parts)


def _row(parameter: click.Parameter, context: click.Context) -> tuple[str, str, str] | None:
    if isinstance(parameter, click.Argument):
        return code(parameter.make_metavar(context)), "", "required" if parameter.required else ""
    if not isinstance(parameter, click.Option) or parameter.hidden or "--help" in parameter.opts:
        return None
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    meaning = " ".join((parameter.help or "").split())
    if parameter.is_flag or parameter.count:
        return code(names), "", meaning
    if isinstance(parameter.type, click.IntRange):
        return code(f"{names} N"), _default(parameter), f"{meaning} From {parameter.type.min} to {parameter.type.max}."
    return code(f"{names} {parameter.make_metavar(context)}"), _default(parameter), meaning


def _default(option: click.Option) -> str:
    value = option.to_info_dict()["default"]
    has_default = isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != ""
    return code(value) if has_default else ""


def _exit_codes() -> str:
    notes = attribute_notes(Exit)
    names = {Exit.OK: "It worked.", Exit.NOT_FOUND: "There is no such run.", Exit.RUN_FAILED: "The run failed."}
    names[Exit.CANCELLED] = "The run was cancelled."
    return table(
        ("code", "name", "meaning"),
        [(code(exit_code.value), exit_code.name, notes.get(exit_code.name) or names[exit_code]) for exit_code in Exit],
    )


def _epilog() -> str:
    paragraphs = (penstock.epilog or "").split("\b\n")
    return re.sub(r"'([^']+)'", r"`\1`", _paragraphs(next(text for text in paragraphs if "--url" in text)))


def _paragraphs(text: str) -> str:
    """Return help text as Markdown: click's preformatted blocks become blocks of code."""
    parts: list[str] = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            parts.append(fenced(paragraph.removeprefix("\b").strip("\n"), "text"))
        else:
            parts.append(" ".join(paragraph.split()) + "\n")
    return "\n".join(parts)
