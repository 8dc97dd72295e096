"""The description of the service: the operator's settings, and what runners offer."""

from pathlib import Path

import msgspec
from msgspec import UNSET

from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wes.addresses import Addresses
from penstock_gateway.wes.service_info import ServiceIdentity, identity_of, service_info_of

ADDRESSES = Addresses("http://here", "/ga4gh/wes/v1")


def identity(tmp_path: Path, **settings: object) -> ServiceIdentity:
    made = msgspec.structs.replace(GatewaySettings(state_dir=tmp_path, blobs=str(tmp_path)), **settings)
    return identity_of(made, "1.2.3")


def test_tags_are_names_with_values(tmp_path: Path) -> None:
    assert identity(tmp_path, service_tags=("a=1", " b = 2 = 3 ", "c")).tags == {"a": "1", "b": "2 = 3", "c": ""}


def test_protocols_follow_from_what_sources_may_be(tmp_path: Path) -> None:
    assert identity(tmp_path).filesystem_protocols == ()
    assert identity(tmp_path, source_roots=("/data",)).filesystem_protocols == ("file",)
    both = identity(tmp_path, source_roots=("/data",), source_hosts=("example.org",))
    assert both.filesystem_protocols == ("file", "http", "https")


def test_versions_are_those_that_runners_offer(tmp_path: Path) -> None:
    info = service_info_of(
        identity(tmp_path),
        engines={"snakemake": ("9.27.0",), "mock": ("1",)},
        counts={DetailedStatus.QUEUED: 2},
        addresses=ADDRESSES,
    )
    assert list(info.workflow_engine_versions) == ["mock", "snakemake"]
    assert info.workflow_engine_versions["snakemake"].workflow_engine_version == ["9.27.0"]
    assert "9.27.0" in info.workflow_type_versions["SMK"].workflow_type_version
    assert info.version == "1.2.3"
    assert info.system_state_counts["QUEUED"] == 2
    assert {"cores", "keep-going"} <= {parameter.name for parameter in info.default_workflow_engine_parameters}


def test_what_the_operator_left_out_leads_to_the_documentation_of_the_server(tmp_path: Path) -> None:
    bare = service_info_of(identity(tmp_path), engines={}, counts={}, addresses=ADDRESSES)
    assert (bare.auth_instructions_url, bare.documentationUrl) == (ADDRESSES.docs, ADDRESSES.docs)
    assert (bare.contactUrl, bare.environment) == (UNSET, UNSET)
    assert bare.workflow_type_versions == {}

    described = identity(tmp_path, auth_instructions_url="https://a", service_contact_url="mailto:x@y")
    info = service_info_of(described, engines={}, counts={}, addresses=ADDRESSES)
    assert (info.auth_instructions_url, info.contactUrl) == ("https://a", "mailto:x@y")
