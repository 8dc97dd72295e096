"""A small real channel, indexed by rattler: packages with executables, prefixes, scripts and faults."""

import asyncio
import bz2
import hashlib
import io
import json
import os
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import zstandard

PLACEHOLDER = "/opt/" + "_placeholder" * 20 + "_end"
"""As long as those of real packages: the path of an environment is written in its place."""
TOOL = '#!/bin/sh\necho {name} {version} "$@"\n'


def script(name: str, version: str) -> bytes:
    return TOOL.format(name=name, version=version).encode()


def package(
    channel: Path,
    name: str,
    version: str,
    files: Mapping[str, bytes],
    *,
    depends: Sequence[str] = (),
    constrains: Sequence[str] = (),
    subdir: str = "noarch",
    build: str = "0",
    prefixes: Mapping[str, str] = {},
    noarch: str = "generic",
    links: Mapping[str, str] = {},
    extra: Mapping[str, bytes] = {},
    is_conda: bool = False,
) -> Path:
    """Write a package; `prefixes` are the files with the placeholder, and whether each is `text` or `binary`."""
    index: dict[str, object] = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "depends": list(depends),
        "constrains": list(constrains),
        "subdir": subdir,
        "license": "MIT",
        "timestamp": 1_700_000_000_000,
    }
    if subdir == "noarch":
        index["noarch"] = noarch
    else:
        index |= {"platform": "linux", "arch": "x86_64"}
    paths: list[Mapping[str, object]] = [
        {
            "_path": path,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_in_bytes": len(content),
            **({"prefix_placeholder": PLACEHOLDER, "file_mode": prefixes[path]} if path in prefixes else {}),
        }
        for path, content in files.items()
    ]
    paths += [{"_path": path, "path_type": "softlink", "size_in_bytes": 0} for path in links]
    info = {
        "info/index.json": json.dumps(index).encode(),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}).encode(),
        "info/files": "".join(f"{path}\n" for path in (*files, *links)).encode(),
        **extra,
    }
    (channel / subdir).mkdir(parents=True, exist_ok=True)
    stem = f"{name}-{version}-{build}"
    if is_conda:
        return _write_conda(channel / subdir / f"{stem}.conda", stem, info, files, links)
    target = channel / subdir / f"{stem}.tar.bz2"
    target.write_bytes(bz2.compress(_tar({**info, **files}, links)))
    return target


def _tar(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o755 if path.startswith(("bin/", "python-scripts/")) else 0o644
            archive.addfile(entry, io.BytesIO(content))
        for path, to in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, to
            archive.addfile(entry)
    return buffer.getvalue()


def _write_conda(
    target: Path, stem: str, info: Mapping[str, bytes], files: Mapping[str, bytes], links: Mapping[str, str]
) -> Path:
    compressor = zstandard.ZstdCompressor()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        archive.writestr(f"info-{stem}.tar.zst", compressor.compress(_tar(info, {})))
        archive.writestr(f"pkg-{stem}.tar.zst", compressor.compress(_tar(files, links)))
    return target


def index(channel: Path) -> None:
    """Write the repodata of a channel."""
    from rattler.index import index_fs

    async def write() -> None:
        await index_fs(channel, write_zst=False, write_shards=False, force=True)

    asyncio.run(write())


def binary_with_prefix() -> bytes:
    """Return a file like a program's: bytes, and a text with the prefix that ends with a zero byte."""
    head = struct.pack("<8sQ", b"\x7fELF\x02\x01\x01\x00", len(PLACEHOLDER))
    return head + f"{PLACEHOLDER}/share/data".encode() + b"\x00" + bytes(range(1, 64))


def make_channel(channel: Path) -> Path:
    """Make the channel that most tests use; return its folder."""
    (channel / "linux-64").mkdir(parents=True, exist_ok=True)
    package(channel, "greet", "1.0", {"bin/greet": script("greet", "1.0")})
    package(channel, "greet", "2.0", {"bin/greet": script("greet", "2.0")}, is_conda=True)
    package(
        channel,
        "native",
        "1.2",
        {"bin/native": script("native", "1.2"), "lib/native.dat": b"\x00" * 4096},
        subdir="linux-64",
        depends=["greet >=1.0", "__glibc >=2.17"],
        links={"bin/native-link": "native"},
    )
    package(
        channel,
        "prefixed",
        "1.0",
        {
            "bin/prefixed": f"#!/bin/sh\ncat {PLACEHOLDER}/share/prefixed.txt\n".encode(),
            "share/prefixed.txt": f"installed in {PLACEHOLDER}\n".encode(),
            "lib/prefixed.so": binary_with_prefix(),
        },
        subdir="linux-64",
        prefixes={"bin/prefixed": "text", "share/prefixed.txt": "text", "lib/prefixed.so": "binary"},
    )
    package(
        channel,
        "activated",
        "1.0",
        {
            "etc/conda/activate.d/activated.sh": b'export ACTIVATED_IN="$CONDA_PREFIX"\n',
            "etc/conda/deactivate.d/activated.sh": b"unset ACTIVATED_IN\n",
        },
    )
    package(
        channel,
        "linked",
        "1.0",
        {
            "bin/linked": script("linked", "1.0"),
            "share/linked/config": b"from the package\n",
            "bin/.linked-post-link.sh": b'#!/bin/sh\necho "linked in $PREFIX as $PKG_NAME $PKG_VERSION" > '
            b'"$PREFIX/share/linked/post-link"\necho changed >> "$PREFIX/share/linked/config"\n',
        },
    )
    package(channel, "large", "1.0", {"share/large.bin": os.urandom(8 * 1024 * 1024)}, is_conda=True)
    package(channel, "wants-old", "1.0", {}, depends=["greet <2"])
    package(channel, "wants-new", "1.0", {}, depends=["greet >=2"])
    package(channel, "wants-missing", "1.0", {}, depends=["never-made >=3"])
    package(channel, "needs-other-glibc", "1.0", {}, subdir="linux-64", depends=["__glibc >=99"])
    bad_sum = package(channel, "bad-sum", "1.0", {"bin/bad-sum": script("bad-sum", "1.0")})
    bad_archive = package(channel, "bad-archive", "1.0", {"bin/bad-archive": script("bad-archive", "1.0")})
    index(channel)
    # Faults that an indexer would not write: another archive than the one that was indexed.
    package(channel, "bad-sum", "1.0", {"bin/bad-sum": script("changed", "1.0")})
    assert bad_sum.stat().st_size
    content = b"this is no archive\n"
    bad_archive.write_bytes(content)
    _correct_digests(channel / "noarch" / "repodata.json", bad_archive.name, content)
    return channel


def _correct_digests(repodata: Path, file: str, content: bytes) -> None:
    table = json.loads(repodata.read_text())
    record = table["packages"][file]
    record["sha256"], record["md5"] = hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()
    record["size"] = len(content)
    repodata.write_text(json.dumps(table))
