"""What an archive may not do: grow, leave its folder, link, repeat itself, or be anything but files."""

import contextlib
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_gateway.intake.archives import is_archive, unpack, without_top_folder
from penstock_gateway.intake.limits import MAX_ENTRIES, MAX_UNPACKED_BYTES, SourceUnfit

FILES = {"Snakefile": b"rule all:\n", "scripts/a b.py": b"\xff\x00"}


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return raw.getvalue()


def tarred(files: Mapping[str, bytes], *members: tarfile.TarInfo) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return raw.getvalue()


def gzipped(files: Mapping[str, bytes]) -> bytes:
    return gzip.compress(tarred(files))


def member(kind: bytes, name: str = "x", target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped_link() -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return raw.getvalue()


def twice() -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name in ("a", "./a"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return raw.getvalue()


@pytest.mark.parametrize("pack", [zipped, tarred, gzipped])
def test_files_come_out_as_they_went_in(pack: Callable[[Mapping[str, bytes]], bytes]) -> None:
    raw = pack({**FILES, "./workflow/rules.smk": b""})
    assert is_archive(raw)
    assert unpack(raw) == {**FILES, "workflow/rules.smk": b""}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (tarred({"../x": b""}), "leads out"),
        (tarred({"/etc/passwd": b""}), "absolute"),
        (tarred({"a/../../x": b""}), "leads out"),
        (zipped({"../x": b""}), "leads out"),
        (zipped({"/x": b""}), "absolute"),
        (zipped({"a\\..\\x": b""}), "backslash"),
        (zipped({"C:\\x": b""}), "backslash"),
        (tarred({}, member(tarfile.DIRTYPE, "../out")), "leads out"),
        (tarred({}, member(tarfile.SYMTYPE, target="/etc/passwd")), "a link"),
        (tarred({}, member(tarfile.LNKTYPE, target="Snakefile")), "a link"),
        (tarred({}, member(tarfile.CHRTYPE)), "a device"),
        (tarred({}, member(tarfile.FIFOTYPE)), "a device"),
        (zipped_link(), "link or a device"),
        (twice(), "twice"),
        (tarred({f"{n}": b"" for n in range(MAX_ENTRIES + 1)}), "entries"),
        (zipped({f"{n}": b"" for n in range(MAX_ENTRIES + 1)}), "entries"),
        (zipped({"a": b"x"}, zipfile.ZIP_BZIP2), "deflate"),
        (tarred({}), "no zip"),
        (tarred({}, member(tarfile.DIRTYPE, "a")), "no files"),
        (zipped(FILES)[:-30], "broken"),
        (gzipped(FILES)[:-20], "broken"),
        (b"\x28\xb5\x2f\xfd" + b"0" * 9, "zstd"),
        (lzma.compress(tarred(FILES)), "xz"),
        (b"hello", "no zip"),
    ],
)
def test_what_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(SourceUnfit, match=why):
        unpack(raw)


@pytest.mark.parametrize("pack", [zipped, gzipped])
def test_a_bomb_is_put_down_while_it_is_read(pack: Callable[[Mapping[str, bytes]], bytes]) -> None:
    raw = pack({"zeros": bytes(MAX_UNPACKED_BYTES * 4)})
    assert len(raw) < 1 << 20
    with pytest.raises(SourceUnfit, match=r"grows|bytes"):
        unpack(raw)


def test_an_archive_that_holds_too_much_is_refused_at_any_ratio() -> None:
    piece = bytes(range(256)) * 4096
    files = {f"{n}": piece for n in range(MAX_UNPACKED_BYTES // len(piece) + 1)}
    with pytest.raises(SourceUnfit, match="bytes"):
        unpack(zipped(files, zipfile.ZIP_STORED))


def test_a_header_that_grows_is_refused_too() -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"comment": "x" * (MAX_UNPACKED_BYTES * 3)}
        archive.addfile(info)
    with pytest.raises(SourceUnfit, match=r"grows|bytes"):
        unpack(gzip.compress(raw.getvalue()))


def test_the_folder_that_a_forge_adds_is_taken_off() -> None:
    assert without_top_folder({"repo-abc/workflow/Snakefile": b"", "repo-abc/a": b"x"}, None) == {
        "workflow/Snakefile": b"",
        "a": b"x",
    }
    assert without_top_folder({"workflow/Snakefile": b""}, None) == {"workflow/Snakefile": b""}
    assert without_top_folder({"r/main.smk": b""}, "main.smk") == {"main.smk": b""}
    assert without_top_folder({"r/x": b""}, None) == {"r/x": b""}


@given(st.binary(max_size=2000) | st.tuples(st.integers(0, 400), st.binary(max_size=40)).map(lambda cut: damaged(*cut)))
def test_any_bytes_are_files_or_unfit(raw: bytes) -> None:
    with contextlib.suppress(SourceUnfit):
        assert unpack(raw)


def damaged(place: int, by: bytes) -> bytes:
    whole = (zipped(FILES), tarred(FILES), gzipped(FILES))[place % 3]
    return whole[:place] + by + whole[place + len(by) :]
