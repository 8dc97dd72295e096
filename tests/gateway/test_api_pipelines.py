"""The catalogue over HTTP: registered, listed, run by name, retired; and what a job keeps of it."""

import base64
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from tests.gateway.gateway_harness import GatewayHarness, Json, pointers, problem
from tests.gateway.user_fixtures import BASIC, basic
from tests.sources.test_archives import gzipped

from penstock_gateway.catalogue.folder import Unfit, read_workflow
from penstock_gateway.catalogue.registration import prepare
from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.settings_checks import mistakes
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import PipelineRegistration, SubmittedSource
from penstock_schemas.events import JobSubmitted
from penstock_schemas.jobs import SourceManifest
from penstock_sources.staging.bundles import make_bundle

SNAKEFILE = 'configfile: "config/config.yaml"\nrule all:\n    output: "a"\n    shell: "touch {output}"\n'
SCHEMA = """
$schema: "https://json-schema.org/draft/2020-12/schema"
type: object
properties:
  genome: {type: string}
  sample_id: {type: string, pattern: "^S[0-9]+$"}
  threads: {type: integer, minimum: 1, default: 1}
required: [genome, sample_id, threads]
additionalProperties: false
"""
FILES = {
    "workflow/Snakefile": SNAKEFILE,
    "config/config.yaml": "genome: hg38\n",
    "workflow/schemas/config.schema.yaml": SCHEMA,
}


def registration(**changes: Any) -> Json:
    return {"name": "calls", "version": "1.0", "source": {"files": FILES}, **changes}


async def register(client: httpx.AsyncClient, **changes: Any) -> Json:
    response = await client.post("/pipelines", json=registration(**changes))
    assert response.status_code == 201, response.text
    version: Json = response.json()
    assert response.headers["location"] == f"/pipelines/{version['name']}/versions/{version['version']}"
    return version


async def run(client: httpx.AsyncClient, **changes: Any) -> httpx.Response:
    requested = {"pipeline_name": "calls", "parameters": {"sample_id": "S1"}, **changes}
    return await client.post("/jobs", json=requested)


async def test_a_workflow_brings_its_schema_and_its_configuration_along(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    version = await register(client, description="Calls variants", labels={"team": "tuna"})
    assert version["defaults"] == {"genome": "hg38"}
    assert version["parameters_schema"]["required"] == ["genome", "sample_id", "threads"]
    assert (version["source"]["kind"], version["source"]["location"][:20]) == ("files", "pipelines/calls/1.0/")
    raw = await harness.blobs.get_bytes(version["source"]["location"])
    stored = msgspec.json.decode(raw, type=SourceManifest).files
    assert {item.path: await harness.blobs.get_bytes(item.key) for item in stored} == {
        path: content.encode() for path, content in FILES.items()
    }
    listed = (await client.get("/pipelines")).json()
    assert listed == {
        "pipelines": [
            {
                "name": "calls",
                "newest": "1.0",
                "engine": "snakemake",
                "description": "Calls variants",
                "versions": ["1.0"],
            }
        ],
        "next_after": None,
    }
    assert (await client.get("/pipelines/calls")).json() == {"name": "calls", "newest": "1.0", "versions": [version]}
    assert (await client.get("/pipelines/calls/versions/1.0")).json() == version


async def test_registering_again_changes_nothing_and_other_content_is_refused(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    version = await register(client)
    kept = await harness.blobs.list("")
    again = await client.post("/pipelines", json=registration())
    assert (again.status_code, again.json()) == (200, version)
    raw = base64.b64encode(gzipped({path: content.encode() for path, content in FILES.items()})).decode()
    packed = await client.post("/pipelines", json=registration(source={"archive": {"base64": raw}}))
    assert (packed.status_code, packed.json()) == (200, version)
    other = {**FILES, "workflow/Snakefile": SNAKEFILE + "# other\n"}
    problem(await client.post("/pipelines", json=registration(source={"files": other})), 409)
    await client.delete("/pipelines/calls/versions/1.0")
    again = await client.post("/pipelines", json=registration())
    assert (again.status_code, again.json()["source"], again.json()["retired_at"]) == (201, version["source"], None)
    assert await harness.blobs.list("") == kept
    refused = problem(await client.post("/pipelines", json=registration(description="other")), 409)
    assert refused["type"].endswith("#version-taken")
    assert "another version" in refused["detail"]


async def test_an_entry_of_one_bundle_is_the_same_as_its_files(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    requested = PipelineRegistration(name="calls", version="1.0", source=SubmittedSource(files=dict(FILES)))
    bundle = make_bundle(requested.source, engine="snakemake", engines=installed_engines())
    await harness.blobs.put_bytes(bundle.key, bundle.content)
    old = prepare(requested, bundle.source, {path: content.encode() for path, content in FILES.items()})
    known, _ = await harness.gateway.base.catalogue.register(old, actor="test")
    again = await client.post("/pipelines", json=registration())
    assert (again.status_code, again.json()["event_id"]) == (200, known.event_id)
    assert again.json()["source"]["kind"] == "bundle"
    assert (await run(client)).status_code == 201


async def test_a_job_runs_the_newest_version_with_its_defaults(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    await register(client, labels={"team": "tuna", "tier": "1"}, engine_parameters={"cores": "2"})
    version = await register(client, version="2.0", labels={"team": "tuna", "tier": "1"})
    response = await run(client, labels={"tier": "2"})
    assert response.status_code == 201, response.text
    job = response.json()
    assert job["engine"] == "snakemake"
    assert job["parameters"] == {"genome": "hg38", "sample_id": "S1"}
    assert job["labels"] == {"team": "tuna", "tier": "2"}
    assert job["pipeline"] == {"name": "calls", "version": "2.0", "event_id": version["event_id"]}
    submitted = harness.cluster.log.stored[-1].event.data
    assert isinstance(submitted, JobSubmitted)
    assert submitted.spec.source is not None
    assert submitted.spec.source.location == version["source"]["location"]
    older = (await run(client, pipeline_version="1.0")).json()
    assert older["pipeline"]["version"] == "1.0"
    first = harness.cluster.log.stored[-1].event.data
    assert isinstance(first, JobSubmitted)
    assert first.spec.engine_parameters == {"cores": "2"}


async def test_an_entry_may_forbid_that_its_jobs_are_requeued(client: httpx.AsyncClient) -> None:
    await register(client, engine_parameters={"no-requeue": None})
    assert (await run(client)).json()["requeue"] is False
    assert (await run(client, engine_parameters={"no-requeue": "false"})).json()["requeue"] is True
    assert (await run(client, engine_parameters={"no-requeue": "false"}, requeue=False)).json()["requeue"] is False


async def test_every_violation_of_the_schema_is_named(client: httpx.AsyncClient) -> None:
    await register(client)
    requested = {"sample_id": "x", "threads": 0, "genome": 7, "colour": "red"}
    assert pointers(await run(client, parameters=requested)) == {
        "#/parameters/sample_id",
        "#/parameters/threads",
        "#/parameters/genome",
        "#/parameters/colour",
    }
    assert pointers(await run(client, parameters={})) == {"#/parameters/sample_id"}


async def test_a_preset_and_resources_become_engine_parameters(harness: GatewayHarness, tmp_path: Path) -> None:
    path = tmp_path / "presets.yaml"
    path.write_text('thorough: {cores: "8", keep-going: null, retries: "2"}\n')
    async with harness.serve(presets_file=path) as client:
        version = await register(
            client,
            preset="thorough",
            resources={"cores": 4, "mem_mb": 8000, "gpu": 1},
            engine_parameters={"retries": "1"},
        )
        chosen = {"keep-going": None, "cores": "4", "resources": "gpu=1 mem_mb=8000", "retries": "1"}
        assert version["engine_parameters"] == chosen
        assert version["resources"] == {"cores": 4, "mem_mb": 8000, "gpu": 1}
        assert version["preset"] == "thorough"
        job = (await run(client, engine_parameters={"cores": "2"})).json()
        submitted = harness.cluster.log.stored[-1].event.data
        assert isinstance(submitted, JobSubmitted)
        assert submitted.spec.engine_parameters == {**chosen, "cores": "2"}
    path.write_text('other: {cores: "1"}\n')
    async with harness.serve(presets_file=path, state_dir=tmp_path / "later") as client:
        assert (await client.get(f"/jobs/{job['id']}/pipeline")).json()["engine_parameters"] == chosen
        refused = await client.post("/pipelines", json=registration(version="2.0", preset="thorough"))
        assert pointers(refused) == {"#/preset"}
        assert "there are `other`" in refused.text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("- a", "does not hold an object"),
        ("a: 1", "names with engine parameters"),
        ("a: {cores: 1}", "names with engine parameters"),
        ("a: {exec: x}", "the preset `a` is for no engine: `exec`"),
    ],
)
def test_wrong_presets_are_named_at_start(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "presets.yaml"
    path.write_text(content)
    (mistake,) = mistakes(GatewaySettings(presets_file=path))
    assert mistake.startswith(f"PENSTOCK_PRESETS_FILE is {path}: ")
    assert why in mistake


async def test_an_old_job_shows_the_entry_as_it_was(client: httpx.AsyncClient) -> None:
    version = await register(client)
    job = (await run(client)).json()
    await register(client, version="2.0")
    assert (await client.delete("/pipelines/calls/versions/1.0")).json()["retired_at"] is not None
    assert (await client.get(f"/jobs/{job['id']}")).json()["pipeline"] == job["pipeline"]
    assert (await client.get(f"/jobs/{job['id']}/pipeline")).json() == version
    plain = (await client.post("/jobs", json={"pipeline_name": "other"})).json()
    assert "runs no pipeline" in problem(await client.get(f"/jobs/{plain['id']}/pipeline"), 404)["detail"]


async def test_a_retired_version_runs_no_more(client: httpx.AsyncClient) -> None:
    await register(client)
    await register(client, version="2.0")
    for _ in range(2):
        assert (await client.delete("/pipelines/calls/versions/2.0")).status_code == 200
    assert (await run(client)).json()["pipeline"]["version"] == "1.0"
    refused = await run(client, pipeline_version="2.0")
    assert pointers(refused) == {"#/pipeline_version"}
    assert "offered: `1.0`" in refused.text
    await client.delete("/pipelines/calls/versions/1.0")
    assert "retired" in problem(await run(client), 422)["detail"]
    assert (await client.get("/pipelines")).json()["pipelines"] == []
    assert (await client.get("/pipelines?retired=true")).json()["pipelines"][0]["newest"] is None


async def test_an_unknown_name_lists_similar_ones(harness: GatewayHarness) -> None:
    async with harness.serve(mock_unknown_pipelines=False) as client:
        await register(client)
        assert "did you mean `calls`?" in problem(await run(client, pipeline_name="cals"), 422)["detail"]
        assert "send the workflow's files" in problem(await run(client, pipeline_name="zzz"), 422)["detail"]
        assert pointers(await run(client, pipeline_name="zzz", pipeline_version="1")) == {"#/pipeline_version"}


async def test_a_submitted_source_is_run_under_any_name(client: httpx.AsyncClient) -> None:
    await register(client)
    source = {"files": {"Snakefile": "rule all:\n"}}
    job = (await run(client, source=source)).json()
    assert (job["pipeline"], job["parameters"]) == (None, {"sample_id": "S1"})
    assert pointers(await run(client, source=source, pipeline_version="1.0")) == {"#/pipeline_version"}
    assert pointers(await run(client, engine="mock")) == {"#/engine"}


async def test_the_same_key_finds_its_job_after_a_newer_version_came(client: httpx.AsyncClient) -> None:
    await register(client)
    first = (await run(client, idempotency_key="k")).json()
    await register(client, version="2.0")
    again = await run(client, idempotency_key="k")
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    problem(await run(client, idempotency_key="k", pipeline_version="2.0"), 409)


async def test_the_same_key_finds_its_job_after_its_version_was_retired(harness: GatewayHarness) -> None:
    async with harness.serve(mock_unknown_pipelines=False) as client:
        await register(client)
        first = (await run(client, idempotency_key="k", pipeline_version="1.0")).json()
        newest = (await run(client, idempotency_key="n")).json()
        await client.delete("/pipelines/calls/versions/1.0")
        problem(await run(client, pipeline_version="1.0"), 422)
        again = await run(client, idempotency_key="k", pipeline_version="1.0")
        assert (again.status_code, again.json()["id"]) == (200, first["id"])
        assert again.headers["idempotent-replay"] == "true"
        assert (await run(client, idempotency_key="n")).json()["id"] == newest["id"]
        assert (await run(client, idempotency_key="k")).status_code in (409, 422)


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"name": "no token"}, {"#/name"}),
        ({"version": "../1"}, {"#/version"}),
        ({"parameters_schema": {"type": "strin"}}, {"#/parameters_schema"}),
        ({"parameters_schema": {"$ref": "http://127.0.0.1/x"}}, {"#/parameters_schema"}),
        ({"defaults": {"threads": 0}}, {"#/defaults/threads"}),
        ({"engine_parameters": {"profile": "x"}}, {"#/engine_parameters/profile"}),
        ({"engine_parameters": {"no-requeue": "perhaps"}}, {"#/engine_parameters/no-requeue"}),
        ({"engine_parameters": {"exec": "rm"}}, {"#/engine_parameters/exec"}),
        ({"resources": {"cores": 0}}, {"#/resources"}),
        ({"resources": {"mem mb": 1}}, {"#/resources/mem mb"}),
        ({"resources": {"mem_mb": 1}, "engine": "mock"}, {"#/resources"}),
        ({"preset": "small"}, {"#/preset"}),
        ({"source": {}}, {"#/source"}),
        ({"source": {"files": {"../Snakefile": ""}}}, {"#/source/files/..~1Snakefile", "#/source/files"}),
        (
            {"source": {"files": {**FILES, "workflow/schemas/config.schema.yaml": "type: strin"}}},
            {"#/source/files/workflow~1schemas~1config.schema.yaml"},
        ),
    ],
)
async def test_a_refused_registration_has_the_reason(
    harness: GatewayHarness, client: httpx.AsyncClient, changes: Json, places: set[str]
) -> None:
    assert pointers(await client.post("/pipelines", json=registration(**changes))) == places
    assert not harness.cluster.log.stored


async def test_only_an_admin_changes_the_catalogue(harness: GatewayHarness) -> None:
    async with harness.serve(**BASIC) as client:
        client.headers.update(basic("root"))
        await register(client)
        client.headers.update(basic("olga"))
        problem(await client.post("/pipelines", json=registration(version="2")), 403)
        problem(await client.delete("/pipelines/calls/versions/1.0"), 403)
        assert (await client.get("/pipelines/calls")).status_code == 200


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    for address in ("/pipelines/nope", "/pipelines/nope/versions/1", "/pipelines/a%20b"):
        problem(await client.get(address), 404)
    problem(await client.delete("/pipelines/nope/versions/1"), 404)


async def test_a_list_has_pages(client: httpx.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        await register(client, name=name)
    page = (await client.get("/pipelines?limit=2")).json()
    assert ([pipeline["name"] for pipeline in page["pipelines"]], page["next_after"]) == (["a", "b"], "b")
    rest = (await client.get("/pipelines?limit=2&after=b")).json()
    assert ([pipeline["name"] for pipeline in rest["pipelines"]], rest["next_after"]) == (["c"], None)


async def test_another_gateway_knows_it_at_once(
    harness: GatewayHarness, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await register(client)
    async with harness.serve(state_dir=tmp_path / "other") as other:
        assert (await run(other)).json()["pipeline"]["version"] == "1.0"


async def test_a_folder_is_registered_as_it_changes(harness: GatewayHarness, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    for name, content in FILES.items():
        (folder / "calls" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "calls" / name).write_text(content)
    (folder / "hello").mkdir()
    (folder / "hello" / "Snakefile").write_text("rule all:\n")
    (folder / "hello" / "penstock.yaml").write_text("name: greet\nversion: v3\ndescription: Greets\n")
    async with harness.serve(catalogue_dir=folder) as client:
        await until_listed(client, 2)
        greet = (await client.get("/pipelines/greet/versions/v3")).json()
        assert (greet["description"], greet["registered_by"]) == ("Greets", "gateway:catalogue-folder")
        first = (await client.get("/pipelines/calls")).json()["newest"]
        (folder / "calls" / "workflow" / "Snakefile").write_text(SNAKEFILE + "# changed\n")
        with anyio.fail_after(10):
            while (await client.get("/pipelines/calls")).json()["newest"] == first:  # noqa: ASYNC110 - only HTTP shows it
                await anyio.sleep(0.02)
    before = len(harness.cluster.log.stored)
    async with harness.serve(catalogue_dir=folder) as client:
        await until_listed(client, 2)
    assert len(harness.cluster.log.stored) == before


@pytest.mark.parametrize(
    ("description", "why"),
    [("- a list", "object"), ("colour: red", "colour"), ("version: '?'", "version"), ("source: {}", "source")],
)
def test_a_folder_with_a_wrong_description_is_refused_with_the_reason(
    tmp_path: Path, description: str, why: str
) -> None:
    (tmp_path / "penstock.yaml").write_text(description)
    with pytest.raises(Unfit, match=why):
        read_workflow(tmp_path, 1 << 20)


def test_links_and_engines_folders_stay_out_of_the_catalogue(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    (folder / ".snakemake").mkdir(parents=True)
    (folder / ".snakemake" / "x").write_text("x")
    (folder / "Snakefile").write_bytes(b"\xff\x00")
    (folder / "link").symlink_to("/etc/passwd")
    read = read_workflow(folder, 1 << 20)
    assert [item.path for item in read.items] == ["Snakefile"]
    assert [item.path for item in read.left_out] == ["link"]
    with pytest.raises(Unfit, match="more than"):
        read_workflow(folder, 1)


async def until_listed(client: httpx.AsyncClient, count: int) -> None:
    with anyio.fail_after(10):
        while len((await client.get("/pipelines")).json()["pipelines"]) < count:  # noqa: ASYNC110 - only HTTP shows it
            await anyio.sleep(0.02)
