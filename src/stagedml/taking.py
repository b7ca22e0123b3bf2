"""What a realize takes from upstream stores instead of building it: no more than the matcher wants.

The matcher is asked about what is here and what is offered together, so that a run with an upstream chooses
what a run in the upstream would have chosen. A matcher that looks at results (`match_best`) cannot be
answered before they are here: then all that is offered is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stagedml.errors import CorruptError, MatchError, MissingError, RemoteError, StoreError, StoreFormatError
from stagedml.execute import Task, find, task_key
from stagedml.leases import hold
from stagedml.record import Context, Record
from stagedml.refs import DRef, RRef
from stagedml.reporter import Reporter
from stagedml.share import Upstream
from stagedml.stage import Derivation
from stagedml.store import Store


class Offer(NamedTuple):
    """A realization that could be taken."""

    upstream: Upstream
    record: Record


class Taker:
    """The upstream stores of one run. One that cannot be reached is named once, and not asked again."""

    def __init__(self, store: Store, upstreams: Sequence[Upstream], reporter: Reporter) -> None:
        self._store, self._reporter = store, reporter
        self._upstreams = list(upstreams)
        self._lost: StoreError | None = None
        self._refused: dict[DRef, dict[str, StoreError]] = {}
        self._tried: set[RRef] = set()
        self.taken: dict[DRef, set[RRef]] = {}

    def trouble(self, dref: DRef) -> StoreError | None:
        """Why something that may be upstream was not taken."""
        return next(iter(self._refused.get(dref, {}).values()), self._lost)

    def wanted(self, d: Derivation, context: Context, records: Sequence[Record]) -> list[Offer]:
        """What would be taken, where `records` are here and do not satisfy the matcher."""
        here = {r.instance for r in records}
        offered = {i: o for i, o in self._offers(d, context).items() if i not in here}
        if not offered:
            return []
        by_instance = {r.instance: r.rref for r in records} | {i: o.record.rref for i, o in offered.items()}
        rrefs = [by_instance[i] for i in sorted(by_instance)]
        count = max(d.instances, getattr(d.matcher, "count", 0), 1)
        try:
            chosen = (d.matcher or (lambda _, found: found[-1:]))(self._store, rrefs)
        except MatchError:
            chosen = []
        except MissingError:  # it reads what is not here yet
            chosen = None
        if chosen is None:
            return [offered[i] for i in sorted(offered)]
        first = [i for i in sorted(offered) if offered[i].record.rref in chosen]
        more = [i for i in sorted(offered) if i not in first]
        return [offered[i] for i in (*first, *more[: max(0, count - len(here) - len(first))])]

    def take(self, d: Derivation, context: Context, records: Sequence[Record]) -> bool:
        """Takes what is wanted; says whether anything came."""
        before = len(self.taken.get(d.dref, ()))
        for offer in self.wanted(d, context, records):
            self._take(d, context, offer)
        return len(self.taken.get(d.dref, ())) > before

    def _take(self, d: Derivation, context: Context, offer: Offer) -> None:
        record, upstream = offer.record, offer.upstream
        self._tried.add(record.rref)  # once: what was refused is not asked for again
        key = task_key(d.dref, context, record.instance)
        try:
            with hold(self._store, key, lambda who: self._reporter.waiting(d, who)):
                found = find(Task(self._store, d, context, record.instance))
                if found is None:  # else another process was first
                    upstream.take(self._store, record.rref)
        except (CorruptError, MissingError) as e:
            self._refuse(d, e)
        except RemoteError as e:
            self._lose(upstream, e)
        else:
            self.taken.setdefault(d.dref, set()).add(found.rref if found is not None else record.rref)
            if found is None:
                self._reporter.taken(d, record, upstream.name)

    def _offers(self, d: Derivation, context: Context) -> dict[int, Offer]:
        """The newest of each instance; the first upstream that has one counts."""
        found: dict[int, Offer] = {}
        for upstream in list(self._upstreams):
            try:
                offers = upstream.offers(d.dref, context)
            except (RemoteError, StoreFormatError) as e:
                self._lose(upstream, e)
                continue
            for problem in offers.damaged:
                self._refuse(d, problem)
            newest = {r.instance: Offer(upstream, r) for r in offers.records}
            found = newest | found
        return {i: o for i, o in found.items() if o.record.rref not in self._tried}

    def _refuse(self, d: Derivation, problem: StoreError) -> None:
        known = self._refused.setdefault(d.dref, {})
        if str(problem) not in known:
            known[str(problem)] = problem
            self._reporter.refused(d, problem)

    def _lose(self, upstream: Upstream, problem: StoreError) -> None:
        if upstream in self._upstreams:
            self._upstreams.remove(upstream)
            self._lost = problem
            self._reporter.lost(upstream.name, problem)
