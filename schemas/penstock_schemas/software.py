"""What is prepared for a run because its workflow declares it: software environments, images and remote files."""

from msgspec import Struct

from penstock_schemas.ids import JobId
from penstock_schemas.views import TaskKind


class Package(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One package of what was provided."""

    name: str
    version: str
    build: str = ""
    url: str = ""
    sha256: str = ""
    """Hexadecimal."""


class ProvidedItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run got of one declaration."""

    kind: TaskKind
    label: str
    """As the workflow writes it: `envs/bwa.yaml`."""
    identity: str
    """A digest of its content, or a commit: the same identity has the same content."""
    is_cached: bool = False
    """Whether the runner had it before the run."""
    packages: tuple[Package, ...] = ()


class SoftwareManifest(Struct, frozen=True, kw_only=True):
    """Everything that was provided for the last attempt of a job, stored as `jobs/<job_id>/software.json`."""

    job_id: JobId
    attempt: int
    items: tuple[ProvidedItem, ...]


class PlannedItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would be prepared for a run."""

    kind: TaskKind
    label: str
    is_cached: bool = False
    """Whether the runner that made the plan has it already."""
    problem: str | None = None
    """Why it cannot be prepared there."""
