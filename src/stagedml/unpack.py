"""Unpacking archives that nobody vouches for: zip, tar, tar.gz/bz2/xz, and single gz, bz2, xz files.

Nothing that an archive says is trusted:

- A member's name is taken apart and checked (`safe_name`). Files are written only below folders that were
  made here and are no links, so no order of members leads out. Symbolic links come last, when no file is
  left to be written through them, and each has to resolve inside the folder. Hard links only repeat a file
  that this archive brought. Devices, pipes and sockets are refused.
- Of a member's mode only the owner's execute bit is kept; owners, times and setuid bits are not.
- What it may grow to is bounded: by a ratio to its own size, by the number of members and by the disk.
- A short, damaged or encrypted archive is an error that names it, and leaves nothing behind.

Python's own extraction filters are not used: they do not cover zip files, and their treatment of links had
to be corrected several times over (CVE-2025-4330, CVE-2025-4517 and CVE-2026-11940 among others).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from stagedml.errors import FetchError, UnsafeArchiveError
from stagedml.progress import Progress

CHUNK = 1 << 20
MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz"}
SUFFIXES = {
    ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar", ".tar.bz2": "tar", ".tbz2": "tar", ".tbz": "tar",
    ".tar.xz": "tar", ".txz": "tar", ".zip": "zip", ".gz": "single", ".bz2": "single", ".xz": "single",
}  # fmt: skip
OPENERS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    "gz": lambda raw: cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="rb")),
    "bz2": lambda raw: cast(IO[bytes], bz2.BZ2File(raw, "rb")),
    "xz": lambda raw: cast(IO[bytes], lzma.LZMAFile(raw, "rb")),
}
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Limits:
    """How large an archive may grow: `ratio` times its own size, but `floor` bytes in any case."""

    ratio: float = 200.0
    floor: int = 1 << 30
    members: int = 1_000_000


def unpack(
    archive: Path,
    folder: Path,
    *,
    name: str = "",
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> int:
    """Unpacks `archive` into `folder`, which is made and must not exist; returns the number of files.

    `name` is the archive's published file name where that is not the name on the disk; a single compressed
    file is written under it without its last suffix. `progress` counts bytes of the archive.
    Raises `UnsafeArchiveError` for one that tries to leave the folder or to grow beyond its limits,
    `FetchError` for one that is damaged, encrypted, or none at all. Nothing is left behind then.
    """
    name = name or archive.name
    try:
        folder.mkdir()
    except FileExistsError:
        raise FetchError("the folder to unpack to exists already", where=str(folder)) from None
    tree = _Tree(folder, name, limits or Limits(), archive.stat().st_size)
    try:
        with archive.open("rb") as raw, _named_errors(name):
            counted = _Counted(raw, progress or Progress())
            with counted:
                _unpack(counted, tree, name)
            tree.make_links()
    except BaseException:
        shutil.rmtree(folder)
        raise
    return tree.files


def packed_name(name: str) -> str:
    """The name of a compressed file without what says that it is packed: `x.tar.gz` and `x.zip` give `x`."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def safe_name(name: str, archive: str) -> PurePosixPath:
    """A member's name as a path that stays below its folder; `.` for the folder itself.

    Raises `UnsafeArchiveError` for an absolute name, one with `..`, a drive letter or a NUL.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    drive = len(parts) > 0 and len(parts[0]) == 2 and parts[0][1] == ":" and parts[0][0].isalpha()
    if name.startswith("/") or drive or ".." in parts or "\0" in name:
        raise UnsafeArchiveError(f"the member {name!r} leaves the folder", where=archive)
    return PurePosixPath(*parts)


def _unpack(raw: _Counted, tree: _Tree, name: str) -> None:
    head = raw.read(512)
    raw.seek(0)
    kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")
    promised = next((SUFFIXES[s] for s in sorted(SUFFIXES, key=len, reverse=True) if name.lower().endswith(s)), "")
    if kind == "zip":
        _unpack_zip(raw, tree)
    elif kind:
        with OPENERS[kind](cast(IO[bytes], raw)) as plain:
            if promised == "tar" or _is_tar(plain.read(512)):
                plain.seek(0)
                _unpack_tar(plain, tree)
            else:
                plain.seek(0)
                tree.write(packed_name(name) if promised == "single" else name, plain, executable=False)
    elif _is_tar(head) or (promised == "tar" and head):
        _unpack_tar(cast(IO[bytes], raw), tree)
    else:
        shown = head[:40].decode("latin-1")
        raise FetchError(
            f"not an archive: it begins with {shown!r}" if head else "not an archive: it is empty",
            where=name,
            hint="zip, tar, gz, bz2 and xz can be unpacked; keep other files packed with mode='asis'",
        )
