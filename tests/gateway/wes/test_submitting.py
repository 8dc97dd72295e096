"""`POST /runs`: what is taken, in every way that clients write it, and what is refused before anything is queued."""

import json
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.gateway.gateway_harness import GatewayHarness
from tests.gateway.wes.specification import PREFIX, Json, answered, refused
from tests.sources.http_fixture_server import fixture_server, git, repository
from tests.sources.test_archives import gzipped, zipped

from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.settings_checks import mistakes, with_other_names
from penstock_runtime.settings import BadSettings, read_settings
from penstock_schemas.events import JobSubmitted
from penstock_schemas.jobs import Source, SourceKind, SourceManifest

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


async def is_nothing_queued(harness: GatewayHarness) -> bool:
    return not harness.cluster.log.stored and not await harness.blobs.list("jobs/")


@pytest.mark.parametrize("written", ["SMK", "smk", "snakemake", "Snakemake", " SNAKEMAKE "])
async def test_a_type_may_be_written_in_several_ways(client: httpx.AsyncClient, written: str) -> None:
    assert (await request_of(client, await post(client, "Snakefile", workflow_type=written)))[
        "workflow_type"
    ] == written.strip()


@pytest.mark.parametrize("url", ["workflow/main.smk", "./workflow/main.smk", "workflow%2Fmain.smk"])
async def test_the_main_file_is_one_of_the_attachments(
    harness: GatewayHarness, client: httpx.AsyncClient, url: str
) -> None:
    response = await post(client, "workflow/main.smk", "workflow/rules/a b.smk", "config.yaml", workflow_url=url)

    assert (await request_of(client, response))["workflow_url"] == url
    job = (await client.get("/jobs")).json()["jobs"][0]
    assert job["engine"] == "snakemake"
    (stored,) = harness.cluster.log.stored
    assert isinstance(stored.event.data, JobSubmitted)
    source = stored.event.data.spec.source
    assert source is not None
    assert (source.kind, source.entrypoint) == (SourceKind.FILES, "workflow/main.smk")
    keys = {item.key for item in await harness.blobs.list(f"jobs/{job['id']}/source")}
    assert len(keys) == 4


async def test_one_attachment_needs_no_address(client: httpx.AsyncClient) -> None:
    assert (await request_of(client, await post(client, "pipeline.smk")))["workflow_url"] == "pipeline.smk"


async def test_json_parts_may_have_a_media_type(client: httpx.AsyncClient) -> None:
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
    ("names", "fields", "expected"),
    [
        ((), {}, "workflow_url"),
        (("a.smk", "b.smk"), {}, "do not determine the main file"),
        (("a.smk",), {"workflow_url": "b.smk"}, "`a.smk`"),
        (("a.smk",), {"workflow_url": "/a.smk"}, "not attached"),
        (("../a.smk",), {}, "workflow_attachment"),
        (("/etc/a.smk",), {}, "workflow_attachment"),
        (("a//b.smk",), {}, "workflow_attachment"),
        (("a.smk", "a.smk"), {}, "workflow_attachment"),
        (("a", "a/b"), {}, "workflow_attachment"),
        (("a.smk",), {"workflow_url": "https://host.example/a.smk"}, "workflow_url: "),
        ((), {"workflow_url": "https://host.example/a.smk"}, "workflow_url: "),
        (("a.smk",), {"workflow_url": "trs://host.example/a"}, "not use tool registries (TRS)"),
        ((), {"workflow_url": "s3://bucket/a.smk"}, "`s3:`"),
        ((), {"workflow_url": "git@github.com:o/r.git"}, "write git+https://"),
        ((), {"workflow_url": "ssh://git@github.com/o/r.git"}, "write git+https://"),
        ((), {"workflow_url": "git+ssh://git@github.com/o/r.git"}, "write git+https://"),
        ((), {"workflow_url": "git+file:///srv/r.git"}, "write git+https://"),
        ((), {"workflow_url": "git+https://host.example/r.git@main#Snakefile"}, "PENSTOCK_SOURCE_HOSTS"),
        ((), {"workflow_url": "git+https://[::1"}, "not a valid address"),
        ((), {"workflow_url": "calls"}, "the catalogue has no workflow `calls`"),
        ((), {"workflow_url": "penstock:calls@1"}, "the catalogue has no workflow `calls`"),
        ((), {"workflow_url": "penstock:a/b"}, "`penstock:name`"),
        (("a.smk",), {"workflow_url": "penstock:calls"}, "takes no attachments"),
        (("w.zip",), {}, "workflow_attachment/w.zip"),
        (("w.tar.gz", "b.zip"), {"workflow_url": "Snakefile"}, "not attached"),
        ((), {"workflow_url": "file:///srv/a.smk"}, "workflow_url"),
        (("a.smk",), {"workflow_type": None}, "workflow_type"),
        (("a.smk",), {"workflow_type": "XYZ"}, "no known type"),
        (("a.smk",), {"workflow_type_version": None}, "workflow_type_version"),
        (("a.smk",), {"workflow_engine": "cwltool"}, "workflow_engine"),
        (("a.smk",), {"workflow_params": "[1]"}, "workflow_params"),
        (("a.smk",), {"workflow_params": "{"}, "workflow_params: this part is not valid JSON"),
        (("a.smk",), {"workflow_params": '{"a": NaN}'}, "NaN is not a number"),
        (("a.smk",), {"workflow_params": '{"a": 1e999}'}, "too large"),
        (("a.smk",), {"workflow_params": '{"a": 1, "a": 2}'}, "workflow_params: Duplicate key `a`"),
        (("./a.smk",), {}, "not plain"),
        (("a.smk",), {"tags": '{"k": 1}'}, "tags/k"),
        (("a.smk",), {"tags": '{"": "v"}'}, "tags"),
        (("a.smk",), {"workflow_engine_parameters": '{"exec": "rm"}'}, "exec"),
        (("a.smk",), {"workflow_engine_parameters": '{"cores": 0}'}, "cores"),
        (("a.smk",), {"workflow_engine_parameters": '{"targets": "../x"}'}, "targets"),
        (
            ("a.smk",),
            {"workflow_engine_parameters": '{"cores": [1]}'},
            "cores: expected a text, a number,",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_before_anything_is_queued(
    harness: GatewayHarness,
    client: httpx.AsyncClient,
    names: tuple[str, ...],
    fields: dict[str, str | None],
    expected: str,
) -> None:
    message = refused(await post(client, *names, **fields), 400)

    assert expected in message
    assert await is_nothing_queued(harness)


async def test_the_parts_of_a_form_are_checked(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    twice = [("workflow_type", (None, "SMK")), ("workflow_type", (None, "CWL"))]
    assert "only once" in refused(await client.post(f"{PREFIX}/runs", files=twice), 400)
    nameless = [("workflow_attachment", (None, "content"))]
    assert "filename" in refused(await client.post(f"{PREFIX}/runs", files=nameless), 400)
    binary = [("workflow_params", (None, b"\xff\xfe"))]
    assert "UTF-8" in refused(await client.post(f"{PREFIX}/runs", files=binary), 400)
    refused(await client.post(f"{PREFIX}/runs"), 400)
    refused(await client.post(f"{PREFIX}/runs", data={"workflow_type": "SMK"}), 400)
    assert await is_nothing_queued(harness)


async def test_parts_come_in_any_order_and_names_in_any_script(client: httpx.AsyncClient) -> None:
    parts: list[tuple[str, tuple[str | None, str | bytes]]] = [
        ("workflow_attachment", ("日本/ünï code.smk", b"rule all:\n")),
        ("workflow_params", (None, "\ufeff{}")),
        ("workflow_type_version", (None, "1.0")),
        ("unknown", (None, "x")),
        ("workflow_attachment", ("config.yaml", b"{}")),
        ("workflow_url", (None, "%E6%97%A5%E6%9C%AC/%C3%BCn%C3%AF%20code.smk")),
        ("workflow_type", ("type.txt", b"SMK")),
    ]
    request = await request_of(client, await client.post(f"{PREFIX}/runs/", files=parts))
    assert request["workflow_params"] == {}


async def test_what_is_compressed_is_not_guessed_at(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    headers = {"content-encoding": "gzip"}
    answer = await client.post(f"{PREFIX}/runs", files=attached("Snakefile"), data=FIELDS, headers=headers)
    assert "`gzip`" in refused(answer, 400)
    assert await is_nothing_queued(harness)


async def test_another_prefix_behind_a_proxy_with_a_path(harness: GatewayHarness) -> None:
    async with harness.serve(wes_prefix="/wes", public_url="https://front.example/lab/") as client:
        run_id = (await client.post("/wes/runs", files=attached("Snakefile"), data=FIELDS)).json()["run_id"]
        run_log = answered(await client.get(f"/wes/runs/{run_id}"), "RunLog")
        assert run_log["task_logs_url"] == f"https://front.example/lab/wes/runs/{run_id}/tasks"
        refused(await client.get("/wes/nowhere"), 404)
        assert (await client.get(f"{PREFIX}/runs")).status_code == 404


async def test_only_what_the_runners_offer_is_taken(harness: GatewayHarness) -> None:
    await harness.connect_runner("snakemake")
    async with harness.serve() as client:
        assert "offered: SMK" in refused(await post(client, "a.cwl", workflow_type="CWL"), 400)
        version = refused(await post(client, "Snakefile", workflow_type_version="99.0"), 400)
        assert "offered: 1.0, 1" in version
        engine_version = refused(
            await post(client, "Snakefile", workflow_engine="snakemake", workflow_engine_version="8"), 400
        )
        assert "offered: 1" in engine_version
        assert await is_nothing_queued(harness)
        answered(await post(client, "Snakefile", workflow_engine="Snakemake", workflow_engine_version="1"), "RunId")


async def test_a_workflow_may_lie_on_the_servers_disk(harness: GatewayHarness) -> None:
    async with harness.serve(source_roots=("/srv/workflows",)) as client:
        request = await request_of(client, await post(client, workflow_url="file:///srv/workflows/a/main.smk"))
        assert request["workflow_url"] == "file:///srv/workflows/a/main.smk"
        refused(await post(client, workflow_url="file:///etc/passwd"), 400)
        refused(await post(client, workflow_url="file:///srv/workflows/../x/a.smk"), 400)
        refused(await post(client, "a.smk", workflow_url="file:///srv/workflows/a.smk"), 400)


async def test_a_workflow_may_be_fetched_from_an_allowed_host(harness: GatewayHarness) -> None:
    with fixture_server() as place:
        place.pages["/wf/main.smk"] = b"rule all:\n"
        settings = {"source_hosts": (f"127.0.0.1:{place.port}",), "source_allow_private": True}
        async with harness.serve(**settings) as client:
            url = f"http://127.0.0.1:{place.port}/wf/main.smk"
            request = await request_of(client, await post(client, workflow_url=url))
            assert request["workflow_url"] == url
            missing = refused(await post(client, workflow_url=f"http://127.0.0.1:{place.port}/nowhere"), 400)
            assert missing.startswith("workflow_url: ")
            refused(await post(client, workflow_url="http://127.0.0.1:1/main.smk"), 400)


async def post_files(client: httpx.AsyncClient, files: dict[str, bytes], **fields: str) -> httpx.Response:
    parts = [("workflow_attachment", file) for file in files.items()]
    return await client.post(f"{PREFIX}/runs", data=FIELDS | fields, files=parts)


async def source_of(harness: GatewayHarness) -> tuple[Source, dict[str, bytes]]:
    """The source of the last job, and its files."""
    submitted = harness.cluster.log.stored[-1].event.data
    assert isinstance(submitted, JobSubmitted)
    assert submitted.spec.source is not None
    raw = await harness.blobs.get_bytes(submitted.spec.source.location)
    files = msgspec.json.decode(raw, type=SourceManifest).files
    return submitted.spec.source, {file.path: await harness.blobs.get_bytes(file.key) for file in files}


WORKFLOW = {"workflow/Snakefile": b"rule all:\n", "scripts/a.py": b"#!/usr/bin/python\n"}


@pytest.mark.parametrize(
    ("files", "url", "main"),
    [
        ({"w.zip": zipped(WORKFLOW)}, "", None),
        ({"w.zip": zipped(WORKFLOW)}, "w.zip", None),
        ({"in/w.tgz": gzipped(WORKFLOW)}, "./in/w.tgz#workflow/Snakefile", "workflow/Snakefile"),
        ({"w.tar.gz": gzipped(WORKFLOW)}, "workflow/Snakefile", "workflow/Snakefile"),
        ({"w.tar.gz": gzipped({f"w-1/{name}": item for name, item in WORKFLOW.items()})}, "w.tar.gz", None),
        ({"w.tar.gz": gzipped(WORKFLOW), "params/a.json": b"{}"}, "workflow/Snakefile", "workflow/Snakefile"),
        ({"w.zip": zipped(WORKFLOW), "data.tar.gz": b"data"}, "w.zip", None),
    ],
)
async def test_an_attached_archive_that_is_the_workflow_is_unpacked(
    harness: GatewayHarness, client: httpx.AsyncClient, files: dict[str, bytes], url: str, main: str | None
) -> None:
    response = await post_files(client, files, workflow_url=url)
    assert (await request_of(client, response))["workflow_url"] == (url or "w.zip")
    source, stored = await source_of(harness)
    beside = {name: content for name, content in files.items() if name.startswith(("params", "data"))}
    assert (source.entrypoint, stored) == (main, WORKFLOW | beside)
    assert len(await harness.blobs.list("jobs/")) == len(stored) + 1


async def test_an_archive_beside_the_workflow_is_data(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    files = {"Snakefile": b"rule all:\n", "data.tar.gz": gzipped({"a": b"1"})}
    answered(await post_files(client, files, workflow_url="Snakefile"), "RunId")
    assert (await source_of(harness))[1] == files


@pytest.mark.parametrize(
    ("files", "url", "expected"),
    [
        ({"w.zip": zipped({"../Snakefile": b""})}, "w.zip", "`../Snakefile` in the archive"),
        ({"w.zip": zipped({"a": b""})}, "w.zip", "there is no Snakefile"),
        ({"w.zip": zipped(WORKFLOW)}, "other.smk", "`other.smk` is not among the files"),
        ({"w.zip": zipped(WORKFLOW), "scripts/a.py": b""}, "w.zip", "`scripts/a.py` came with the request"),
        ({"w.zip": zipped(WORKFLOW), "scripts": b""}, "w.zip", "a file here and a folder there"),
    ],
)
async def test_an_attached_archive_that_cannot_be_taken_leaves_nothing(
    harness: GatewayHarness, client: httpx.AsyncClient, files: dict[str, bytes], url: str, expected: str
) -> None:
    assert expected in refused(await post_files(client, files, workflow_url=url), 400)
    assert await is_nothing_queued(harness)


async def test_a_repository_may_be_named_in_every_way_that_people_do(harness: GatewayHarness, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    folder = tmp_path / "work"
    commit = repository(folder, {"workflow/main.smk": "rule all:\n", "config/config.yaml": "a: 1\n"})
    git(folder, "tag", "v1")
    git(folder, "clone", "--quiet", "--bare", str(folder), str(tmp_path / "bare" / "lab" / "w"))
    git(folder, "clone", "--quiet", "--bare", str(folder), str(tmp_path / "bare" / "lab" / "w.git"))
    with fixture_server(repositories=tmp_path / "bare") as place:
        host = f"127.0.0.1:{place.port}"
        async with harness.serve(source_hosts=(host,), source_allow_private=True) as client:
            for url, base in (
                (f"git+http://{host}/lab/w@v1#workflow/main.smk", "lab/w"),
                (f"git+http://{host}/lab/w.git@{commit}#workflow/main.smk", "lab/w.git"),
                (f"git+http://{host}/lab/w#workflow/main.smk", "lab/w"),
                (f"http://{host}/lab/w/blob/v1/workflow/main.smk", "lab/w"),
                (f"http://{host}/lab/w/-/blob/main/workflow/main.smk", "lab/w"),
                (f"http://{host}/lab/w.git#workflow/main.smk", "lab/w.git"),
            ):
                response = await post_files(client, {"params/mine.json": b"{}"}, workflow_url=url)
                assert (await request_of(client, response))["workflow_url"] == url
                source, files = await source_of(harness)
                assert (source.entrypoint, source.origin) == (
                    "workflow/main.smk",
                    f"git+http://{host}/{base}@{commit}",
                )
                assert set(files) == {"workflow/main.smk", "config/config.yaml", "params/mine.json"}
            kept = await harness.blobs.list("")
            both = await post_files(client, {"config/config.yaml": b""}, workflow_url=url)
            assert "`config/config.yaml` came with the request" in refused(both, 400)
            gone = await post(client, workflow_url=f"git+http://{host}/lab/w@v9#workflow/main.smk")
            assert "couldn't find remote ref v9" in refused(gone, 400)
            page = await post(client, workflow_url=f"http://{host}/lab/w/tree/v1/workflow")
            assert "page of a folder" in refused(page, 400)
            assert await harness.blobs.list("") == kept


async def test_attachments_are_staged_beside_fetched_files(harness: GatewayHarness) -> None:
    with fixture_server() as place:
        place.pages |= {"/main.smk": b"rule all:\n", "/w.tgz": gzipped({"w/Snakefile": b"rule all:\n"})}
        host = f"127.0.0.1:{place.port}"
        async with harness.serve(source_hosts=(host,), source_allow_private=True) as client:
            for path in ("main.smk", "w.tgz"):
                headers = {"idempotency-key": path}
                parts = attached("params.json")
                data = FIELDS | {"workflow_url": f"http://{host}/{path}"}
                sent = [await client.post(f"{PREFIX}/runs", data=data, files=parts, headers=headers) for _ in range(2)]
                assert answered(sent[0], "RunId") == answered(sent[1], "RunId")
                assert set((await source_of(harness))[1]) == {"Snakefile", "params.json"}
                changed = [("workflow_attachment", ("params.json", b"other"))]
                other = await client.post(f"{PREFIX}/runs", data=data, files=changed, headers=headers)
                assert other.status_code == 409, other.text


async def test_a_workflow_of_the_catalogue_runs_by_its_name(harness: GatewayHarness) -> None:
    async with harness.serve() as client:  # where unknown names run on the mock engine; over WES they do not
        for version in ("1.0", "2.0+x"):
            entry = {
                "name": "calls",
                "version": version,
                "source": {"files": {"Snakefile": "rule all:\n"}},
                "parameters_schema": {"properties": {"threads": {"minimum": 1}}},
            }
            assert (await client.post("/pipelines", json=entry)).status_code == 201
        for url, version in (
            ("calls", "2.0+x"),
            ("penstock:calls", "2.0+x"),
            ("calls@1.0", "1.0"),
            ("penstock:calls@2.0+x", "2.0+x"),
        ):
            request = await request_of(client, await post(client, workflow_url=url, workflow_params='{"threads": 2}'))
            assert (request["workflow_url"], request["workflow_params"]) == (url, {"threads": 2})
            job = (await client.get("/jobs?limit=1")).json()["jobs"][0]
            assert (job["pipeline"]["version"], job["pipeline_name"]) == (version, "calls")
        native = (await client.post("/jobs", json={"pipeline_name": "calls", "parameters": {"threads": 1}})).json()
        run_log = answered(await client.get(f"{PREFIX}/runs/{native['id']}"), "RunLog")["request"]
        assert run_log["workflow_url"] == "penstock:calls@2.0+x"
        before = len(harness.cluster.log.stored)
        for url, params, expected in (
            ("calls@9", "{}", "offered: `2.0+x`, `1.0`"),
            ("cals", "{}", "did you mean `calls`?"),
            ("calls", '{"threads": 0}', "workflow_params/threads"),
        ):
            assert expected in refused(await post(client, workflow_url=url, workflow_params=params), 400)
        assert len(harness.cluster.log.stored) == before


def test_other_names_of_settings_are_accepted() -> None:
    environ = {"API_PREFIX": "/wes", "SERVICE_NAME": "a", "PENSTOCK_SERVICE_NAME": "a", "PORT": "81"}

    settings = read_settings(GatewaySettings, with_other_names(environ))

    assert (settings.wes_prefix, settings.service_name, settings.port) == ("/wes", "a", 81)


def test_two_names_of_a_setting_must_not_contradict_each_other() -> None:
    environ = {"SERVICE_NAME": "a", "PENSTOCK_SERVICE_NAME": "b", "PORT": "x"}

    with pytest.raises(BadSettings) as caught:
        read_settings(GatewaySettings, environ)

    assert str(caught.value).splitlines() == [
        "PORT is 'x': expected a whole number from 0 to 65535",
        "SERVICE_NAME is 'a': expected the same as PENSTOCK_SERVICE_NAME, which is 'b'; set one of the two alone",
    ]


@pytest.mark.parametrize("prefix", ["", "/", "wes", "/wes/", "/a b", "/jobs", "/docs/wes", "/{x}"])
def test_a_prefix_is_a_path_of_its_own(prefix: str) -> None:
    settings = GatewaySettings(wes_prefix=prefix, public_url="host", service_tags=("x",))

    assert [mistake.partition(" ")[0] for mistake in mistakes(settings)] == [
        "PENSTOCK_WES_PREFIX",
        "PENSTOCK_PUBLIC_URL",
        "PENSTOCK_SERVICE_TAGS",
    ]
