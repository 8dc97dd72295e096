"""`POST /runs`: what is taken, in every way that clients write it, and what is refused before anything is queued."""

import json

import httpx
import pytest
from tests.gateway.elsewhere import elsewhere
from tests.gateway.stage import Stage
from tests.gateway.wes.specification import PREFIX, Json, answered, refused

from penstock_gateway.settings import GatewaySettings, mistakes, with_other_names
from penstock_schemas.events import JobSubmitted
from penstock_schemas.jobs import SourceKind

FIELDS = {"workflow_type": "SMK", "workflow_type_version": "1.0"}
Files = list[tuple[str, tuple[str, bytes]]]


def attached(*names: str) -> Files:
    return [("workflow_attachment", (name, f"# {name}\n".encode())) for name in names]


async def post(client: httpx.AsyncClient, *names: str, **fields: str | None) -> httpx.Response:
    given = {name: value for name, value in (FIELDS | fields).items() if value is not None}
    if names:
        return await client.post(f"{PREFIX}/runs", data=given, files=attached(*names))
    return await client.post(f"{PREFIX}/runs", files=[(name, (None, value)) for name, value in given.items()])


async def request_of(client: httpx.AsyncClient, response: httpx.Response) -> Json:
    run_id = answered(response, "RunId")["run_id"]
    request: Json = answered(await client.get(f"{PREFIX}/runs/{run_id}"), "RunLog")["request"]
    return request


async def is_nothing_queued(stage: Stage) -> bool:
    return not stage.cluster.log.stored and not await stage.blobs.list("jobs/")


@pytest.mark.parametrize("written", ["SMK", "smk", "snakemake", "Snakemake", " SNAKEMAKE "])
async def test_a_type_may_be_written_in_several_ways(client: httpx.AsyncClient, written: str) -> None:
    assert (await request_of(client, await post(client, "Snakefile", workflow_type=written)))[
        "workflow_type"
    ] == written.strip()


@pytest.mark.parametrize("url", ["workflow/main.smk", "./workflow/main.smk", "workflow%2Fmain.smk"])
async def test_the_main_file_is_one_of_the_attachments(stage: Stage, client: httpx.AsyncClient, url: str) -> None:
    response = await post(client, "workflow/main.smk", "workflow/rules/a b.smk", "config.yaml", workflow_url=url)

    assert (await request_of(client, response))["workflow_url"] == url
    job = (await client.get("/jobs")).json()["jobs"][0]
    assert job["engine"] == "snakemake"
    (stored,) = stage.cluster.log.stored
    assert isinstance(stored.event.data, JobSubmitted)
    source = stored.event.data.source
    assert source is not None
    assert (source.kind, source.snakefile) == (SourceKind.FILES, "workflow/main.smk")
    keys = {each.key for each in await stage.blobs.list(f"jobs/{job['id']}/source")}
    assert len(keys) == 4


async def test_one_attachment_needs_no_address(client: httpx.AsyncClient) -> None:
    assert (await request_of(client, await post(client, "pipeline.smk")))["workflow_url"] == "pipeline.smk"


async def test_json_parts_may_say_their_type(client: httpx.AsyncClient) -> None:
    parts: list[tuple[str, tuple[str | None, str] | tuple[str | None, str, str]]] = [
        *((name, (None, value)) for name, value in FIELDS.items()),
        ("workflow_params", (None, json.dumps({"a": [1, {"b": None}]}), "application/json")),
        ("tags", ("tags.json", json.dumps({"k": "v"}), "application/json; charset=utf-8")),
        ("workflow_attachment[]", ("Snakefile", "")),
        ("something_else", (None, "of another server")),
    ]
    request = await request_of(client, await client.post(f"{PREFIX}/runs", files=parts))

    assert request["workflow_params"] == {"a": [1, {"b": None}]}
    assert request["tags"] == {"k": "v"}


async def test_engine_parameters_may_be_bare_flags(client: httpx.AsyncClient) -> None:
    given = {"--cores": 2, "keep_going": None, "forceall": True, "retries": "3"}
    request = await request_of(client, await post(client, "Snakefile", workflow_engine_parameters=json.dumps(given)))

    assert request["workflow_engine_parameters"] == {
        "--cores": "2",
        "keep_going": "",
        "forceall": "true",
        "retries": "3",
    }


async def test_a_repeated_request_with_a_key_finds_the_first_run(client: httpx.AsyncClient) -> None:
    async def once() -> str:
        response = await client.post(
            f"{PREFIX}/runs", data=FIELDS, files=attached("Snakefile"), headers={"idempotency-key": "k"}
        )
        run_id: str = answered(response, "RunId")["run_id"]
        return run_id

    assert await once() == await once()


@pytest.mark.parametrize(
    ("names", "fields", "said"),
    [
        ((), {}, "workflow_url"),
        (("a.smk", "b.smk"), {}, "not exactly one attachment"),
        (("a.smk",), {"workflow_url": "b.smk"}, "`a.smk`"),
        (("a.smk",), {"workflow_url": "/a.smk"}, "not attached"),
        (("../a.smk",), {}, "workflow_attachment"),
        (("/etc/a.smk",), {}, "workflow_attachment"),
        (("a//b.smk",), {}, "workflow_attachment"),
        (("a\\b.smk",), {}, "workflow_attachment"),
        (("a.smk", "a.smk"), {}, "workflow_attachment"),
        (("a", "a/b"), {}, "workflow_attachment"),
        (("a.smk",), {"workflow_url": "https://host.example/a.smk"}, "takes no attachments"),
        ((), {"workflow_url": "https://host.example/a.smk"}, "workflow_url: "),
        (("a.smk",), {"workflow_url": "trs://host.example/a"}, "`trs:`"),
        ((), {"workflow_url": "file:///srv/a.smk"}, "workflow_url"),
        (("a.smk",), {"workflow_type": None}, "workflow_type"),
        (("a.smk",), {"workflow_type": "XYZ"}, "no known type"),
        (("a.smk",), {"workflow_type_version": None}, "workflow_type_version"),
        (("a.smk",), {"workflow_engine": "cwltool"}, "workflow_engine"),
        (("a.smk",), {"workflow_params": "{"}, "workflow_params"),
        (("a.smk",), {"workflow_params": "[1]"}, "workflow_params"),
        (("a.smk",), {"tags": '{"k": 1}'}, "tags/k"),
        (("a.smk",), {"tags": '{"": "v"}'}, "tags"),
        (("a.smk",), {"workflow_engine_parameters": '{"exec": "rm"}'}, "exec"),
        (("a.smk",), {"workflow_engine_parameters": '{"cores": 0}'}, "cores"),
        (("a.smk",), {"workflow_engine_parameters": '{"targets": "../x"}'}, "targets"),
        (("a.smk",), {"workflow_engine_parameters": '{"cores": [1]}'}, "cores"),
    ],
)
async def test_what_cannot_be_done_is_refused_before_anything_is_queued(
    stage: Stage, client: httpx.AsyncClient, names: tuple[str, ...], fields: dict[str, str | None], said: str
) -> None:
    message = refused(await post(client, *names, **fields), 400)

    assert said in message
    assert await is_nothing_queued(stage)


async def test_the_parts_of_a_form_are_checked(stage: Stage, client: httpx.AsyncClient) -> None:
    twice = [("workflow_type", (None, "SMK")), ("workflow_type", (None, "CWL"))]
    assert "only once" in refused(await client.post(f"{PREFIX}/runs", files=twice), 400)
    nameless = [("workflow_attachment", (None, "content"))]
    assert "filename" in refused(await client.post(f"{PREFIX}/runs", files=nameless), 400)
    binary = [("workflow_params", (None, b"\xff\xfe"))]
    assert "UTF-8" in refused(await client.post(f"{PREFIX}/runs", files=binary), 400)
    refused(await client.post(f"{PREFIX}/runs"), 400)
    refused(await client.post(f"{PREFIX}/runs", data={"workflow_type": "SMK"}), 400)
    assert await is_nothing_queued(stage)


async def test_only_what_the_runners_offer_is_taken(stage: Stage) -> None:
    await stage.connect_runner("snakemake")
    async with stage.serve() as client:
        assert "offered: SMK" in refused(await post(client, "a.cwl", workflow_type="CWL"), 400)
        version = refused(await post(client, "Snakefile", workflow_type_version="99.0"), 400)
        assert "offered: 1.0, 1" in version
        engine_version = refused(
            await post(client, "Snakefile", workflow_engine="snakemake", workflow_engine_version="8"), 400
        )
        assert "offered: 1" in engine_version
        assert await is_nothing_queued(stage)
        answered(await post(client, "Snakefile", workflow_engine="Snakemake", workflow_engine_version="1"), "RunId")


async def test_a_workflow_may_lie_on_the_servers_disk(stage: Stage) -> None:
    async with stage.serve(source_roots=("/srv/workflows",)) as client:
        request = await request_of(client, await post(client, workflow_url="file:///srv/workflows/a/main.smk"))
        assert request["workflow_url"] == "file:///srv/workflows/a/main.smk"
        refused(await post(client, workflow_url="file:///etc/passwd"), 400)
        refused(await post(client, workflow_url="file:///srv/workflows/../x/a.smk"), 400)
        refused(await post(client, "a.smk", workflow_url="file:///srv/workflows/a.smk"), 400)


async def test_a_workflow_may_be_fetched_from_an_allowed_host(stage: Stage) -> None:
    with elsewhere() as place:
        place.pages["/wf/main.smk"] = b"rule all:\n"
        settings = {"source_hosts": (f"127.0.0.1:{place.port}",), "source_allow_private": True}
        async with stage.serve(**settings) as client:
            url = f"http://127.0.0.1:{place.port}/wf/main.smk"
            request = await request_of(client, await post(client, workflow_url=url))
            assert request["workflow_url"] == url
            missing = refused(await post(client, workflow_url=f"http://127.0.0.1:{place.port}/nowhere"), 400)
            assert missing.startswith("workflow_url: ")
            refused(await post(client, workflow_url="http://127.0.0.1:1/main.smk"), 400)
            refused(await post(client, "a.smk", workflow_url=url), 400)


def test_other_names_of_settings_are_accepted() -> None:
    environ = {"API_PREFIX": "/wes", "SERVICE_NAME": "a", "PENSTOCK_SERVICE_NAME": "b", "PORT": "81"}

    named = with_other_names(environ)

    assert (named["PENSTOCK_WES_PREFIX"], named["PENSTOCK_SERVICE_NAME"], named["PENSTOCK_PORT"]) == ("/wes", "b", "81")


@pytest.mark.parametrize("prefix", ["", "/", "wes", "/wes/", "/a b", "/jobs", "/docs/wes", "/{x}"])
def test_a_prefix_is_a_path_of_its_own(prefix: str) -> None:
    settings = GatewaySettings(wes_prefix=prefix, public_url="host", service_tags=("x",))

    assert [each.partition(" ")[0] for each in mistakes(settings)] == [
        "PENSTOCK_WES_PREFIX",
        "PENSTOCK_PUBLIC_URL",
        "PENSTOCK_SERVICE_TAGS",
    ]
