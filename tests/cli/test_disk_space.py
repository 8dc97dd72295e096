"""When a full disk is reported, and when nats-server is restarted after it."""

from pathlib import Path

from penstock.local.disk_space import (
    FULL_BYTES,
    MAX_READ_BYTES,
    RESTART_S,
    RESUME_BYTES,
    Change,
    DiskSpaceMonitor,
    ServerLog,
)

LINE = b"[7] 2026/01/31 12:00:00 [ERR] JetStream failed to store a msg on stream '$G > S': no space left on device\n"


def test_a_disk_with_space_is_not_reported() -> None:
    assert DiskSpaceMonitor().update(RESUME_BYTES) is None


def test_a_full_disk_is_reported_once() -> None:
    monitor = DiskSpaceMonitor()
    assert [monitor.update(FULL_BYTES - 1), monitor.update(0)] == [Change.FULL, None]


def test_a_restart_requires_enough_space() -> None:
    monitor = DiskSpaceMonitor()
    monitor.update(0)
    assert [monitor.update(FULL_BYTES), monitor.update(RESUME_BYTES), monitor.update(RESUME_BYTES)] == [
        None,
        Change.ENOUGH_SPACE,
        None,
    ]


def test_a_server_that_cannot_write_is_started_again_when_there_is_any_space() -> None:
    """The disk may have been full between two checks, or has less space than it needs to count as free again."""
    now = 0.0
    monitor = DiskSpaceMonitor(clock=lambda: now)
    assert monitor.update(FULL_BYTES, cannot_store=True) is Change.ENOUGH_SPACE
    assert monitor.update(FULL_BYTES, cannot_store=True) is None
    now = RESTART_S
    assert monitor.update(FULL_BYTES - 1, cannot_store=True) is Change.FULL
    assert monitor.update(FULL_BYTES, cannot_store=True) is Change.ENOUGH_SPACE


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
