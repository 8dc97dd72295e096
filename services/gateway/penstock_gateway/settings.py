"""The settings of a gateway, read from its environment."""

from enum import Enum
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from penstock_domain.access import JobVisibility
from penstock_runtime.settings import LogLevel, LogLevelSetting
from penstock_schemas.access import AuthMethod, Role
from penstock_sources.egress.settings import FetchingServiceSettings


class UnknownFields(Enum):
    """What happens to a request with a field or parameter that does not exist."""

    REFUSE = "refuse"
    IGNORE = "ignore"


class GatewaySettings(FetchingServiceSettings, frozen=True, kw_only=True):
    """The settings of one gateway."""

    blobs: Annotated[
        str, Meta(description="Where sources, logs and outputs are kept: a folder, or the URL of an object store.")
    ] = "penstock-blobs"
    state_dir: Annotated[
        Path, Meta(description="Where the gateway keeps its query index, which can be thrown away at any time.")
    ] = Path("penstock-gateway")
    host: Annotated[str, Meta(min_length=1, description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="The port to listen on; 0 takes a free one.", extra={"other_name": "PORT"}),
    ] = 8000
    max_body_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Bytes that the body of a request may have.")
    ] = 16 << 20
    max_upload_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 44, description="Bytes that a form with files may have; its files go to the blobs.")
    ] = 16 << 30
    retention_days: Annotated[
        int,
        Meta(ge=0, le=36_500, description="Days for which a job is kept after its end, with its files; 0: for ever."),
    ] = 0
    retention_completed_days: Annotated[
        int | None, Meta(ge=0, le=36_500, description="The same for completed jobs, in place of the general rule.")
    ] = None
    retention_failed_days: Annotated[int | None, Meta(ge=0, le=36_500, description="The same for failed jobs.")] = None
    retention_cancelled_days: Annotated[
        int | None, Meta(ge=0, le=36_500, description="The same for cancelled jobs.")
    ] = None
    sweep_after_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="Days after which blobs are removed that no job or catalogue entry refers to, at least 2; "
            "0: never.",
        ),
    ] = 2
    presigned_url_s: Annotated[
        int,
        Meta(
            ge=0,
            le=604_800,
            description="Seconds that links to outputs in the object store itself are valid; 0 gives none. A holder of "
            "such a link needs no credentials.",
        ),
    ] = 0
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
    presets_file: Annotated[
        Path | None,
        Meta(description="A file of engine parameters by name, JSON or YAML: what catalogue entries name as `preset`."),
    ] = None
    job_visibility: Annotated[
        JobVisibility,
        Meta(
            description="Which jobs of their tenant viewers and submitters see: their own, or all. Operators see all."
        ),
    ] = JobVisibility.OWN
    public_url: Annotated[
        str,
        Meta(
            description="The address under which clients reach the server, for links in answers of WES; "
            "left out: the address that the request was sent to."
        ),
    ] = ""
    wes_prefix: Annotated[
        str, Meta(description="The path below which GA4GH WES is served.", extra={"other_name": "API_PREFIX"})
    ] = "/ga4gh/wes/v1"
    service_id: Annotated[str, Meta(description="The service's id in service-info, in reverse domain notation.")] = (
        "example.penstock.wes"
    )
    service_name: Annotated[
        str, Meta(description="The service's name in service-info.", extra={"other_name": "SERVICE_NAME"})
    ] = "Penstock"
    service_description: Annotated[str, Meta(description="The description of the service in service-info.")] = (
        "Runs scientific pipelines."
    )
    service_organization: Annotated[
        str, Meta(description="Who provides the service.", extra={"other_name": "SERVICE_ORGANIZATION"})
    ] = "Penstock"
    service_organization_url: Annotated[str, Meta(description="The provider's web page.")] = "https://penstock.example"
    service_contact_url: Annotated[str, Meta(description="Where users of the service find help; `mailto:` too.")] = ""
    service_documentation_url: Annotated[
        str, Meta(description="The service's documentation; left out: the server's own page /docs.")
    ] = ""
    service_environment: Annotated[str, Meta(description="What the service is for: prod, test, dev, staging.")] = ""
    service_tags: Annotated[
        tuple[str, ...], Meta(description="Further facts in service-info, each of them `name=value`.")
    ] = ()
    auth_instructions_url: Annotated[
        str,
        Meta(
            description="Where users read how they get access; left out: the server's own page /docs.",
            extra={"other_name": "AUTH_INSTRUCTIONS_URL"},
        ),
    ] = ""
    auth: Annotated[
        tuple[AuthMethod, ...],
        Meta(
            description="How users authenticate. `none` is for one machine alone: everybody who reaches "
            "the port is an admin.",
            extra={"other_name": "AUTH_METHOD"},
        ),
    ] = (AuthMethod.NONE,)
    allow_anonymous: Annotated[
        bool, Meta(description="Whether `none` is intended although other machines reach the address.")
    ] = False
    basic_auth_users: Annotated[
        str,
        Meta(
            description="Users for `basic`: `name:hash` or `name:hash:role@tenant`, several with commas between.",
            extra={"secret": True, "other_name": "BASIC_AUTH_USERS"},
        ),
    ] = ""
    basic_auth_file: Annotated[
        Path | None,
        Meta(
            description="A file of further users for `basic`, one a line; `#` begins a comment. It is read again when "
            "it changes."
        ),
    ] = None
    oidc_issuer: Annotated[str | None, Meta(description="The OpenID provider for `oidc`.")] = None
    oidc_audience: Annotated[
        tuple[str, ...], Meta(description="The audience that a token for this server must name; one of several.")
    ] = ()
    oidc_name_claim: Annotated[
        str,
        Meta(min_length=1, description="The claim with the user's name. It must be stable and never reused."),
    ] = "sub"
    oidc_tenant_claim: Annotated[str | None, Meta(description="The claim that holds the tenant.")] = None
    oidc_tenant: Annotated[str, Meta(description="The tenant of everybody, where no claim holds it.")] = "default"
    oidc_role_claim: Annotated[
        str, Meta(min_length=1, description="The claim that holds roles or groups; dots lead into nested ones.")
    ] = "roles"
    oidc_roles: Annotated[
        tuple[str, ...], Meta(description="What values of that claim give which role, as `value=role`.")
    ] = ()
    oidc_default_role: Annotated[
        Role | None, Meta(description="The role of those to whom the claim gives none; empty: they have no access.")
    ] = None
    oidc_skew_s: Annotated[
        float, Meta(ge=0, le=600, description="Seconds by which the provider's clock may differ from ours.")
    ] = 60.0
    unknown_fields: Annotated[
        UnknownFields,
        Meta(
            description="What happens to a request of the native API with a field or parameter that does not exist; "
            "the header `Prefer: handling=lenient` or `handling=strict` counts before it."
        ),
    ] = UnknownFields.REFUSE
    rate_limit: Annotated[
        float,
        Meta(
            ge=0,
            description="Requests a second that each user may send on average; 0: any number. Not under `none`. Each "
            "gateway counts for itself.",
        ),
    ] = 200.0
    rate_burst: Annotated[int, Meta(ge=1, description="Requests that each user may send at once.")] = 400
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Sites whose pages may send requests here, or `*`.",
            extra={"other_name": "CORS_ORIGINS"},
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of proxies whose X-Forwarded-For, -Host and -Proto are believed."),
    ] = ()
    max_connections: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections that are open at the same time; further ones are answered with 503. Fewer where "
            "the limit of open files is below four thirds of it.",
        ),
    ] = 1000
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="The same from one address that is neither this machine nor a trusted proxy; 0: no own bound.",
        ),
    ] = 200
    ready_needs_runner_s: Annotated[
        int,
        Meta(
            ge=0,
            le=86_400,
            description="Seconds without a heartbeat of any runner after which the gateway is not ready while work "
            "waits; 0: it is ready without runners, too.",
        ),
    ] = 0
    graceful_s: Annotated[
        int, Meta(ge=0, le=600, description="Seconds that running requests have to finish when the gateway stops.")
    ] = 10
    echo_message: Annotated[str, Meta(description="The message of `GET /`.", extra={"variable": "ECHO_MESSAGE"})] = (
        "Hello World"
    )
    image_tag: Annotated[str, Meta(description="The version in `GET /version`.", extra={"variable": "IMAGE_TAG"})] = (
        "unknown"
    )
    log_level: LogLevelSetting = LogLevel.INFO
