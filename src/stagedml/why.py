"""Why something will be built: what differs from the nearest thing that is there.

For a derivation without realizations the nearest one is that of the same name whose config differs in the
fewest places. A place that holds a dependency is followed into the dependency, so that the answer names the
number that somebody changed and not the digests that changed because of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stagedml.config import Config, flatten
from stagedml.errors import StagedmlError
from stagedml.record import Record
from stagedml.refs import DRef, is_dref
from stagedml.store import Store

_ABSENT = object()
CANDIDATES = 50
CLOSEST = 5
SHOWN_TEXT = 40


class Difference(NamedTuple):
    """One config path with its value before and now, as text."""

    path: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.path}: {self.before} -> {self.now}"


class Nearest(NamedTuple):
    """The nearest existing realization and what differs from it."""

    record: Record
    differences: list[Difference]


class Index:
    """The realized derivations of a store by name, read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._by_name: dict[str, list[DRef]] = {}
        for dref in store.drefs():
            self._by_name.setdefault(dref.name, []).append(dref)

    def nearest(self, config: Config, dref: DRef) -> Nearest | None:
        """The realization that `config` is nearest to; None when nothing of its name was ever built."""
        best: Nearest | None = None
        for other in self._likely(config, [d for d in self._by_name.get(dref.name, []) if d != dref]):
            try:
                records = self.store.records(other)
                found = list(differences(self.store, self.store.config(other), config)) if records else []
                found.sort(key=_depth)
            except StagedmlError:
                continue  # a damaged neighbour explains nothing; `verify` reports it
            if records and (best is None or _rank(found, records[-1]) < _rank(best.differences, best.record)):
                best = Nearest(records[-1], found)
        return best

    def _likely(self, config: Config, drefs: list[DRef]) -> list[DRef]:
        """The few that share the most fields: comparing in depth follows all dependencies."""
        scores: list[tuple[int, DRef]] = []
        for dref in drefs[-CANDIDATES:]:
            try:
                before = self.store.config(dref).peek()
            except StagedmlError:
                continue  # as above
            scores.append((sum(before.get(k) == v for k, v in config.peek().items()), dref))
        scores.sort(key=lambda s: -s[0])
        return [dref for _, dref in scores[:CLOSEST]]


def _rank(found: list[Difference], record: Record) -> tuple[int, int]:
    """Fewer differences first; then what was built last."""
    return len(found), -record.published


def _depth(found: Difference) -> tuple[int, bool]:
    """Fields of its own before those of dependencies, and of those the name first: it says the most."""
    return found.path.count("."), not found.path.endswith(".name")


def differences(store: Store, before: Config, now: Config, path: str = "") -> Iterator[Difference]:
    """The places where two configs differ; dependencies on both sides are followed."""
    yield from _differences(store, before.peek(), now.peek(), path, set())


def _differences(
    store: Store, before: Mapping[str, Any], now: Mapping[str, Any], path: str, seen: set[tuple[str, str]]
) -> Iterator[Difference]:
    old, new = dict(flatten(dict(before))), dict(flatten(dict(now)))
    for key in dict.fromkeys((*old, *new)):
        a, b = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if a == b and type(a) is type(b):
            continue
        here = f"{path}.{key}" if path else key
        inner = _references(a), _references(b)
        if inner[0] and inner[1]:
            if inner not in seen and inner[0] != inner[1]:
                seen.add(inner)
                try:
                    configs = store.config(inner[0]).peek(), store.config(inner[1]).peek()
                except StagedmlError:
                    yield Difference(here, inner[0], inner[1])
                    continue
                yield from _differences(store, *configs, here, seen)
            if isinstance(a, list) and isinstance(b, list) and a[1:] != b[1:]:
                yield Difference(here, "/".join(a[1:]), "/".join(b[1:]))
        else:
            yield Difference(here, _text(a), _text(b))


def _references(value: Any) -> str:
    if isinstance(value, list) and value:
        value = value[0]
    return value if is_dref(value) else ""


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "(absent)"
    text = repr(value)
    return text if len(text) <= SHOWN_TEXT else f"{text[: SHOWN_TEXT - 3]}..."
