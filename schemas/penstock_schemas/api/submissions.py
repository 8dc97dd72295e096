"""The body of `POST /jobs`: a submission and the workflow that it brings."""

from typing import Annotated

from msgspec import Meta, Struct, field

from penstock_schemas.api.bounds import (
    MAX_DESCRIPTION,
    MAX_LABELS,
    MAX_MTIME_NS,
    IdempotencyKey,
    LabelKey,
    LabelValue,
    PipelineVersionName,
    Priority,
)
from penstock_schemas.job_spec import SubmissionFields
from penstock_schemas.jobs import MAX_LEFT_OUT, EngineParameters, LeftOut, Name, Token


class Base64File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file as its bytes."""

    base64: str
    """Its bytes, in standard base64."""


class SubmittedFile(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An entry of a workflow's folder: one of `text`, `base64`, `link`, `link_base64` and `folder`."""

    text: str | None = None
    """The content of a file that is text."""
    base64: str | None = None
    """The bytes of a file, in standard base64."""
    link: str | None = None
    """The target of a symbolic link: relative to the link, inside the workflow's folder. It need not exist."""
    link_base64: str | None = None
    """The target of a link as bytes in standard base64, where it is no UTF-8."""
    folder: bool = False
    """A folder: needed for one that is empty, or that has its own time."""
    executable: bool | None = None
    """Whether a file may be executed; left out: whether it begins with `#!`."""
    mtime_ns: Annotated[int, Meta(ge=-MAX_MTIME_NS, le=MAX_MTIME_NS)] | None = None
    """Modification time in nanoseconds since 1970; entries without one all get the time of the submission."""
    path_base64: str | None = None
    """The path as bytes in standard base64, where it is no UTF-8; the key is a label then."""


class SubmittedSource(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The workflow to run. One of `files`, `archive`, `git`, `url` and `path`."""

    files: dict[str, str | SubmittedFile] | None = None
    """Relative path with `/` to text, or to an object that also carries bytes, links, folders, modes and times."""
    archive: Base64File | None = None
    """A zip, tar, tar.gz, tar.bz2 or tar.xz; a large one goes into the part `archive` of a form."""
    git: str | None = None
    """The https address of a repository, on a host that the operator allowed; the job keeps which commit it was."""
    ref: str | None = None
    """A branch, tag or whole commit id of `git`; left out: the default branch."""
    url: str | None = None
    """The https address of an archive, a Snakefile, or a file's page on a forge; its host must be allowed."""
    path: str | None = None
    """An absolute path on the runners' disk, below one of the operator's source roots."""
    entrypoint: str | None = None
    """The main file, relative to the source; left out: `Snakefile`, `snakefile`, `workflow/Snakefile` and so on."""
    left_out: Annotated[list[LeftOut], Meta(max_length=MAX_LEFT_OUT)] = field(default_factory=list[LeftOut])
    """What the client left out of the folder, and why: shown again when the run fails or makes nothing."""


class FormManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part `manifest` of a form: what the file names of the parts `files` cannot express."""

    files: dict[str, SubmittedFile]
    """By the file name of the part that holds the content, without `text` and `base64`; links and folders need none."""


class JobSubmission(SubmissionFields, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of `POST /jobs`."""

    # Repeated from `SubmissionFields` where a client's value has bounds.
    pipeline_name: Name
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None
    labels: Annotated[dict[LabelKey, LabelValue], Meta(max_length=MAX_LABELS)] = field(
        default_factory=dict[LabelKey, LabelValue]
    )
    priority: Priority = 0
    """Higher goes first."""

    source: SubmittedSource | None = None
    engine: Token | None = None
    """Left out: `snakemake` when there is a source, else `mock`."""
    engine_parameters: EngineParameters = field(default_factory=EngineParameters)
    """Settings of the engine itself, by name; null for a bare flag. The reference lists what each engine takes."""
    owner: Name | None = None
    """The owner of the job; left out: the user who submits it. Only an admin may name somebody else."""
    idempotency_key: IdempotencyKey | None = None
    """The same as the header `Idempotency-Key`: a repeated submission finds the job, for as long as it is kept."""
    pipeline_version: PipelineVersionName | None = None
    """Which version of the pipeline in the catalogue; left out: the newest that is offered."""
