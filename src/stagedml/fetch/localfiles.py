"""Files and folders of this machine that become artifacts: what they contain, and a copy of it.

A copy shares its blocks with the original where the file system can (reflinks: Btrfs, XFS, ZFS), which costs
neither time nor space. Hard links would be as cheap everywhere, but then the original and the artifact are
one file: publishing would make the original read-only, and editing the original would change the artifact.
Symbolic links are followed, so that what is copied does not depend on anything else.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

from stagedml.errors import DataError
from stagedml.hashing import digest, hash_file

FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file
TAG = "local:1"
SETTLED_NS = 1_000_000_000
_sums: dict[tuple[str, int, int, int, int, int], str] = {}


def content_sum(path: Path) -> str:
    """SHA-256, 64 hexadecimal digits, of a file's content, or of all names and contents below a folder.

    A file that was hashed before by this process, and looks untouched, is not read again.
    Raises `DataError` for what cannot be read.
    """
    if path.is_file():
        return _file_sum(str(path))
    parts: list[bytes] = []
    for name, place in list_tree(path):
        mode = os.stat(place).st_mode
        kind = "d" if stat.S_ISDIR(mode) else "x" if mode & stat.S_IXUSR else "f"
        content = "" if kind == "d" else _file_sum(place)
        parts.append(f"{kind} {content} {name}".encode())
    return digest(TAG, *parts)


def list_tree(folder: Path) -> list[tuple[str, str]]:
    """(name with slashes, path) of everything below a folder, sorted, folders before what is in them.

    Symbolic links are followed. Raises `DataError` for names that are not Unicode, for links that lead
    nowhere or in a circle, and for what is neither file nor folder.
    """
    found: list[tuple[str, str]] = []
    _list(str(folder), "", (), found)
    return sorted(found)


def copy_tree(
    source: Path, target: Path, *, on_bytes: Callable[[int], None] | None = None
) -> tuple[int, int]:
    """Copies a folder to `target`, which is made; returns the number of files and of bytes."""
    os.makedirs(target)
    files = length = 0
    for name, place in list_tree(source):
        if os.path.isdir(place):
            (target / name).mkdir()
        else:
            copy_file(Path(place), target / name)
            size = os.path.getsize(target / name)
            files, length = files + 1, length + size
            if on_bytes is not None:
                on_bytes(size)
    return files, length


def copy_file(source: Path, target: Path) -> None:
    """Copies a file's content and execute bit to `target`, sharing blocks where that is possible."""
    try:
        with source.open("rb") as old, target.open("wb") as new:
            try:
                fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
            except OSError:  # another file system, or one without shared blocks: the bytes it is
                shutil.copyfileobj(old, new, 1 << 20)
            executable = os.fstat(old.fileno()).st_mode & stat.S_IXUSR
    except OSError as e:
        raise DataError(f"cannot copy to {target}: {e.strerror}", where=str(source)) from e
    target.chmod(0o755 if executable else 0o644)


def _list(folder: str, prefix: str, above: tuple[tuple[int, int], ...], found: list[tuple[str, str]]) -> None:
    try:
        st = os.stat(folder)
        names = os.listdir(folder)
    except OSError as e:
        raise DataError(f"cannot be read: {e.strerror}", where=folder) from e
    here = (st.st_dev, st.st_ino)
    if here in above:
        raise DataError("a link leads back to a folder above it", where=folder, hint="remove that link")
    for name in names:
        place = os.path.join(folder, name)
        try:
            name.encode("utf-8")
            mode = os.stat(place).st_mode
        except UnicodeEncodeError as e:
            raise DataError(f"the file name is not Unicode: {name!r}", where=folder, hint="rename it") from e
        except OSError as e:
            raise DataError(f"cannot be read: {e.strerror}", where=place) from e
        found.append((prefix + name, place))
        if stat.S_ISDIR(mode):
            _list(place, f"{prefix}{name}/", (*above, here), found)
        elif not stat.S_ISREG(mode):
            raise DataError("neither a file nor a folder", where=place, hint="move it out of that folder")


def _file_sum(path: str) -> str:
    try:
        st = os.stat(path)
        key = (path, st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
        known = _sums.get(key)
        if known is not None:
            return known
        found = hash_file(path)
        # what was changed this very moment may change again without a sign in its times
        if time.time_ns() - max(st.st_mtime_ns, st.st_ctime_ns) > SETTLED_NS:
            _sums[key] = found
        return found
    except OSError as e:
        raise DataError(f"cannot be read: {e.strerror}", where=path) from e
