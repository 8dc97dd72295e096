"""When a full disk is told of, and when nats-server is started again after it."""

from pathlib import Path

from penstock.local.disk_space import (
    FULL_BYTES,
    MAX_READ_BYTES,
    RESTART_S,
    ROOM_BYTES,
    Change,
    DiskSpaceMonitor,
    ServerLog,
)

LINE = b"[7] 2026/01/31 12:00:00 [ERR] JetStream failed to store a msg on stream '$G > S': no space left on device\n"


def test_a_disk_with_room_is_nothing_to_speak_of() -> None:
    assert DiskSpaceMonitor().look(ROOM_BYTES) is None


def test_a_full_disk_is_told_once() -> None:
    room = DiskSpaceMonitor()
    assert [room.look(FULL_BYTES - 1), room.look(0)] == [Change.FULL, None]


def test_room_again_is_told_only_when_there_is_enough_of_it() -> None:
    room = DiskSpaceMonitor()
    room.look(0)
    assert [room.look(FULL_BYTES), room.look(ROOM_BYTES), room.look(ROOM_BYTES)] == [None, Change.ROOM_AGAIN, None]


def test_a_server_that_cannot_write_is_started_again_when_there_is_any_room() -> None:
    """The disk may have been full between two looks, or has less room than it needs to count as free again."""
    now = 0.0
    room = DiskSpaceMonitor(clock=lambda: now)
    assert room.look(FULL_BYTES, cannot_store=True) is Change.ROOM_AGAIN
    assert room.look(FULL_BYTES, cannot_store=True) is None
    now = RESTART_S
    assert room.look(FULL_BYTES - 1, cannot_store=True) is Change.FULL
    assert room.look(FULL_BYTES, cannot_store=True) is Change.ROOM_AGAIN


def test_the_server_log_is_read_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "nats-server.log"
    assert not ServerLog(path).cannot_store()
    path.write_bytes(LINE)
    log = ServerLog(path)
    assert not log.cannot_store()
    with path.open("ab") as file:
        file.write(b"[7] 2026/01/31 12:00:01 [INF] Server is ready\n")
    assert not log.cannot_store()
    with path.open("ab") as file:
        file.write(bytes(2 * MAX_READ_BYTES) + LINE)
    assert [log.cannot_store(), log.cannot_store()] == [True, False]
    path.write_bytes(LINE)  # the server began a new file
    assert [log.cannot_store(), log.cannot_store()] == [True, False]
    path.unlink()
    assert not log.cannot_store()
