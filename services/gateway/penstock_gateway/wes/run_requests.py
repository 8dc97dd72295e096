"""The request of `POST /runs`: read from the form's fields, and refused here when it cannot be executed.

Pure: nothing is stored or requested. Everything that can be checked without a runner is checked here.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Final, TypeVar, cast

from msgspec import Meta, Struct
from msgspec.structs import replace

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.languages import Language, is_engine_version
from penstock_gateway.http.bodies.json_bodies import decode
from penstock_gateway.http.problems import Invalid
from penstock_gateway.jobs.core.event_size import require_room
from penstock_gateway.wes.languages import offered_languages
from penstock_gateway.wes.workflow_sources import CatalogueReference, Files, name_of, read_workflow
from penstock_ports import MAX_EVENT_BYTES
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import MAX_LABELS, JobSubmission, LabelKey, LabelValue, Violation
from penstock_schemas.jobs import EngineParameters, Parameters, WorkflowRequest

ATTACHMENT: Final = "workflow_attachment"
ATTACHMENTS: Final = (ATTACHMENT, "workflow_attachment[]")
"""How clients name the parts that are attachments."""
JSON_FIELDS: Final = ("workflow_params", "tags", "workflow_engine_parameters")
TEXT_FIELDS: Final = (
    "workflow_type",
    "workflow_type_version",
    "workflow_url",
    "workflow_engine",
    "workflow_engine_version",
)
FIELDS: Final = (*JSON_FIELDS, *TEXT_FIELDS)
MAX_TEXT_CHARS: Final = 2048
MAX_NAME_CHARS: Final = 200

_TAGS: Final = cast(  # an annotated type is a type to msgspec, though not to type checkers
    "type[dict[str, str]]", Annotated[dict[LabelKey, LabelValue], Meta(max_length=MAX_LABELS)]
)
_GivenParameters = dict[str, str | int | float | bool | None]

_PARTS: Final = {
    "#/source": "workflow_url",
    "#/pipeline_name": "workflow_url",
    "#/pipeline_version": "workflow_url",
    "#/engine": "workflow_type",
    "#/parameters": "workflow_params",
}

T = TypeVar("T")
Offered = Mapping[str, tuple[str, ...]]
"""The versions of each engine that the connected runners offer."""


class RunWanted(Struct, frozen=True, kw_only=True):
    """A run that can be queued."""

    submission: JobSubmission
    request: WorkflowRequest
    """The same in the words of the client."""
    archive: str | None
    """The attachment that is to be unpacked first."""


def read_run_request(
    fields: Mapping[str, str], attachments: Sequence[str], *, offered: Offered | None, roots: tuple[PurePosixPath, ...]
) -> RunWanted:
    """Return the run that a form requests.

    Args:
        fields: the form's parts that are no attachments.
        attachments: the names of the files that came with it, in their order.
        offered: what the runners offer; empty or `None` when none is connected or it is not known.
        roots: the folders below which a workflow's address may lead.

    Raises:
        Invalid: it cannot be done; with the part that is wrong.
        TooLarge: a job has no room for its parameters.

    """
    parameters = _json(fields, "workflow_params", Parameters) or {}
    tags = _json(fields, "tags", _TAGS) or {}
    runs_it, language = _language(_required(fields, "workflow_type"), offered)
    version = _required(fields, "workflow_type_version")
    engine_versions = (offered or {}).get(runs_it.name, ())
    if offered and not language.covers(version, engine_versions):
        versions = ", ".join((*language.versions, *engine_versions))
        raise _wrong("workflow_type_version", f"{language.name} `{version}` is not offered; offered: {versions}")
    engine, engine_version = _engine(fields, runs_it, language, engine_versions)
    workflow_url = _text(fields, "workflow_url")
    workflow = read_workflow(workflow_url, attachments, roots, installed_engines())
    files = workflow if isinstance(workflow, Files) else None
    submission = JobSubmission(
        pipeline_name=name_of(workflow, workflow_url)[:MAX_NAME_CHARS],
        pipeline_version=workflow.version if isinstance(workflow, CatalogueReference) else None,
        parameters=parameters,
        source=None if files is None else files.source,
        engine=runs_it.name,
        labels=tags,
        engine_parameters=_engine_parameters(fields, runs_it.name),
    )
    if len(fields.get("workflow_params", "")) > MAX_EVENT_BYTES:
        require_room(submission)
    request = WorkflowRequest(
        workflow_type=fields["workflow_type"].strip(),
        workflow_type_version=version,
        workflow_url=workflow_url or (attachments[0] if attachments else ""),
        workflow_engine=engine,
        workflow_engine_version=engine_version,
        attachments=tuple(attachments),
    )
    return RunWanted(submission=submission, request=request, archive=None if files is None else files.archive)


def _language(text: str, offered: Offered | None) -> tuple[EngineDescriptor, Language]:
    engines = installed_engines()
    found = engines.language_named(text)
    if found is not None and (not offered or found[0].name in offered):
        return found
    names = ", ".join(offered_languages(engines, offered)) if offered else ""
    reason = f"no runner offers `{text[:80]}`" if found else f"`{text[:80]}` is no known type of workflow"
    raise _wrong("workflow_type", f"{reason}; offered: {names or 'nothing, because no runner is connected'}")


def _engine(
    fields: Mapping[str, str], runs_it: EngineDescriptor, language: Language, engine_versions: tuple[str, ...]
) -> tuple[str | None, str | None]:
    engine, version = _text(fields, "workflow_engine"), _text(fields, "workflow_engine_version")
    if engine and engine.lower() not in (runs_it.name, *language.engine_names):
        raise _wrong("workflow_engine", f"`{engine[:80]}` is not offered for {language.name}; offered: {runs_it.name}")
    if (
        version
        and engine_versions
        and not any(is_engine_version(version, one_version) for one_version in engine_versions)
    ):
        offered = ", ".join(engine_versions)
        raise _wrong("workflow_engine_version", f"{runs_it.name} `{version[:80]}` is not offered; offered: {offered}")
    return engine or None, version or None


def _engine_parameters(fields: Mapping[str, str], engine: str) -> EngineParameters:
    given = _json(fields, "workflow_engine_parameters", _GivenParameters)
    if not given:
        return {}
    parameters = {name: _shown(value) for name, value in given.items()}
    violations = installed_engines().table(engine).check(parameters)
    if violations:
        raise Invalid(
            [
                Violation(pointer=f"workflow_engine_parameters/{violation.name[:80]}", detail=violation.detail)
                for violation in violations
            ]
        )
    return parameters


def _shown(value: str | float | bool | None) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _json(fields: Mapping[str, str], name: str, shape: type[T]) -> T | None:
    """Return the value of a field that holds JSON; `None` when it is empty, missing or null."""
    text = fields.get(name, "").strip()
    if text in ("", "null"):
        return None
    try:
        return decode(text.encode("utf-8", "surrogatepass"), shape, what="this part")
    except Invalid as error:
        raise Invalid(
            [replace(violation, pointer=name + violation.pointer.removeprefix("#")) for violation in error.violations]
        ) from None


def _required(fields: Mapping[str, str], name: str) -> str:
    text = _text(fields, name)
    if not text:
        raise _wrong(name, "this part is required and missing")
    return text


def _text(fields: Mapping[str, str], name: str) -> str:
    text = fields.get(name, "").strip()
    if len(text) > MAX_TEXT_CHARS or not text.isprintable():
        raise _wrong(name, f"at most {MAX_TEXT_CHARS} printable characters are expected")
    return text


def _wrong(part: str, detail: str) -> Invalid:
    return Invalid([Violation(pointer=part, detail=detail)])


def part_of(pointer: str) -> str:
    """Return the part of the form that corresponds to a place in a native submission; with the name of a parameter."""
    for place, part in _PARTS.items():
        if pointer == place or pointer.startswith(place + "/"):
            return part + pointer.removeprefix(place) if place == "#/parameters" else part
    return pointer


def read_text(name: str, content: bytes) -> str:
    """Return the text of a field.

    Raises:
        Invalid: it is no UTF-8, or holds what cannot be stored.

    """
    try:
        text = content.decode("utf-8-sig")  # editors of one system put a mark before the text
    except UnicodeDecodeError:
        raise _wrong(name, "this part is no UTF-8") from None
    if "\0" in text:
        raise _wrong(name, "this part holds a NUL character")
    return text
