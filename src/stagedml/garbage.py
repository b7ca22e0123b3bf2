"""Garbage collection: what no root, no running process and no wish of the user needs.

Roots are symbolic links in the store's `roots` folder (links made elsewhere with `linkrref` are registered
there). What a root reaches through contexts stays. Deleting renames into `trash` first, so that a
realization is there whole or not at all, whatever happens in between.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from stagedml.browse import closure
from stagedml.disk import remove_tree, write_atomic
from stagedml.errors import ConfigError, MissingError, StoreError
from stagedml.leases import hold
from stagedml.matchers import metric_of
from stagedml.record import Record
from stagedml.refs import RRef, is_rref
from stagedml.running import in_use
from stagedml.store import Store


class Candidate(NamedTuple):
    """A realization that could go."""

    record: Record
    bytes: int
    seconds: float  # to build it again


def link(store: Store, rref: str, path: str) -> str:
    """Makes `path` a link to a realization's artifacts, and the realization a root as long as it stands.

    An older link at that place is replaced; anything else there is a `ConfigError`.
    """
    target = store.path_of(rref)
    path = os.path.abspath(path)
    if os.path.lexists(path) and not os.path.islink(path):
        raise ConfigError(
            "something is there already that is no link", where=path, hint="choose another name"
        )
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fresh = f"{path}.{os.urandom(4).hex()}.new"
    os.symlink(target, fresh)
    os.replace(fresh, path)
    if os.path.dirname(path) != store.dir("roots"):
        name = f"{RRef(rref).digest}-{RRef(rref).name}.link"
        places = {*_places(f"{store.dir('roots')}/{name}"), path}
        write_atomic(f"{store.dir('roots')}/{name}", "\n".join(sorted(places)).encode())
    return path


def root(store: Store, rref: str, name: str = "") -> str:
    """Protects a realization; the link is named after it unless a name is given."""
    return link(store, rref, f"{store.dir('roots')}/{name or rref[5:]}")


def unroot(store: Store, name: str) -> None:
    """Removes a root by its name. Raises `MissingError`."""
    path = f"{store.dir('roots')}/{os.path.basename(name)}"
    if not os.path.lexists(path):
        there = ", ".join(sorted(os.listdir(store.dir("roots")))) or "no root"
        raise MissingError(f"no root {name!r}", where=store.path, hint=f"there is: {there}")
    os.unlink(path)


def _places(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


def roots(store: Store) -> dict[RRef, list[str]]:
    """The protected realizations and the links that protect them; links that are gone do not count."""
    found: dict[RRef, list[str]] = {}
    for name in sorted(os.listdir(store.dir("roots"))):
        path = f"{store.dir('roots')}/{name}"
        links = [path] if os.path.islink(path) else _places(path)
        for here in links:
            rref = _target(store, here)
            if rref is not None:
                found.setdefault(rref, []).append(here)
    return found


def _target(store: Store, path: str) -> RRef | None:
    try:
        parts = os.readlink(path).split("/")
    except OSError:
        return None
    text = f"rref:{parts[-2]}-{parts[-3]}" if len(parts) > 2 else ""
    if not is_rref(text) or not os.path.isdir(f"{store.path}/drv/{parts[-3]}/{parts[-2]}"):
        return None
    return RRef(text)


def live(store: Store, keep: Iterable[str] = ()) -> set[RRef]:
    """What must stay: everything that roots, `keep` and the derivations in use reach."""
    starts = [*roots(store), *(RRef(k) for k in keep)]
    for dref in in_use(store):
        starts += [r.rref for r in store.records(dref)]
    found: set[RRef] = set()
    for start in starts:
        if start not in found:
            try:
                found |= set(closure(store, start))
            except MissingError:
                continue
    return found


def best(store: Store, name: str, metric: str, k: int) -> list[RRef]:
    """The best `k` realizations of a name by a metric: what `--keep-best` keeps."""
    found = [r.rref for d in store.drefs() if d.name == name for r in store.records(d)]
    if not found:
        raise MissingError(f"nothing named {name!r}", where=store.path, hint="`stagedml ls` lists the names")
    return sorted(found, key=lambda r: -metric_of(store, r, metric))[:k]


def garbage(
    store: Store, *, keep: Iterable[str] = (), max_seconds_per_gb: float | None = None
) -> list[Candidate]:
    """What would go, the largest first. `max_seconds_per_gb` spares what is dearer to build again."""
    stay = live(store, keep)
    found = []
    for dref in store.drefs():
        for record in store.records(dref):
            if record.rref in stay:
                continue
            seconds = record.seconds or 0.0
            size = record.size
            if max_seconds_per_gb is None or seconds <= max_seconds_per_gb * size / 1e9:
                found.append(Candidate(record, size, seconds))
    return sorted(found, key=lambda c: (-c.bytes, c.record.rref))


def collect(
    store: Store, *, keep: Iterable[str] = (), max_seconds_per_gb: float | None = None
) -> list[Candidate]:
    """Deletes the garbage and returns what went. Runs that start meanwhile wait for the short first part."""
    if store.readonly:
        raise StoreError("the store is read-only", where=store.path)
    with hold(store, "gc"):
        going = garbage(store, keep=keep, max_seconds_per_gb=max_seconds_per_gb)
        for candidate in going:
            folder = candidate.record.folder
            os.chmod(folder, 0o755)
            os.rename(folder, f"{store.dir('trash')}/{candidate.record.rref.digest}-{os.urandom(4).hex()}")
    for name in os.listdir(store.dir("trash")):
        remove_tree(f"{store.dir('trash')}/{name}")
    return going
