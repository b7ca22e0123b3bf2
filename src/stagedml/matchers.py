"""Matchers: which of the realizations at hand count, or whether to build more.

A matcher is called with the store and the realizations of one derivation in one context, ordered by instance
and then by age; it returns those it chooses, or None to ask for (at least) one more. `count`, if it has one,
says how many it needs, so that they can be built side by side.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from stagedml.config import config_outputs
from stagedml.errors import MatchError, MissingError
from stagedml.refs import RRef
from stagedml.store import Store

Choice = list[RRef] | None
MatcherLike = Callable[[Store, list[RRef]], Choice]


class Chooser(Protocol):
    def __call__(self, store: Store, rrefs: list[RRef]) -> Choice: ...


class Matcher:
    """A matcher that knows how it is written and how many realizations it needs."""

    __slots__ = ("_choose", "_spec", "count")

    def __init__(self, spec: str, count: int, choose: Chooser) -> None:
        self._spec, self.count, self._choose = spec, count, choose

    def __call__(self, store: Store, rrefs: list[RRef]) -> Choice:
        return None if len(rrefs) < self.count else self._choose(store, rrefs)

    def __repr__(self) -> str:
        return self._spec


def match_only() -> Matcher:
    """Exactly one; more than one is a `MatchError`."""

    def choose(store: Store, rrefs: list[RRef]) -> Choice:
        if len(rrefs) > 1:
            raise MatchError(
                f"{len(rrefs)} realizations where one was expected",
                where=rrefs[0].name,
                hint="choose with match_latest(), match_best(metric) or match_some(n)",
            )
        return rrefs

    return Matcher("match_only()", 1, choose)


def match_latest(n: int = 1) -> Matcher:
    """The last `n` instances."""
    return Matcher(f"match_latest({n})", n, lambda store, rrefs: rrefs[-n:])


def match_some(n: int = 1) -> Matcher:
    """The first `n` instances; missing ones are built."""
    return Matcher(f"match_some({n})", n, lambda store, rrefs: rrefs[:n])


def match_all() -> Matcher:
    """All there are; one is built when there is none."""
    return Matcher("match_all()", 1, lambda store, rrefs: rrefs)


def match_exact(chosen: Sequence[str]) -> Matcher:
    """Just these realizations; a missing one is a `MatchError`."""
    wanted = [RRef(r) for r in chosen]

    def choose(store: Store, rrefs: list[RRef]) -> Choice:
        missing = [r for r in wanted if r not in rrefs]
        if missing:
            raise MatchError(f"not at hand in this context: {', '.join(missing)}", where=wanted[0].name)
        return wanted

    return Matcher(f"match_exact({sorted(wanted)})", 0, choose)


def match_best(metric: str, n: int = 1, *, largest: bool = True) -> Matcher:
    """The best `n` by a metric of their protocol; `largest=False` takes the smallest."""

    def choose(store: Store, rrefs: list[RRef]) -> Choice:
        sign = -1.0 if largest else 1.0
        return sorted(rrefs, key=lambda r: (sign * metric_of(store, r, metric), r))[:n]

    order = "" if largest else ", largest=False"
    return Matcher(f"match_best({metric!r}, {n}{order})", n, choose)


def protocol_path(store: Store, rref: RRef) -> Path:
    """The protocol file of a realization: its field `protocol`, else `protocol.json`."""
    out = store.path_of(rref)
    for field, _, path in config_outputs(store.config(rref.dref)):
        if field == "protocol":
            return Path(out, path)
    return Path(out, "protocol.json")


def metric_of(store: Store, rref: RRef, metric: str) -> float:
    """The last value of a metric in a realization's protocol. Raises `MissingError` with what there is."""
    from stagedml.protocol import find_metric

    path = protocol_path(store, rref)
    if not os.path.exists(path):
        raise MissingError(f"it has no protocol, so no metric {metric!r}", where=rref)
    return find_metric(path, metric)
