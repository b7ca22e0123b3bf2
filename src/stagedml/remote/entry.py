"""What a remote store says of one realization, written and read back with suspicion.

An entry is three lines. The first is `context.json`, byte for byte. The second is canonical JSON: the size
and SHA-256 of what lies beside the artifacts (the log, and the notes on code and environment). The third is
the SHA-256 of the other two: the reference proves the hashed fields of the record only, and a damaged byte in
all the rest is to show as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stagedml.config import Config, check_parts, config_dref, config_outputs
from stagedml.errors import ConfigError, CorruptError, StagedmlError
from stagedml.fingerprint import fingerprint_digest
from stagedml.hashing import FileEntry, canonical, parse_json, ref_digest
from stagedml.record import Record, checked_record
from stagedml.refs import DRef, RRef, is_dref, is_rref

AGAIN = "`stagedml push --check`, where it is whole, repairs it; or use another remote store"
SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{0,64}")
Beside = dict[str, list[int | str]]  # name -> [size, sha256]


class Entry(NamedTuple):
    """One realization on a remote store."""

    record: Record
    raw: bytes  # context.json
    beside: Beside

    @property
    def manifest(self) -> dict[str, FileEntry]:
        return {**self.record.files, **self.record.volatile}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pack(raw: bytes, beside: Beside) -> bytes:
    """The bytes of an entry."""
    second: Any = beside
    told = b"%s\n%s\n" % (raw, canonical(second))
    return b"%s%s\n" % (told, sha256(told).encode())


def unpack(data: bytes, rref: RRef, where: str) -> Entry:
    """The entry of a realization. Raises `CorruptError` unless it is exactly what was pushed."""
    raw, second = (data.rsplit(b"\n", 3) + [b""] * 2)[:2]
    try:
        beside: Beside = json.loads(second)
        if pack(raw, beside) != data:
            raise CorruptError("the record does not match its digest", where=where, hint=AGAIN)
        entry = Entry(checked_record(rref, where, parse_json(raw, where)), raw, beside)
        problem = next(_problems(entry), "")
    except CorruptError as e:
        raise CorruptError(e.what, where=where, hint=AGAIN) from e
    except (AttributeError, TypeError, ValueError, RecursionError) as e:
        raise CorruptError("the record does not match its digest", where=where, hint=AGAIN) from e
    if problem:
        raise CorruptError(problem, where=where, hint=AGAIN)
    return entry


def unpack_config(data: bytes, dref: DRef, where: str) -> Config:
    """A config that is the one its derivation is named after, byte for byte. Raises `CorruptError`."""
    try:
        fields = json.loads(data)
        config = Config(fields if isinstance(fields, dict) else {})
    except (StagedmlError, ValueError, RecursionError) as e:
        raise CorruptError("not a config", where=where, hint=AGAIN) from e
    if config.bytes != data or config_dref(config) != dref:
        raise CorruptError("the config is not the one its folder is named after", where=where, hint=AGAIN)
    return config


def note_names(record: Record, environment: object) -> dict[str, str]:
    """The notes of a store that belong to a realization: file name -> digest."""
    found = {"code": record.code, "environment": environment}
    return {f"{kind}-{d}.json": str(d) for kind, d in found.items() if d}


def note_is_true(name: str, digest: str, data: bytes) -> bool:
    """Whether a note is what its digest says."""
    try:
        if name.startswith("environment-"):
            return ref_digest("environment:1", data) == digest
        return fingerprint_digest(json.loads(data)) == digest
    except (AttributeError, TypeError, ValueError, RecursionError):
        return False


def environment_of(raw: bytes) -> object:
    """The digest of the environment that a record names; None without one."""
    about = json.loads(raw).get("provenance")
    return about.get("environment") if isinstance(about, dict) else None


def undeclared(config: Config, record: Record) -> Iterator[str]:
    """Volatile artifacts, which no digest covers, that the config does not call volatile."""
    declared = [o.path for o in config_outputs(config) if o.marker == "__volatile__"]
    for name in record.volatile:
        under = any(name == d or name.startswith(d + "/") for d in declared)
        if not under and not any(part.startswith("_") for part in name.split("/")):  # Pylightnix's way
            yield name


def _problems(entry: Entry) -> Iterator[str]:
    """What a record that was written by an enemy could hold."""
    record = entry.record
    for dref, rrefs in record.context.items():
        if not is_dref(dref) or not isinstance(rrefs, list) or not all(is_rref(r) for r in rrefs):
            yield f"its context holds {dref!r}, which is no list of realizations"
        elif any(RRef(r).dref != dref for r in rrefs):
            yield f"its context gives {dref} the realizations of another derivation"
    numbers = (record.instance, record.seed, record.published)
    if not all(type(n) is int and n >= 0 for n in numbers) or not _DIGEST.fullmatch(record.code):
        yield "the record has no such form"
    seconds: object = record.seconds
    if not isinstance(seconds, int | float | None):
        yield "the record has no such form"
    for double in record.files.keys() & record.volatile.keys():
        yield f"{double!r} is in it twice"
    manifest = entry.manifest
    for name, file in manifest.items():
        yield from _file_problems(name, file, manifest)
    environment = environment_of(entry.raw)
    if environment is not None and not _DIGEST.fullmatch(str(environment)):
        yield "the record has no such form"
    allowed = {"log.txt", *note_names(record, environment)}
    for name, about in entry.beside.items():
        if name not in allowed:
            yield f"{name!r} was added"
        elif not _size_and_digest(about):
            yield f"{name!r} has no size and digest"


def _file_problems(name: str, file: object, manifest: Mapping[str, FileEntry]) -> Iterator[str]:
    try:
        check_parts(list(name.split("/")), "")
        name.encode("utf-8")
    except (ConfigError, UnicodeEncodeError):
        yield f"the file name {name!r} leaves its folder"
        return
    folder = os.path.dirname(name)
    if folder and manifest.get(folder, [0, "", ""])[2:] != ["d"]:
        yield f"{name!r} is in no folder"
    if not isinstance(file, list) or len(file) != 3 or file[2] not in ("f", "x", "d", "l"):
        yield f"{name!r} is neither file, folder nor link"
    elif file[2] == "d":
        if file != [0, "", "d"]:
            yield f"the folder {name!r} has a content"
    elif not _size_and_digest(file[:2]):
        yield f"{name!r} has no size and digest"


def _size_and_digest(about: object) -> bool:
    if not isinstance(about, list) or len(about) != 2:
        return False
    size, digest = about
    return type(size) is int and size >= 0 and isinstance(digest, str) and bool(SHA256.fullmatch(digest))
