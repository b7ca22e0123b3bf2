"""What is known of one realization, and whether its folder still holds what was published."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from stagedml.disk import MTIME
from stagedml.errors import CorruptError
from stagedml.hashing import FileEntry, canonical, entry_problem, ref_digest
from stagedml.refs import RRef

Context = dict[str, list[str]]
VERIFY = "run `stagedml verify`: it puts what is damaged aside, and the next realize rebuilds it"


class Record(NamedTuple):
    """What the store knows of one realization."""

    rref: RRef
    folder: str
    context: Context
    instance: int
    seed: int
    files: dict[str, FileEntry]
    volatile: dict[str, FileEntry]
    published: int  # nanoseconds since the epoch, by the builder's clock
    code: str  # the digest of the realizer's code, empty when it is unknown
    started: str  # when its build began, UTC; empty when it is unknown
    seconds: float | None  # how long it took to build

    @property
    def out(self) -> str:
        return f"{self.folder}/out"

    @property
    def size(self) -> int:
        """Bytes of the artifacts."""
        return sum(int(e[0]) for part in (self.files, self.volatile) for e in part.values())


def checked_record(rref: RRef, folder: str, data: Any) -> Record:
    """The record of a realization from its JSON. Raises `CorruptError` unless it is what was published."""
    try:
        assert isinstance(data, dict)
        hashed: Any = {k: data[k] for k in ("context", "files", "instance")}
        if ref_digest("realization:1", canonical(hashed)) != rref.digest:
            raise CorruptError("context.json is not what was published", where=folder, hint=VERIFY)
        return as_record(rref, folder, data)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as e:
        raise CorruptError("context.json has no such form", where=folder, hint=VERIFY) from e


def as_record(rref: RRef, folder: str, data: Any) -> Record:
    """The record of a realization from the JSON of its `context.json`, which is believed."""
    instance, about = data["instance"], data.get("provenance") or {}
    return Record(
        rref, folder, data["context"], instance["index"], instance["seed"], data["files"],
        data.get("volatile") or {}, data.get("published", 0), str(data.get("code", "")),
        str(about.get("started", "")), about.get("seconds"),
    )  # fmt: skip


def touched(record: Record) -> Iterator[tuple[str, FileEntry]]:
    """The artifacts that do not look as they were published, by size and time, without reading them."""
    for part in (record.files, record.volatile):
        for name, entry in part.items():
            try:
                st = os.lstat(f"{record.folder}/out/{name}")
            except OSError:
                yield name, entry
                continue
            if st.st_mtime != MTIME or (entry[2] != "d" and st.st_size != entry[0]):
                yield name, entry


def problems(record: Record, *, deep: bool = False) -> list[str]:
    """What is wrong with a realization; `deep` reads every byte, else only what looks touched."""
    found = []
    entries = [*record.files.items(), *record.volatile.items()] if deep else touched(record)
    for name, entry in entries:
        problem = entry_problem(f"{record.folder}/out/{name}", entry)
        if problem:
            found.append(f"{name} {problem}")
        elif entry[2] == "d" or deep:
            found += _extra(record, name)
    try:
        if deep or os.stat(record.out).st_mtime != MTIME:
            found += _extra(record, "")
    except OSError as e:
        found.append(f"out cannot be read ({e.strerror})")
    return found


def _extra(record: Record, folder: str) -> list[str]:
    path = f"{record.folder}/out/{folder}"
    if not os.path.isdir(path) or os.path.islink(path):
        return []
    prefix = f"{folder}/" if folder else ""
    known = (record.files, record.volatile)
    return [f"{prefix}{n} was added" for n in os.listdir(path) if not any(prefix + n in k for k in known)]
