"""The description of the service: from the runners, the index and the settings."""

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Struct

from penstock_domain.engines.parameter_table import FOR_EVERY_ENGINE
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.operations.wes_models import (
    DefaultWorkflowEngineParameter,
    Organization,
    ServiceInfo,
    ServiceType,
    WorkflowEngineVersion,
    WorkflowTypeVersion,
)
from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wes.addresses import Addresses
from penstock_gateway.wes.languages import offered_languages
from penstock_gateway.wes.states import state_counts
from penstock_runtime.engine_plugins import installed_engines

WES_VERSIONS: Final = ("1.0.0", "1.1.0")


class ServiceIdentity(Struct, frozen=True, kw_only=True):
    """The operator's description of the service."""

    id: str
    name: str
    description: str
    organization: str
    organization_url: str
    contact_url: str
    documentation_url: str
    environment: str
    auth_instructions_url: str
    tags: dict[str, str]
    software_version: str
    filesystem_protocols: tuple[str, ...]


def identity_of(settings: GatewaySettings, software_version: str) -> ServiceIdentity:
    """Return the description in the settings."""
    tags = (tag.partition("=") for tag in settings.service_tags)
    return ServiceIdentity(
        id=settings.service_id,
        name=settings.service_name,
        description=settings.service_description,
        organization=settings.service_organization,
        organization_url=settings.service_organization_url,
        contact_url=settings.service_contact_url,
        documentation_url=settings.service_documentation_url,
        environment=settings.service_environment,
        auth_instructions_url=settings.auth_instructions_url,
        tags={name.strip(): value.strip() for name, _, value in tags},
        software_version=software_version,
        filesystem_protocols=(
            *(("file",) if settings.source_roots else ()),
            *(("http", "https") if settings.source_hosts else ()),
        ),
    )


def service_info_of(
    identity: ServiceIdentity,
    *,
    engines: Mapping[str, tuple[str, ...]],
    counts: dict[DetailedStatus, int],
    addresses: Addresses,
) -> ServiceInfo:
    """Return what a client needs before its first request.

    Args:
        identity: the operator's description.
        engines: the versions of each engine that the connected runners offer.
        counts: the number of runs that the client may see, by detailed status.
        addresses: where this server is.

    """
    installed = installed_engines()
    return ServiceInfo(
        id=identity.id,
        name=identity.name,
        type=ServiceType(),
        description=identity.description,
        organization=Organization(name=identity.organization, url=identity.organization_url),
        version=identity.software_version,
        workflow_type_versions={
            name: WorkflowTypeVersion(workflow_type_version=list(versions))
            for name, versions in offered_languages(installed, engines).items()
        },
        supported_wes_versions=list(WES_VERSIONS),
        supported_filesystem_protocols=list(identity.filesystem_protocols),
        workflow_engine_versions={
            engine: WorkflowEngineVersion(workflow_engine_version=list(versions))
            for engine, versions in sorted(engines.items())
        },
        default_workflow_engine_parameters=[
            DefaultWorkflowEngineParameter(
                name=one_engine.name, type=one_engine.kind.value, default_value=one_engine.default_value or ""
            )
            for one_engine in (
                *(own for engine in sorted(engines) for own in installed.table(engine).own),
                *FOR_EVERY_ENGINE,
            )
        ],
        system_state_counts=state_counts(counts),
        auth_instructions_url=identity.auth_instructions_url or addresses.docs,
        tags=identity.tags,
        contactUrl=identity.contact_url or UNSET,
        documentationUrl=identity.documentation_url or addresses.docs,
        environment=identity.environment or UNSET,
    )
