"""Unpacking archives that nobody vouches for: zip, tar, tar.gz/bz2/xz, and single gz, bz2, xz files.

Nothing that an archive says is trusted:

- Everything is written through a `SafeTree`, which keeps names, links and sizes inside their bounds.
  Hard links only repeat a file that this archive brought. Devices, pipes and sockets are refused.
- Of a member's mode only the owner's execute bit is kept; owners, times and setuid bits are not.
- A short, damaged or encrypted archive is an error that names it, and leaves nothing behind.

Python's own extraction filters are not used: they do not cover zip files, and their treatment of links had
to be corrected several times over (CVE-2025-4330, CVE-2025-4517 and CVE-2026-11940 among others).
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from stagedml.errors import FetchError, UnsafeArchiveError
from stagedml.fetch.safetree import CHUNK, Limits, SafeTree
from stagedml.progress import Progress

MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz"}
TAR_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".tbz", ".txz")
SUFFIXES = (*TAR_SUFFIXES, ".tar", ".zip", ".gz", ".bz2", ".xz")  # the longer ones first
OPENERS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    "gz": lambda raw: cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="rb")),
    "bz2": lambda raw: cast(IO[bytes], bz2.BZ2File(raw, "rb")),
    "xz": lambda raw: cast(IO[bytes], lzma.LZMAFile(raw, "rb")),  # noqa: SIM115
}
# what the standard library raises on bytes that are not as they should be; found by fuzzing it
DAMAGE = (
    OSError, ValueError, RuntimeError, LookupError, ArithmeticError, struct.error, zlib.error,
    lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip
CUT_HINT = "fetch it again; if it stays so, the file is broken at its source"
UNIX = 3  # zip's number of the system whose modes are in the upper half of the attributes
ENCRYPTED, UTF8_NAME = 0x1, 0x800  # flag bits of a zip member
LONGEST_TARGET = 4096


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
    tree = SafeTree(folder, name, limits or Limits(), archive.stat().st_size)
    try:
        with archive.open("rb") as raw, _named_errors(name):
            _unpack(cast(IO[bytes], _Counted(raw, progress or Progress())), tree, name)
        tree.make_links()
    except BaseException:
        shutil.rmtree(folder)
        raise
    return tree.files


def packed_name(name: str) -> str:
    """The name of a compressed file without what says that it is packed: `x.tar.gz` and `x.zip` give `x`."""
    return name[: len(name) - len(_suffix(name))]


class _Counted:
    """The archive's own bytes; says how far into them the reading has got."""

    def __init__(self, raw: IO[bytes], progress: Progress) -> None:
        self._raw, self._progress, self._furthest = raw, progress, 0

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        at = self._raw.tell()
        if at > self._furthest:
            self._progress.update(at - self._furthest)
            self._furthest = at
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def seekable(self) -> bool:
        return True


def _unpack(raw: IO[bytes], tree: SafeTree, name: str) -> None:
    head = raw.read(512)
    raw.seek(0)
    packed = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")
    if packed == "zip":
        _unpack_zip(raw, tree, name)
    elif packed:
        with OPENERS[packed](raw) as plain:
            is_tar = _suffix(name).lower() in TAR_SUFFIXES or _is_tar(plain.read(512))
            plain.seek(0)
            if is_tar:
                _unpack_tar(plain, tree, name)
            else:
                tree.write(packed_name(name), plain.read)
    elif _is_tar(head):
        _unpack_tar(raw, tree, name)
    else:
        shown = f"it begins with {head[:40].decode('latin-1')!r}" if head else "it is empty"
        raise FetchError(
            f"not an archive: {shown}",
            where=name,
            hint="zip, tar, gz, bz2 and xz can be unpacked; mode='asis' keeps a file as it is",
        )


def _unpack_zip(raw: IO[bytes], tree: SafeTree, name: str) -> None:
    with zipfile.ZipFile(raw) as archive:
        members = archive.infolist()
        tree.expect(sum(member.file_size for member in members))
        for member in members:
            inner = _zip_name(member)
            mode = member.external_attr >> 16 if member.create_system == UNIX else 0
            if member.is_dir() or inner.endswith("/"):
                tree.folder(inner)
                continue
            if member.flag_bits & ENCRYPTED:
                raise FetchError(f"the member {inner!r} is encrypted", where=name)
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFLNK):
                raise UnsafeArchiveError(f"the member {inner!r} is a device, pipe or socket", where=name)
            with archive.open(member) as plain:
                if stat.S_ISLNK(mode):
                    tree.symlink(inner, _decoded(plain.read(LONGEST_TARGET)))
                else:
                    tree.write(inner, plain.read, executable=bool(mode & stat.S_IXUSR))


def _unpack_tar(plain: IO[bytes], tree: SafeTree, name: str) -> None:
    tail = _Tail(plain)
    # stream mode: the archive is read once, front to back, whatever its headers say
    with tarfile.open(fileobj=cast(IO[bytes], tail), mode="r|", errors="surrogateescape") as archive:
        for member in archive:
            inner = _tar_text(member.name)
            if member.isdir():
                tree.folder(inner)
            elif member.isreg():
                plain_member = archive.extractfile(member)
                assert plain_member is not None  # it is for regular files
                tree.write(inner, plain_member.read, executable=bool(member.mode & stat.S_IXUSR))
            elif member.issym():
                tree.symlink(inner, _tar_text(member.linkname))
            elif member.islnk():
                tree.hardlink(inner, _tar_text(member.linkname))
            else:
                raise UnsafeArchiveError(f"the member {inner!r} is a device, pipe or socket", where=name)
            archive.members.clear()  # type: ignore[attr-defined]  # else all members stay in memory
    tail.drain()
    if tail.last_block.strip(b"\0"):
        raise FetchError("the archive is cut short: its end mark is missing", where=name, hint=CUT_HINT)


class _Tail:
    """A stream that remembers its last block: a whole tar file ends in one of zeros."""

    def __init__(self, plain: IO[bytes]) -> None:
        self._plain = plain
        self.last_block = b""

    def read(self, size: int) -> bytes:
        data = self._plain.read(size)
        self.last_block = (self.last_block + data[-512:])[-512:]
        return data

    def drain(self) -> None:
        """Reads to the end, which is where a compressed stream's own checksum is."""
        while self.read(CHUNK):
            pass


def _suffix(name: str) -> str:
    lower = name.lower()
    return next((name[-len(s) :] for s in SUFFIXES if lower.endswith(s) and len(name) > len(s)), "")


def _is_tar(head: bytes) -> bool:
    """Whether these 512 bytes are a tar header: its checksum is right (the oldest kind has no magic)."""
    if len(head) < 512 or not head.strip(b"\0"):
        return False
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _zip_name(member: zipfile.ZipInfo) -> str:
    """A zip member's name. Without the flag that says UTF-8 it may be that all the same, or code page 437.

    Some packers on Windows write backslashes, which nothing but a separator can have been there.
    """
    text = member.orig_filename
    if not member.flag_bits & UTF8_NAME:
        with contextlib.suppress(UnicodeError):
            text = text.encode("cp437").decode("utf-8")
    return text.replace("\\", "/")


def _tar_text(text: str) -> str:
    """A name from a tar file, which gives bytes: as UTF-8 where it is that, else as Latin-1."""
    return _decoded(text.encode("utf-8", "surrogateescape"))


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """What the standard library says of a damaged archive, as an error that names the archive."""
    try:
        yield
    except EOFError as e:
        raise FetchError(f"the archive is cut short: {e}", where=name, hint=CUT_HINT) from e
    except NotImplementedError as e:
        raise FetchError(f"the archive is packed in a way that cannot be read: {e}", where=name) from e
    except DAMAGE as e:
        raise FetchError(f"the archive is damaged or cut short: {e}", where=name, hint=CUT_HINT) from e
