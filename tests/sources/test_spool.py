"""The gateway's own files for sources that are being taken apart."""

from pathlib import Path

from penstock_sources.spool import Spool


async def test_clearing_removes_what_a_killed_gateway_left(tmp_path: Path) -> None:
    async with Spool(tmp_path).folder() as left:
        (left / "HEAD").write_text("x")
        Spool(tmp_path).clear()
        assert not left.exists()
    assert is_empty(tmp_path)


async def test_clearing_spares_a_fetch_that_is_under_way(tmp_path: Path) -> None:
    """A gateway clears the folder beside its first requests: git then lost the folder that it worked in."""
    spool = Spool(tmp_path)
    async with spool.folder() as folder:
        spool.clear()
        assert folder.is_dir()
    spool.clear()
    assert is_empty(tmp_path)


async def test_a_spool_without_a_folder_has_nothing_to_clear(tmp_path: Path) -> None:
    Spool(tmp_path / "never-made").clear()


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())
