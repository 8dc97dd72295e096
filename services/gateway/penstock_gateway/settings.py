"""What the gateway is told by its environment."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from penstock_core.access import JobVisibility
from penstock_core.settings import LogLevel, LogLevelSetting
from penstock_jetstream.settings import ServiceSettings


class GatewaySettings(ServiceSettings, frozen=True, kw_only=True):
    """The settings of one gateway."""

    blobs: Annotated[
        str, Meta(description="Where sources, logs and outputs are kept: a folder, or the URL of an object store.")
    ] = "penstock-blobs"
    state_dir: Annotated[
        Path, Meta(description="Where the gateway keeps its query index, which can be thrown away at any time.")
    ] = Path("penstock-gateway")
    host: Annotated[str, Meta(min_length=1, description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="The port to listen on; 0 takes a free one. PORT says the same.")
    ] = 8000
    max_body_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Bytes that the body of a request may have.")
    ] = 16 << 20
    max_upload_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 44, description="Bytes that a form with files may have; its files go to the blobs.")
    ] = 16 << 30
    mock_unknown_pipelines: Annotated[
        bool, Meta(description="Whether a job without a workflow source runs on the mock engine.")
    ] = False
    source_roots: Annotated[
        tuple[Path, ...],
        Meta(description="Folders on the runners' disk below which a workflow's source may be a path."),
    ] = ()
    catalogue_dir: Annotated[
        Path | None,
        Meta(description="A folder whose subfolders are workflows: each is registered in the catalogue as it changes."),
    ] = None
    job_visibility: Annotated[
        JobVisibility,
        Meta(
            description="Which jobs of their tenant viewers and submitters see: their own, or all. Operators see all."
        ),
    ] = JobVisibility.OWN
    graceful_s: Annotated[
        int, Meta(ge=0, le=600, description="Seconds that running requests have to finish when the gateway stops.")
    ] = 10
    echo_message: Annotated[str, Meta(description="What `GET /` says.", extra={"variable": "ECHO_MESSAGE"})] = (
        "Hello World"
    )
    image_tag: Annotated[str, Meta(description="What `GET /version` says.", extra={"variable": "IMAGE_TAG"})] = (
        "unknown"
    )
    log_level: LogLevelSetting = LogLevel.INFO


def mistakes(settings: GatewaySettings) -> tuple[str, ...]:
    """Return what is wrong with settings that are right one by one."""
    return tuple(
        f"PENSTOCK_SOURCE_ROOTS holds '{root}': expected absolute paths without `..`"
        for root in settings.source_roots
        if not root.is_absolute() or ".." in root.parts
    )
