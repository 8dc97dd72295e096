"""What an archive may not do: grow, leave its folder, link, repeat itself, or be anything but files."""

import bz2
import contextlib
import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine_folders import SNAKEMAKE_FOLDERS

from penstock_sources.archives.archives import contents, is_archive, survey
from penstock_sources.archives.entries import ArchiveEntry, top_folder
from penstock_sources.failures import UnusableSource
from penstock_sources.file_tree import FileTree
from penstock_sources.limits import MAX_DIRECTORY_BYTES, MAX_ENTRIES, RATIO_FREE_BYTES

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
            info.mode = 0o644
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


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    """One block of a tar that announces `size` bytes."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def pax_header(size: int) -> bytes:
    """A further attribute of many bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"comment": "x" * size}
        archive.addfile(info)
    return raw.getvalue()


def pax_chain() -> bytes:
    """Attributes of attributes, deeper than a program may call itself."""
    return header(tarfile.XHDTYPE, 0) * 1900


def long_name() -> bytes:
    return header(tarfile.GNUTYPE_LONGNAME, 40 << 20) + b"x" * (40 << 20)


def sparse_map() -> bytes:
    """A file of holes, whose list goes on and on."""
    block = bytearray(header(tarfile.GNUTYPE_SPARSE, 0))
    block[482] = 1
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
    return bytes(block) + (bytes(504) + b"\1" + bytes(7)) * 60_000


def damaged_header() -> bytes:
    """The second header is none."""
    raw = bytearray(tarred(FILES))
    raw[1024 + 20] ^= 0xFF
    return bytes(raw)


MAX_BYTES = 64 << 20


def unpack(raw: bytes, max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
    file = io.BytesIO(raw)
    survey(file, max_bytes, SNAKEMAKE_FOLDERS)
    return {
        entry.path: b"".join(chunks)
        for entry, chunks in contents(file, max_bytes, SNAKEMAKE_FOLDERS)
        if not entry.is_folder
    }


def bzipped(files: Mapping[str, bytes]) -> bytes:
    return bz2.compress(tarred(files))


def xzipped(files: Mapping[str, bytes]) -> bytes:
    return lzma.compress(tarred(files))


@pytest.mark.parametrize("pack", [zipped, tarred, gzipped, bzipped, xzipped])
def test_files_come_out_as_they_went_in(pack: Callable[[Mapping[str, bytes]], bytes]) -> None:
    raw = pack({**FILES, "./workflow/rules.smk": b"", "large": bytes(range(256)) * 8000})
    assert is_archive(raw[:512])
    assert unpack(raw) == {**FILES, "workflow/rules.smk": b"", "large": bytes(range(256)) * 8000}


def test_folders_and_what_macos_adds_are_no_files() -> None:
    assert unpack(zipped({"a/": b"", "a/b": b"1", "__MACOSX/a/._b": b"x"})) == {"a/b": b"1"}
    assert unpack(tarred({"b": b""}, member(tarfile.DIRTYPE, "./"), member(tarfile.DIRTYPE, "./a/"))) == {"b": b""}


def test_the_executable_bits_of_an_archive_are_kept() -> None:
    info = tarfile.TarInfo("run")
    info.mode = 0o755
    tar, packed = io.BytesIO(tarred({"a": b""}, info)), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        with_mode = zipfile.ZipInfo("run")
        with_mode.external_attr, with_mode.create_system = 0o100755 << 16, 3
        archive.writestr(with_mode, "")
        without_mode = zipfile.ZipInfo("a")
        without_mode.create_system = 0
        archive.writestr(without_mode, "")
    assert {item.path: item.is_executable for item in survey(tar, MAX_BYTES, SNAKEMAKE_FOLDERS)} == {
        "a": False,
        "run": True,
    }
    assert {item.path: item.is_executable for item in survey(packed, MAX_BYTES, SNAKEMAKE_FOLDERS)} == {
        "a": None,
        "run": True,
    }


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (tarred({"../x": b""}), "`../x`.*leads out"),
        (tarred({"/etc/passwd": b""}), "`/etc/passwd`.*absolute"),
        (tarred({"a/../../x": b""}), "leads out"),
        (zipped({"../x": b""}), "leads out"),
        (zipped({"/x": b""}), "absolute"),
        (tarred({}, member(tarfile.DIRTYPE, "../out")), "leads out"),
        (zipped({"../out/": b""}), "leads out"),
        (tarred({}, member(tarfile.SYMTYPE, target="x" * 1025)), "`x` is a link whose target has more than"),
        (tarred({}, member(tarfile.CHRTYPE)), "a device"),
        (tarred({}, member(tarfile.BLKTYPE)), "a device"),
        (tarred({}, member(tarfile.FIFOTYPE)), "a device"),
        (twice(), "`a` is twice in the archive"),
        (tarred({"a": b"", "a/b": b""}), "`a/b`.*a file here and a folder there"),
        (tarred({"a/b": b"", "a": b""}), "`a`.*a file here and a folder there"),
        (tarred({"a": b""}, member(tarfile.DIRTYPE, "a")), "a file here and a folder there"),
        (tarred({"a/" * 70 + "x": b""}), "more than 64 names"),
        (tarred({"a\x1b[2J/": b""}), r"`a\?\[2J/`.*not plain"),
        (tarred({f"{n}": b"" for n in range(MAX_ENTRIES + 1)}), "entries"),
        (zipped({f"{n}": b"" for n in range(MAX_ENTRIES + 1)}), "entries"),
        (zipped({"a": b"x"}, zipfile.ZIP_BZIP2), "deflate"),
        (tarred({}), "no archive|no files"),
        (tarred({}, member(tarfile.DIRTYPE, "a")), "no files"),
        (zipped(FILES)[:-30], "broken"),
        (gzipped(FILES)[:-20], "broken"),
        (bzipped(FILES)[:-20], "broken"),
        (xzipped(FILES)[:-20], "broken"),
        (tarred(FILES)[:1024], "broken: it breaks off"),
        (tarred(FILES)[:512], "broken"),
        (damaged_header(), "broken"),
        (b"\x28\xb5\x2f\xfd" + b"0" * 9, "zstd"),
        (b"hello", "no archive"),
        (b"", "no archive"),
    ],
)
def test_what_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(UnusableSource, match=why):
        unpack(raw)


@pytest.mark.parametrize("pack", [zipped, gzipped, bzipped, xzipped])
def test_a_bomb_is_put_down_while_it_is_read(pack: Callable[[Mapping[str, bytes]], bytes]) -> None:
    raw = pack({"zeros": bytes(RATIO_FREE_BYTES + (8 << 20))})
    assert len(raw) < 100_000
    with pytest.raises(UnusableSource, match=r"grows to more than .*\(reached at `zeros`\)"):
        unpack(raw, 16 << 30)


def test_an_archive_that_holds_too_much_is_refused_at_any_ratio() -> None:
    files = {f"{n}": bytes(range(256)) * 40 for n in range(11)}
    for raw in (zipped(files, zipfile.ZIP_STORED), tarred(files)):
        with pytest.raises(UnusableSource, match=r"more than 100,000 bytes \(reached at `9`\)"):
            unpack(raw, 100_000)


@pytest.mark.parametrize("header", [pax_header(5 << 20), pax_chain(), long_name(), sparse_map()])
def test_a_header_that_grows_is_refused_before_it_is_held(header: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UnusableSource, match=r"the header of an entry|is broken|sparse"):
            unpack(gzip.compress(header), 16 << 30)
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()


def test_a_size_that_is_a_lie_is_refused() -> None:
    raw = zipped({"a": b"x" * 5000})
    place = raw.index(b"PK\x01\x02") + 24
    assert struct.unpack_from("<L", raw, place) == (5000,)
    for lie in (10, 4999, 100_000):
        with pytest.raises(UnusableSource, match="`a` in the archive is broken"):
            unpack(raw[:place] + struct.pack("<L", lie) + raw[place + 4 :])
    tar = bytearray(tarred({"a": b"x" * 600}))
    tar[124:136] = b"%011o\0" % 6000
    tar[148:156] = b"%06o\0 " % (sum(tar[:148]) + 8 * 32 + sum(tar[156:512]))
    with pytest.raises(UnusableSource, match="broken"):
        unpack(bytes(tar[:2048]))


def test_entries_of_a_zip_share_no_bytes() -> None:
    raw = zipped({"a": b"x" * 50, "b": b"y"}, zipfile.ZIP_STORED)
    first, second = (m.start() for m in re.finditer(b"PK\x01\x02", raw))
    shared = bytearray(raw)
    shared[first + 20 : first + 28] = struct.pack("<LL", 60, 60)  # its content reaches into the next entry
    with pytest.raises(UnusableSource, match="`a` in the archive overlaps"):
        unpack(bytes(shared))
    same = bytearray(raw)
    same[second + 42 : second + 46] = same[first + 42 : first + 46]
    with pytest.raises(UnusableSource, match="overlaps"):
        unpack(bytes(same))


def test_a_list_of_entries_is_bounded_before_it_is_held() -> None:
    raw = zipped({"a": b""})
    place = raw.index(b"PK\x05\x06")
    end = bytearray(raw[place:])
    end[12:16] = struct.pack("<L", MAX_DIRECTORY_BYTES + 1)
    with pytest.raises(UnusableSource, match="the list of what the archive holds"):
        unpack(raw[:place] + bytes(MAX_DIRECTORY_BYTES) + bytes(end))


def tree(*files: str) -> FileTree:
    return FileTree(files=files, links={}, folders=())


def entries_of(raw: bytes) -> dict[str, ArchiveEntry]:
    return {item.path: item for item in survey(io.BytesIO(raw), MAX_BYTES, SNAKEMAKE_FOLDERS)}


def test_a_tar_keeps_links_folders_and_times_to_the_nanosecond() -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, target in (
            ("f", tarfile.REGTYPE, ""),
            ("d", tarfile.DIRTYPE, ""),
            ("d/up", tarfile.SYMTYPE, "../f"),
            ("again", tarfile.LNKTYPE, "f"),
            ("\udcff\n", tarfile.REGTYPE, ""),
        ):
            info = member(kind, name, target)
            info.pax_headers = {"mtime": "1600000000.123456789"}
            archive.addfile(info)
    found = entries_of(raw.getvalue())
    assert {item.mtime_ns for item in found.values()} == {1_600_000_000_123_456_789}
    assert (found["d/up"].target, found["again"].same_as, found["d"].is_folder) == ("../f", "f", True)
    assert "\udcff\n" in found


@pytest.mark.parametrize("mtime", ["nan", "inf", "-inf", "1e400", "x", "99999999999999999999"])
def test_a_time_that_is_none_is_left_out(mtime: str) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = member(tarfile.REGTYPE, "f")
        info.pax_headers = {"mtime": mtime}
        archive.addfile(info)
    with contextlib.suppress(UnusableSource):
        assert entries_of(raw.getvalue())["f"].mtime_ns in (None, 0)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (struct.pack("<HHBl", 0x5455, 5, 1, 1_600_000_000), 1_600_000_000_000_000_000),
        (struct.pack("<HHBl", 0x5455, 5, 1, -1), -1_000_000_000),
        (
            struct.pack("<HHLHHQQQ", 0x000A, 32, 0, 1, 24, 132_444_736_001_234_567, 0, 0),
            1_600_000_000_123_456_700,
        ),
        (b"", 1_262_304_000_000_000_000),
        (b"\x55\x54\xff", 1_262_304_000_000_000_000),
    ],
)
def test_a_zip_keeps_the_times_that_it_has(extra: bytes, expected: int) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        info = zipfile.ZipInfo("f", (2010, 1, 1, 0, 0, 0))
        info.extra = extra
        archive.writestr(info, "")
    with contextlib.suppress(UnusableSource):  # half a field may be refused by the library
        assert entries_of(raw.getvalue())["f"].mtime_ns == expected


def test_a_zip_keeps_links_folders_and_names_of_any_bytes() -> None:
    raw = io.BytesIO(zipped_link())
    with zipfile.ZipFile(raw, "a") as archive:
        archive.writestr(zipfile.ZipInfo("empty/"), "")
        archive.writestr(zipfile.ZipInfo("NAME"), "x")
    found = entries_of(raw.getvalue().replace(b"NAME", b"\xff\xfe\n!"))
    assert (found["x"].target, found["empty"].is_folder) == ("/etc/passwd", True)
    assert "\udcff\udcfe\n!" in found


def test_a_dos_time_is_never_later_than_now() -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr(zipfile.ZipInfo("f", (2107, 1, 1, 0, 0, 0)), "")
    mtime_ns = entries_of(raw.getvalue())["f"].mtime_ns
    assert mtime_ns is not None
    assert mtime_ns <= time.time_ns()


def test_the_folder_that_a_forge_adds_is_taken_off() -> None:
    assert top_folder(tree("repo-abc/workflow/Snakefile", "repo-abc/a"), None) == "repo-abc/"
    assert top_folder(tree("workflow/Snakefile"), None) == ""
    assert top_folder(tree("r/main.smk"), "main.smk") == "r/"
    assert top_folder(tree("r/main.smk"), "r/main.smk") == ""
    assert top_folder(tree("r/x"), None) == ""
    assert top_folder(tree("Snakefile", "r/x"), None) == ""
    linked = FileTree(files={"r/pkg/workflow/Snakefile"}, links={"r/workflow": "pkg/workflow"}, folders={"r"})
    assert top_folder(linked, None) == "r/"


@given(st.binary(max_size=2000) | st.tuples(st.integers(0, 400), st.binary(max_size=40)).map(lambda cut: damaged(*cut)))
def test_any_bytes_are_files_or_unfit(raw: bytes) -> None:
    with contextlib.suppress(UnusableSource):
        assert unpack(raw)


def damaged(place: int, by: bytes) -> bytes:
    whole = (zipped(FILES), tarred(FILES), gzipped(FILES), xzipped(FILES))[place % 4]
    return whole[:place] + by + whole[place + len(by) :]
