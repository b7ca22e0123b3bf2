"""What a realize would do: the same walk as `realize`, with nothing built.

Once a stage is to be built, the context of what depends on it is not known, so all of that is to be built
too, unless the build turns out as before.
"""

from __future__ import annotations

from typing import NamedTuple

from stagedml.code import changes, code_of, keep
from stagedml.errors import MatchError, MissingError
from stagedml.realize import plan
from stagedml.record import Context, Record
from stagedml.refs import DRef, RRef
from stagedml.reporter import Reporter
from stagedml.share import upstreams_of
from stagedml.stage import Closure, Derivation
from stagedml.store import Store
from stagedml.taking import Offer, Taker
from stagedml.why import Index

SHOWN = 6


class Step(NamedTuple):
    """One derivation of a closure: `verb` is "build", "take" or "reuse"."""

    verb: str
    name: str
    reason: str
    seconds: float
    dref: DRef


def forecast(closure: Closure, *, remote: str | None = None, reporter: Reporter | None = None) -> list[Step]:
    """What would be built, taken from an upstream store or reused, in order, and why.

    `remote` is that of `realize`; a remote store that cannot be reached is told to the reporter.
    """
    store = closure.store
    index = Index(store)
    taker = Taker(store, upstreams_of(store, remote), reporter or Reporter())
    resolved: dict[DRef, list[RRef]] = {}
    steps: list[Step] = []
    for d in closure.derivations:
        if all(dep in resolved for dep in d.deps):
            context: Context = {dep: [str(r) for r in resolved[dep]] for dep in sorted(d.deps)}
            records = _whole(store, d, context)
            chosen, missing, offers = _planned(taker, store, d, context, records)
            if chosen is not None:
                resolved[d.dref] = chosen
                steps.append(_reuse(store, d, chosen, records) if not offers else _take(d, offers))
                continue
            if offers and not missing:
                steps.append(_take(d, offers))
                continue
            if records or offers:
                took = (records or [offers[-1].record])[-1].seconds or 0.0
                source = f", {len(offers)} from {offers[0].upstream.name}" if offers else ""
                reason = f"{len(missing)} more wanted, {len(records)} at hand{source}"
                steps.append(Step("build", d.config.name, reason, took * len(missing), d.dref))
                continue
        steps.append(_missing(store, index, d, resolved))
    return steps


def _planned(
    taker: Taker, store: Store, d: Derivation, context: Context, records: list[Record]
) -> tuple[list[RRef] | None, list[int], list[Offer]]:
    """What `plan` says, and what would be taken first where it is not satisfied."""
    try:
        chosen, missing = plan(store, d, records)
        trouble = None
    except MatchError as e:
        chosen, missing, trouble = None, [], e
    offers = [] if chosen is not None else taker.wanted(d, context, records)
    if offers:
        both = sorted([*records, *(o.record for o in offers)], key=lambda r: r.instance)
        try:
            chosen, missing = plan(store, d, both)
        except MissingError:  # the matcher looks at results, which are not here yet
            chosen, missing = None, []
    elif trouble is not None:
        raise trouble
    return chosen, missing, offers


def _reuse(store: Store, d: Derivation, chosen: list[RRef], records: list[Record]) -> Step:
    used = [r for r in records if r.rref in chosen]
    code = [c for r in used for c in changes(store, d, r)]
    reason = f"although the code changed: {', '.join(code[:SHOWN])}" if code else ""
    return Step("reuse", d.config.name, reason, 0.0, d.dref)


def _take(d: Derivation, offers: list[Offer]) -> Step:
    count = f"{len(offers)} runs " if len(offers) > 1 else ""
    sources = ", ".join(dict.fromkeys(o.upstream.name for o in offers))
    return Step("take", d.config.name, f"{count}from {sources}", 0.0, d.dref)


def keep_code(closure: Closure) -> list[tuple[str, list[str]]]:
    """Notes that all changes of code since the closure was built are harmless; says which there were."""
    store = closure.store
    kept = []
    for d in closure.derivations:
        for record in store.records(d.dref):
            changed = changes(store, d, record)
            if changed:
                keep(store, record.rref, code_of(d.realizer)[0])
                kept.append((d.config.name, changed))
    return kept


def _whole(store: Store, d: Derivation, context: Context) -> list[Record]:
    newest = {r.instance: r for r in store.records(d.dref) if r.context == context and not store.problems(r)}
    return [newest[i] for i in sorted(newest)]


def _missing(store: Store, index: Index, d: Derivation, resolved: dict[DRef, list[RRef]]) -> Step:
    own = store.records(d.dref)
    if own:
        damaged = any(store.problems(r) for r in own)
        rebuilt = [dep.name for dep in d.deps if dep not in resolved]
        reason = "damaged" if damaged else f"after {', '.join(rebuilt)}" if rebuilt else "built from others"
        return Step("build", d.config.name, reason, own[-1].seconds or 0.0, d.dref)
    nearest = index.nearest(d.config, d.dref)
    if nearest is None:
        return Step("build", d.config.name, "first time", 0.0, d.dref)
    shown = [str(x) for x in nearest.differences[:SHOWN]]
    more = len(nearest.differences) - SHOWN
    reason = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return Step("build", d.config.name, reason, nearest.record.seconds or 0.0, d.dref)
