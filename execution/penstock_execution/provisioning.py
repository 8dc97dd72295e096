"""The port of a provider: software and remote files that a workflow declares, prepared outside of its sandbox.

The process of an attempt is confined: it may have no network, and can write in its own folders only. So it requests
what its workflow declares, and the runner's providers prepare it: attempt process, `Requested`, engine, `Provider`. The
answer is a path that the sandbox lets every attempt read and none change.

A request comes from a process that executes code of the workflow's author. Its fields have bounds and nothing else is
known of them: a provider treats each as hostile input, and uses none as a path.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import astuple, replace

from penstock_schemas.software import Package

MAX_LABEL_CHARS: Final = 1_000
MAX_SPECIFICATION_CHARS: Final = 256 * 1024
"""Of an environment file, and of a post-deploy script."""
MAX_PIN_CHARS: Final = 1024 * 1024
"""Of a file that lists exact packages."""
MAX_ENVIRONMENT_NAME_CHARS: Final = 200
MAX_ADDRESS_CHARS: Final = 4_096
"""Of the address of an image or a file, and of a path in a repository."""
MAX_PATH_CHARS: Final = 900
"""Of the path that an answer names."""
MAX_MESSAGE_CHARS: Final = 400
MAX_DETAIL_CHARS: Final = 8_000
"""Of the detail of a failure; the whole text is in the log of the step."""

MAX_ANSWER_BYTES: Final = 4_000
"""Of an encoded answer: it fits one write to a pipe that the kernel does not divide."""
_MAX_ENCODED_BYTES: Final = 6
"""Of one character in JSON."""

Label = Annotated[str, Meta(min_length=1, max_length=MAX_LABEL_CHARS)]
Address = Annotated[str, Meta(min_length=1, max_length=MAX_ADDRESS_CHARS)]


class ProvisionKind(Enum):
    """What a provider can prepare."""

    CONDA = "conda"
    CONTAINER = "container"
    FILE = "file"


class Requirement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Something that a workflow declares and that is prepared outside of its sandbox."""

    label: Label
    """As the workflow writes it, for people: `envs/bwa.yaml`. Two requests that differ in nothing else are the same."""


class CondaEnvironment(Requirement, frozen=True, kw_only=True):
    """An environment of conda packages, by the text of its files."""

    specification: Annotated[str, Meta(max_length=MAX_SPECIFICATION_CHARS)]
    """The YAML file."""
    pins: Annotated[str, Meta(max_length=MAX_PIN_CHARS)] | None = None
    """The file `*.linux-64.pin.txt`: exact packages, which are preferred to a new solution of the specification."""
    post_deploy: Annotated[str, Meta(max_length=MAX_SPECIFICATION_CHARS)] | None = None
    """The file `*.post-deploy.sh`: it is executed once, with the environment activated, when that is complete."""


class NamedCondaEnvironment(Requirement, frozen=True, kw_only=True):
    """An environment that the operator of the runner offers under a name."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_ENVIRONMENT_NAME_CHARS)]


class ContainerImage(Requirement, frozen=True, kw_only=True):
    """An image of a container."""

    uri: Address
    """As the workflow writes it: `docker://ubuntu:24.04`, an address, or a path."""


class RemoteFile(Requirement, frozen=True, kw_only=True):
    """A file at an address; that of a file in a repository has the branch, tag or commit in it."""

    address: Address


AnyRequirement = CondaEnvironment | NamedCondaEnvironment | ContainerImage | RemoteFile

KINDS: Final[dict[type[Requirement], ProvisionKind]] = {
    CondaEnvironment: ProvisionKind.CONDA,
    NamedCondaEnvironment: ProvisionKind.CONDA,
    ContainerImage: ProvisionKind.CONTAINER,
    RemoteFile: ProvisionKind.FILE,
}


def chars_of_requirement(requirement: AnyRequirement) -> int:
    """Return how many characters a requirement has."""
    return sum(len(text) for text in astuple(requirement) if isinstance(text, str))


class Provided(Struct, frozen=True, kw_only=True):
    """What a provider prepared: complete and verified."""

    path: Annotated[str, Meta(min_length=1, max_length=MAX_PATH_CHARS)]
    """Absolute and resolved, in one of the provider's `folders`: an environment's prefix, an image, a file."""
    identity: str
    """What exactly it is: a digest of its content, or a commit. The same identity has the same content."""
    is_cached: bool = False
    """Whether it was there already."""
    is_absent: bool = False
    """Only of a file: there is none at its address, and `path` is a folder of the provider."""
    packages: tuple[Package, ...] = ()
    """So that a run states exactly which software it used."""
    lock: str | None = None
    """A file that is locked, shared, as long as an attempt uses it: the provider does not remove it meanwhile."""


def encodable(text: str) -> str:
    """Return a text of a tool without what is no character: file names may hold any bytes."""
    return text.encode("utf-8", "replace").decode()


class ProvisionFailed(Exception):
    """A provider could not prepare what was requested.

    Args:
        message: one sentence for the user: what is wrong, and how to correct it.
        detail: what the tool wrote, such as the solver's error.
        may_retry: whether the same request may succeed later, as when a channel does not answer.

    """

    def __init__(self, message: str, *, detail: str = "", may_retry: bool = False) -> None:
        super().__init__(message)
        self.message = encodable(message[:MAX_MESSAGE_CHARS])
        self.detail = encodable(detail[-MAX_DETAIL_CHARS:])
        self.may_retry = may_retry


class NotProvided(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something is not provided, as an attempt gets it."""

    message: str
    detail: str = ""
    may_retry: bool = False


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one request of an attempt; without a path and a failure it only would be prepared, by a run."""

    number: int
    """Of the request."""
    path: str | None = None
    is_absent: bool = False
    """Only of a file: there is none at its address."""
    failure: NotProvided | None = None


def encode_answer(answer: Answer) -> bytes:
    """Encode an answer; a detail that does not fit is cut at its beginning."""
    body = msgspec.json.encode(answer)
    while len(body) > MAX_ANSWER_BYTES and answer.failure is not None and answer.failure.detail:
        # A character takes at most six bytes, so this never cuts more than it must.
        kept = answer.failure.detail[(len(body) - MAX_ANSWER_BYTES) // _MAX_ENCODED_BYTES + 1 :]
        answer = replace(answer, failure=replace(answer.failure, detail=kept))
        body = msgspec.json.encode(answer)
    return body


def decode_answer(body: bytes) -> Answer:
    """Decode an answer; it comes from this program's own engine."""
    return msgspec.json.decode(body, type=Answer)


class Step(Protocol):
    """The visible step of a run in which something is prepared.

    The caller of `provide` begins the step, and ends it with the result or the failure. Nothing here blocks or raises.
    """

    def log(self, text: str) -> None:
        """Append to the log of the step, which is shown live and stored with the run."""
        ...

    def progress(self, text: str) -> None:
        """Show in one short sentence what happens at the moment: `12 of 30 packages are downloaded`."""
        ...


class Provider(Protocol):
    """Prepares what workflows declare. It belongs to the runner, and all attempts on the runner share it."""

    @property
    def kinds(self) -> frozenset[ProvisionKind]:
        """What it prepares here and now: the runner advertises it."""
        ...

    @property
    def folders(self) -> Sequence[str]:
        """Absolute, resolved folders of complete entries: the sandbox lets every attempt read them, and none write."""
        ...

    async def find(self, requirement: AnyRequirement) -> Provided | None:
        """Return what is there already; `None`: it would have to be prepared first. A plan calls this.

        Raises:
            ProvisionFailed: it can never be provided here, for example because the operator allows no such channel.

        """
        ...

    async def provide(self, requirement: AnyRequirement, step: Step) -> Provided:
        """Return what is requested, when it is complete and verified; prepare it where it is not there.

        It has no deadline from outside: a provider bounds its own work. When the calling task is cancelled, this
        request ends at once; a preparation for which other requests wait continues.

        Raises:
            ProvisionFailed: it cannot be provided.

        """
        ...

    async def __aenter__(self) -> "Provider":
        """Make ready: remove what a killed process left incomplete."""
        ...

    async def __aexit__(self, *exc: object) -> None:
        """Stop every preparation; no process of the provider is left."""
        ...


def provider_of(providers: Sequence[Provider], requirement: AnyRequirement) -> Provider | None:
    """Return the provider that prepares a requirement; `None` when there is none."""
    kind = KINDS[type(requirement)]
    return next((provider for provider in providers if kind in provider.kinds), None)
