"""Bringing a realization from a remote store into a prepared folder, with nothing believed.

Every file is checked against the manifest, which the reference has proved, before anything is published; a
file that is not as it should be is a `CorruptError` that names it. Memory does not grow with the files.
"""

from __future__ import annotations

import os
import shutil

from stagedml.disk import read_bytes, write_atomic, write_new
from stagedml.errors import CorruptError, StoreError
from stagedml.hashing import FileEntry, check_link, hash_file
from stagedml.remote.entry import AGAIN, Entry, environment_of, note_is_true, note_names, sha256
from stagedml.remote.files import RemoteFiles
from stagedml.store import Store

LINK_LIMIT = 1 << 16


def blob(digest: object) -> str:
    """Where a content lies."""
    return f"blobs/{str(digest)[:2]}/{digest}"


def stage(files: RemoteFiles, entry: Entry, prepared: str) -> int:
    """Brings the artifacts and `context.json` into a prepared folder; returns how many bytes came.

    Raises `CorruptError` naming the file, `RemoteError`, `OSError` for the local disk.
    """
    out = f"{prepared}/out"
    os.mkdir(out)
    contents: dict[object, list[str]] = {}
    links: list[str] = []
    for name, (_, digest, kind) in sorted(entry.manifest.items()):  # folders before what is in them
        if kind == "d":
            os.mkdir(f"{out}/{name}")
        elif kind == "l":
            links.append(name)
        else:
            contents.setdefault(digest, []).append(name)
    size = sum(files.each(lambda names: _content(files, entry, out, names), contents.values()))
    for name in links:
        _link(files, out, name, entry.manifest[name])
    inside = f"{os.path.realpath(out)}/"
    for name in links:  # when all are there: a link through another link may lead out, too
        if not f"{os.path.realpath(f'{out}/{name}')}/".startswith(inside):
            raise _refused(files, name, entry.manifest[name], "is a link that leaves its folder")
    write_new(f"{prepared}/context.json", entry.raw, mode=0o444)
    return size


def bring_beside(files: RemoteFiles, store: Store, entry: Entry, prepared: str) -> None:
    """Brings the log, and the notes that the store does not have yet."""
    notes = note_names(entry.record, environment_of(entry.raw))
    for name, about in entry.beside.items():
        target = f"{prepared}/{name}"
        if name in notes and os.path.exists(f"{store.path}/notes/{name}"):
            continue
        _bring(files, name, about, target)
        if name in notes:
            data = read_bytes(target)
            os.unlink(target)
            if not note_is_true(name, notes[name], data):
                raise _refused(files, name, about, "has another content")
            write_atomic(f"{store.path}/notes/{name}", data)


def _content(files: RemoteFiles, entry: Entry, out: str, names: list[str]) -> int:
    """Brings one content for all the names that have it."""
    first = entry.manifest[names[0]]
    _bring(files, names[0], first, f"{out}/{names[0]}")
    for name in names:
        _, _, kind = file = entry.manifest[name]
        if file[0] != first[0]:
            raise _refused(files, name, file, "has another size")
        if name != names[0]:
            shutil.copyfile(f"{out}/{names[0]}", f"{out}/{name}")
        if kind == "x":
            os.chmod(f"{out}/{name}", 0o755)
    return int(first[0])


def _bring(files: RemoteFiles, name: str, file: list[int | str], target: str) -> None:
    size, digest = file[:2]
    path = blob(digest)
    there = files.size(path)
    if there not in (size, -1):  # before anything is copied: it could be huge
        raise _refused(files, name, file, "is missing" if there is None else "has another size")
    if not files.fetch(path, target):
        raise _refused(files, name, file, "is missing")
    if os.path.getsize(target) != size or hash_file(target) != digest:
        raise _refused(files, name, file, "has another content")


def _link(files: RemoteFiles, out: str, name: str, file: FileEntry) -> None:
    data = files.read(blob(file[1]), LINK_LIMIT)
    if data is None:
        raise _refused(files, name, file, "is missing")
    if sha256(data) != file[1] or len(os.fsdecode(data)) != file[0] or b"\0" in data or not data:
        raise _refused(files, name, file, "has another content")
    try:
        check_link(out, name, os.fsdecode(data))
    except StoreError as e:
        raise _refused(files, name, file, "is a link that leaves its folder") from e
    os.symlink(os.fsdecode(data), f"{out}/{name}")


def _refused(files: RemoteFiles, name: str, file: list[int | str], problem: str) -> CorruptError:
    return CorruptError(f"{name!r} {problem}", where=files.where(blob(file[1])), hint=AGAIN)
