"""Files of work directories, as a runner sends them: hostile names, links and objects included."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_execution.local_workspace import LocalWorkspaces
from penstock_execution.workspace import Workspaces
from penstock_runner.core.kept_work import KeepPolicy
from penstock_runner.kept_work import KeptWorkspaces
from penstock_runner.work_files import WorkFileServer
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.ids import JobId
from penstock_schemas.wire import decode_view, encode
from penstock_schemas.work_files import MAX_PIECE_BYTES, WorkEntry, WorkFileProblem, WorkFileReply, WorkFileRequest
from penstock_sources.workspace.sources import Sources
from penstock_testing.memory.blobs import MemoryBlobs

JOB = JobId("job")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "state/work/job"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs/a.log").write_text("FATAL")
    (folder / "large").write_bytes(b"x" * (MAX_PIECE_BYTES + 5))
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to("../../../secret")
    (folder / "folder-link").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"\xff")).write_text("x")
    return folder


@pytest.fixture
def server(work: Path) -> WorkFileServer:
    root = work.parents[1]
    local = LocalWorkspaces(root, Sources(MemoryBlobs(), (), reserved=ReservedFolders(())))

    def workspaces() -> Mapping[str, Workspaces]:
        return {"e": local}

    return WorkFileServer(workspaces, KeptWorkspaces(root, KeepPolicy(), workspaces, runtime=SYSTEM))


async def reply_to(
    server: WorkFileServer, path: str = ".", start: int | None = None, job: str = "job"
) -> WorkFileReply:
    reply = await server.answer(WorkFileRequest(job_id=JobId(job), path=path, start=start))
    assert decode_view(encode(reply), WorkFileReply) == reply
    return reply


async def test_a_folder_is_listed_with_what_each_name_is(server: WorkFileServer) -> None:
    found = (await reply_to(server)).entries
    assert found is not None
    assert {entry.name: (entry.is_folder, entry.note) for entry in found} == {
        "folder-link": (False, "a link"),
        "large": (False, ""),
        "link": (False, "a link"),
        "logs": (True, ""),
        "pipe": (False, "a FIFO"),
        r"'\udcff'": (False, "its name is no text"),
    }
    assert (await reply_to(server, "logs")).entries == (WorkEntry(name="a.log", size_bytes=5),)
    assert (await reply_to(server, "logs/a.log")).entries == (WorkEntry(name="a.log", size_bytes=5),)


async def test_a_file_is_read_piece_by_piece(server: WorkFileServer) -> None:
    first = await reply_to(server, "large", 0)
    assert first.content == b"x" * MAX_PIECE_BYTES
    assert first.size_bytes == MAX_PIECE_BYTES + 5
    assert (await reply_to(server, "large", MAX_PIECE_BYTES)).content == b"x" * 5
    assert (await reply_to(server, "large", 1 << 40)).content == b""


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("absent", WorkFileProblem.NOT_FOUND),
        ("logs/a.log/x", WorkFileProblem.NOT_FOUND),
        ("link", WorkFileProblem.UNREADABLE),
        ("folder-link/passwd", WorkFileProblem.UNREADABLE),
        ("pipe", WorkFileProblem.UNREADABLE),
        ("logs", WorkFileProblem.UNREADABLE),
        ("../job/large", WorkFileProblem.UNREADABLE),
        ("/etc/passwd", WorkFileProblem.UNREADABLE),
        ("logs//a.log", WorkFileProblem.UNREADABLE),
        ("", WorkFileProblem.UNREADABLE),
        ("a\0b", WorkFileProblem.UNREADABLE),
        ("x" * 4096, WorkFileProblem.UNREADABLE),
    ],
)
async def test_only_regular_files_of_the_folder_are_read(
    server: WorkFileServer, path: str, problem: WorkFileProblem
) -> None:
    reply = await reply_to(server, path, 0)
    assert (reply.problem, reply.content) == (problem, None)
    assert reply.detail


@pytest.mark.parametrize("job", ["other", "..", "../work/job", "", "a b"])
async def test_other_jobs_have_no_work_directory(server: WorkFileServer, job: str) -> None:
    assert (await reply_to(server, job=job)).problem is WorkFileProblem.NOT_KEPT


async def test_so_many_requests_are_answered_at_a_time(server: WorkFileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_runner.work_files.MAX_OPEN", 0)
    assert (await reply_to(server)).problem is WorkFileProblem.BUSY


async def test_a_long_list_is_cut(server: WorkFileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_runner.work_files.MAX_ENTRIES", 2)
    reply = await reply_to(server)
    assert len(reply.entries or ()) == 2
    assert reply.is_cut
