"""Looking at a store: what is there, what produced it, how two results differ, whether all is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stagedml.code import noted_code
from stagedml.config import flatten
from stagedml.errors import ConfigError, MissingError, StagedmlError
from stagedml.fingerprint import diff_fingerprints
from stagedml.matchers import protocol_path
from stagedml.protocol import read_protocol
from stagedml.record import Record
from stagedml.refs import DRef, RRef, is_dref, is_rref
from stagedml.store import Store
from stagedml.why import Difference, differences


def rows(store: Store, pattern: str = "") -> Iterator[Record]:
    """All realizations whose name contains `pattern`, by name and age."""
    for dref in sorted((d for d in store.drefs() if pattern in d.name), key=lambda d: d.name):
        yield from store.records(dref)


def resolve(store: Store, text: str) -> RRef:
    """The realization that a user means: a reference, a link's path, a part of a digest, or a name.

    Of several the newest counts for a name or a derivation; a part of a digest must be unambiguous.
    Raises `MissingError`, `ConfigError`.
    """
    if is_rref(text):
        return store.record(text).rref
    if is_dref(text):
        return _newest(store, [DRef(text)], text)
    named = [d for d in store.drefs() if d.name == text]
    if named:
        return _newest(store, named, text)
    part = text.rsplit("/", 1)[-1].removeprefix("rref:").split("-", 1)[0].lower()
    found = [r.rref for d in store.drefs() for r in store.records(d) if part and r.rref[5:].startswith(part)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{text!r} means {len(found)} realizations", hint="give more digits")
    raise MissingError(f"no realization {text!r}", where=store.path, hint="`stagedml ls` lists what there is")


def _newest(store: Store, drefs: list[DRef], text: str) -> RRef:
    records = [r for d in drefs for r in store.records(d)]
    if not records:
        raise MissingError(f"{text} has no realization", where=store.path, hint="realize its stage first")
    return max(records, key=lambda r: r.published).rref


def closure(store: Store, rref: str) -> dict[RRef, Record]:
    """A realization with everything that it was built from; what is no longer there is left out."""
    found: dict[RRef, Record] = {}
    todo = [RRef(rref)]
    while todo:
        here = todo.pop()
        if here in found:
            continue
        try:
            found[here] = store.record(here)
        except StagedmlError:
            if not found:
                raise
            continue
        todo += [RRef(r) for rrefs in found[here].context.values() for r in rrefs]
    return found


def metrics(store: Store, rref: str) -> dict[str, Any]:
    """`operation.metric` -> value, from the protocol; empty without one."""
    path = protocol_path(store, RRef(rref))
    if not path.exists():
        return {}
    return {f"{op}.{k}": v for op, fields in read_protocol(path) for k, v in sorted(fields.items())}


def environment(store: Store, about: Mapping[str, Any]) -> dict[str, Any]:
    """The environment that a provenance refers to."""
    try:
        with open(
            f"{store.path}/notes/environment-{about.get('environment', '')}.json", encoding="utf-8"
        ) as f:
            return dict(json.load(f))
    except (FileNotFoundError, ValueError):
        return {}


def describe(store: Store, rref: str) -> dict[str, Any]:
    """All that the store knows of one realization."""
    record = store.record(rref)
    about = store.provenance(rref)
    return {
        "realization": record.rref,
        "derivation": record.rref.dref,
        "path": record.out,
        "config": store.config(record.rref.dref).dict(),
        "built from": record.context,
        "metrics": metrics(store, rref),
        "provenance": {k: v for k, v in about.items() if k != "environment"},
        "environment": environment(store, about),
        "code": dict(noted_code(store, record.code)),
        "files": {**record.files, **record.volatile},
        "bytes": record.size,
    }


class Section(NamedTuple):
    """What differs between two realizations in one respect."""

    title: str
    lines: list[str]


def diff(store: Store, one: str, other: str) -> list[Section]:
    """Config paths, code, environment and metrics that differ between two realizations and their closures."""
    a, b = store.record(one), store.record(other)
    config = differences(store, store.config(a.rref.dref), store.config(b.rref.dref))
    sections = [Section("config", [str(x) for x in config])]
    by_name_a = {r.name: rec for r, rec in sorted(closure(store, one).items())}
    by_name_b = {r.name: rec for r, rec in sorted(closure(store, other).items())}
    by_name_a[a.rref.name] = a
    pairs = [(n, by_name_a[n], by_name_b[n]) for n in by_name_a if n in by_name_b]
    pairs += [] if a.rref.name == b.rref.name else [(f"{a.rref.name} / {b.rref.name}", a, b)]
    code, runs = [], []
    for name, x, y in pairs:
        if x.code != y.code:
            changed = diff_fingerprints(noted_code(store, x.code), noted_code(store, y.code))
            code += [f"{name}: {how} {what}" for how, what in changed]
        if x.seed != y.seed:
            runs.append(f"{name}: seed {x.seed} -> {y.seed} (instance {x.instance} -> {y.instance})")
    sections += [Section("code", code), Section("runs", runs)]
    about = store.provenance(one), store.provenance(other)
    env = [environment(store, p) for p in about]
    sections.append(Section("environment", _changes(env[0], env[1])))
    git = [p.get("git", {}) for p in about]
    sections.append(Section("git", _changes(git[0], git[1])))
    sections.append(Section("metrics", _changes(metrics(store, one), metrics(store, other))))
    return [s for s in sections if s.lines]


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    old, new = dict(flatten(dict(a))), dict(flatten(dict(b)))
    return [
        str(Difference(k, str(old.get(k, "(absent)")), str(new.get(k, "(absent)"))))
        for k in dict.fromkeys((*old, *new))
        if old.get(k) != new.get(k)
    ]


def verify(store: Store, rrefs: list[RRef] | None = None) -> Iterator[tuple[str, str, list[str]]]:
    """Rehashes realizations (all, or these); yields (name, folder, problems), empty where all is whole.

    Also reports derivations whose config is not what their folder is named after.
    """
    for dref in sorted({r.dref for r in rrefs} if rrefs is not None else set(store.drefs())):
        folder = f"{store.path}/drv/{dref.folder}"
        try:
            Store.config(Store(store.path), dref)
        except StagedmlError as e:
            yield dref.name, folder, [e.what]
            continue
        for bad, problem in store.damaged(dref):
            yield dref.name, bad, [problem]
        for record in store.records(dref):
            if rrefs is None or record.rref in rrefs:
                yield dref.name, record.folder, store.problems(record, deep=True)
