"""Small files and folders on disk: written whole or not at all, made read-only, removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from stagedml.hashing import FileEntry

MTIME = 1  # seconds since the epoch, on every published file


def file_stamp(path: str) -> tuple[int, int, int]:
    """What changes whenever a file is written or replaced: inode, size, time of the last change (ns)."""
    st = os.stat(path)
    return st.st_ino, st.st_size, st.st_ctime_ns


def read_bytes(path: str) -> bytes:
    """A small file's content; less ceremony than `open`, which counts where there are thousands."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = piece = os.read(fd, 1 << 16)
        while len(piece) >= 1 << 16:  # a file gives less than it was asked for only at its end
            piece = os.read(fd, 1 << 16)
            data += piece
        return data
    finally:
        os.close(fd)


def write_new(path: str, data: bytes, *, mode: int = 0o666) -> None:
    """Writes a small file that is not there yet."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def write_atomic(path: str, data: bytes) -> None:
    """Writes a small file so that readers see the old one, the new one, or none; never a part."""
    prepared = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.new"
    try:
        write_new(prepared, data)
        os.replace(prepared, path)
    except BaseException:
        if os.path.exists(prepared):
            os.unlink(prepared)
        raise


def remove_tree(path: str) -> None:
    """Removes a folder, read-only parts included; a missing one is fine, and so are others that remove it."""
    while os.path.lexists(path):
        import shutil  # late: it brings the compression libraries along

        with contextlib.suppress(FileNotFoundError):  # the other one was faster with some part: go on
            for here, _, _ in os.walk(path):
                os.chmod(here, 0o755)
            shutil.rmtree(path)


def seal(folder: str, manifest: Mapping[str, FileEntry], *, durable: bool = False) -> None:
    """Makes everything in a prepared realization read-only, with the one modification time."""
    folders = [f"{folder}/out"]
    for name, (_, _, kind) in manifest.items():
        path = f"{folder}/out/{name}"
        if kind == "d":
            folders.append(path)
        elif kind == "l":
            os.utime(path, (MTIME, MTIME), follow_symlinks=False)
        else:
            os.chmod(path, 0o555 if kind == "x" else 0o444)
            os.utime(path, (MTIME, MTIME))
            if durable:
                sync(path)
    if os.path.exists(f"{folder}/log.txt"):  # it is there when the stage printed something
        os.chmod(f"{folder}/log.txt", 0o444)
    for path in sorted(folders, reverse=True):  # the inner ones first
        os.chmod(path, 0o555)
        os.utime(path, (MTIME, MTIME))
        if durable:
            sync(path)
    if durable:
        for entry in os.listdir(folder):
            sync(f"{folder}/{entry}")
        sync(folder)


def sync(path: str) -> None:
    """Waits until a file, or a folder's entries, are on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
