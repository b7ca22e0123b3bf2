"""A folder that is filled on the word of a stranger, and holds nothing outside itself.

Files are written only below folders that were made here and are no links, so no order of members leads out.
Symbolic links come last, when no file is left to be written through them. How much may be written is bounded
by a ratio to the archive's own size, by the number of members and by the disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stagedml.errors import FetchError, UnsafeArchiveError

CHUNK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How large an archive may grow: `ratio` times its own size, but `floor` bytes in any case."""

    ratio: float = 200.0
    floor: int = 1 << 30
    members: int = 1_000_000


def safe_name(name: str, archive: str) -> PurePosixPath:
    """A member's name as a path that stays below its folder; `.` for the folder itself.

    Raises `UnsafeArchiveError` for an absolute name, one with `..`, a drive letter or a NUL.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    drive = bool(parts) and len(parts[0]) >= 2 and parts[0][1] == ":" and parts[0][0].isalpha()
    if name.startswith("/") or drive or ".." in parts or "\0" in name:
        raise UnsafeArchiveError(f"the member {name!r} would leave the folder", where=archive)
    return PurePosixPath(*parts)


class SafeTree:
    """Fills `root`, an empty folder, with the members of `archive` (its name, for messages)."""

    def __init__(self, root: Path, archive: str, limits: Limits, archive_size: int) -> None:
        self.files = 0
        self._root, self._archive = root, archive
        self._max_bytes = max(limits.floor, int(limits.ratio * archive_size))
        self._max_members = limits.members
        self._bytes = self._members = 0
        self._folders = {PurePosixPath(): root}
        self._links: dict[PurePosixPath, str] = {}

    def expect(self, size: int) -> None:
        """Refuses, before anything is written, `size` more bytes that would not fit."""
        if self._bytes + size > self._max_bytes:
            raise UnsafeArchiveError(
                f"it would grow to {self._bytes + size:,} bytes, beyond its limit of {self._max_bytes:,}",
                where=self._archive,
                hint="unpack it by hand if it is to be trusted, and map its URL to the folder",
            )
        free = shutil.disk_usage(self._root).free
        if size > free:
            raise FetchError(
                f"not enough space in {self._root}: it unpacks to {size:,} bytes, {free:,} are free",
                where=self._archive,
                hint="make room, or put the store on a larger disk ($STAGEDML_STORE)",
            )

    def folder(self, name: str) -> None:
        """Makes a folder and those above it."""
        self._count()
        self._make_folder(safe_name(name, self._archive))

    def write(self, name: str, read: Callable[[int], bytes], *, executable: bool = False) -> None:
        """Writes a file from `read(n)`, which gives b"" at the end. A later file of a name wins."""
        path = self._place(name)
        mode = 0o755 if executable else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags, mode)
        except OSError as e:
            raise self._unwritable(name, e) from e
        with open(fd, "wb", buffering=0) as file:
            while data := read(CHUNK):
                self._bytes += len(data)
                if self._bytes > self._max_bytes:
                    self.expect(0)
                try:
                    left = memoryview(data)
                    while left:
                        left = left[file.write(left) :]
                except OSError as e:
                    raise self._unwritable(name, e) from e
            os.fchmod(file.fileno(), mode)  # what the umask took away
        self.files += 1

    def hardlink(self, name: str, target: str) -> None:
        """Repeats a file that was written before under another name."""
        source = self._root / safe_name(target, self._archive)
        if not self._is_own_file(safe_name(target, self._archive)):
            raise UnsafeArchiveError(
                f"the hard link {name!r} repeats {target!r}, which is no file of this archive",
                where=self._archive,
            )
        path = self._place(name, keep=source)
        if path == source:
            return
        try:
            os.link(source, path, follow_symlinks=False)
        except OSError as e:
            raise self._unwritable(name, e) from e
        self.files += 1

    def symlink(self, name: str, target: str) -> None:
        """Remembers a symbolic link for `make_links`."""
        path = self._place(name)
        inside = os.path.normpath(os.path.join(os.path.dirname(path.relative_to(self._root)), target))
        if not target or os.path.isabs(target) or "\0" in target or inside.split("/")[0] == "..":
            raise UnsafeArchiveError(
                f"the link {name!r} would lead out of the folder, to {target!r}", where=self._archive
            )
        self._links[safe_name(name, self._archive)] = target

    def make_links(self) -> None:
        """Makes the symbolic links, and refuses those that lead out by way of another."""
        for name, target in self._links.items():
            try:
                os.symlink(target, self._root / name)
            except OSError as e:
                raise self._unwritable(str(name), e) from e
        root = os.path.realpath(self._root)
        for name, target in self._links.items():
            real = os.path.realpath(self._root / name)
            if real != root and not real.startswith(root + os.sep):
                raise UnsafeArchiveError(
                    f"the link {str(name)!r} would lead out of the folder, to {target!r}", where=self._archive
                )
        self.files += len(self._links)

    def _place(self, name: str, keep: Path | None = None) -> Path:
        """Where a file or link of this name goes; what an earlier member put there is removed."""
        self._count()
        inner = safe_name(name, self._archive)
        if inner in self._folders:
            raise UnsafeArchiveError(f"{name!r} is both a folder and a file", where=self._archive)
        path = self._make_folder(inner.parent) / inner.name
        self._links.pop(inner, None)
        try:
            if path != keep and os.path.lexists(path):
                path.unlink()
                self.files -= 1
        except OSError as e:
            raise self._unwritable(name, e) from e
        return path

    def _make_folder(self, inner: PurePosixPath) -> Path:
        known = self._folders.get(inner)
        if known is not None:
            return known
        path = self._make_folder(inner.parent) / inner.name
        if inner in self._links or os.path.lexists(path):
            raise UnsafeArchiveError(f"{str(inner)!r} is both a folder and a file", where=self._archive)
        try:
            path.mkdir()
            path.chmod(0o755)
        except OSError as e:
            raise self._unwritable(str(inner), e) from e
        self._folders[inner] = path
        return path

    def _is_own_file(self, inner: PurePosixPath) -> bool:
        path = self._root / inner
        return inner.parent in self._folders and path.is_file() and not path.is_symlink()

    def _count(self) -> None:
        self._members += 1
        if self._members > self._max_members:
            raise UnsafeArchiveError(f"it has more than {self._max_members:,} members", where=self._archive)

    def _unwritable(self, name: str, e: OSError) -> FetchError:
        shown = name if len(name) <= 80 else name[:80] + "..."
        return FetchError(f"cannot write the member {shown!r}: {e.strerror}", where=self._archive)
