"""Has the code changed since a realization was built?

Each realization records the digest of its realizer's fingerprint; the fingerprint itself (function -> hash)
is kept once per digest in the store's notes. A user who finds a change harmless says so (`keep`), which is
a note too: a published realization never changes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from stagedml.disk import write_atomic
from stagedml.fingerprint import diff_fingerprints, fingerprint, fingerprint_digest
from stagedml.record import Record
from stagedml.refs import RRef
from stagedml.stage import Derivation, realizer_function
from stagedml.store import Store

_known: dict[int, tuple[Any, str, Mapping[str, str]]] = {}
_noted: set[str] = set()  # files that this process wrote or saw


def code_of(realizer: Any) -> tuple[str, Mapping[str, str]]:
    """(digest, function -> hash) of a realizer's code as it is now; computed once per process."""
    f = realizer_function(realizer)
    found = _known.get(id(f))
    if found is None or found[0] is not f:
        functions = fingerprint(f)
        found = _known[id(f)] = (f, fingerprint_digest(functions), functions)
    return found[1], found[2]


def strict(realizer: Any) -> str:
    """The digest of a realizer's code, for `Manager(strict=strict)`."""
    return code_of(realizer)[0]


def record_code(store: Store, realizer: Any) -> str:
    """Puts a realizer's fingerprint among the store's notes; returns its digest."""
    digest, functions = code_of(realizer)
    path = f"{store.path}/notes/code-{digest}.json"
    if path not in _noted:
        if not os.path.exists(path):
            write_atomic(path, json.dumps(dict(functions), sort_keys=True).encode())
        _noted.add(path)
    return digest


def noted_code(store: Store, digest: str) -> Mapping[str, str]:
    """The fingerprint of a digest; empty when the store has no note of it."""
    try:
        with open(f"{store.path}/notes/code-{digest}.json", encoding="utf-8") as f:
            data = json.load(f)
    except (FileNotFoundError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def keep(store: Store, rref: str, digest: str) -> None:
    """Notes that a realization stands although its code is now another: the change is harmless."""
    path = f"{store.path}/notes/kept-{RRef(rref).digest}"
    kept = _kept(path)
    write_atomic(path, "\n".join(sorted({*kept, digest})).encode())


def _kept(path: str) -> set[str]:
    try:
        with open(path, encoding="utf-8") as f:
            return set(f.read().split())
    except FileNotFoundError:
        return set()


def has_changed(store: Store, d: Derivation, record: Record) -> bool:
    """Whether the realizer's code differs from what built `record`, and nobody called that harmless."""
    if not record.code or d.realizer is None:
        return False
    digest, _ = code_of(d.realizer)
    return digest != record.code and digest not in _kept(f"{store.path}/notes/kept-{record.rref.digest}")


def changes(store: Store, d: Derivation, record: Record) -> list[str]:
    """Which functions changed since `record` was built, for example `changed stages.glue.metrics:f1`."""
    if not has_changed(store, d, record):
        return []
    _, now = code_of(d.realizer)
    return [f"{how} {name}" for how, name in diff_fingerprints(noted_code(store, record.code), now)]


def code_changed(store: Store) -> Callable[[Derivation, Record], bool]:
    """`has_changed` for one run, asking once per derivation."""
    seen: set[str] = set()

    def check(d: Derivation, record: Record) -> bool:
        if d.dref in seen:
            return False
        seen.add(d.dref)
        return has_changed(store, d, record)

    return check
