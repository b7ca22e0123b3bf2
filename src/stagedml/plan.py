"""What a realize would do: the same walk as `realize`, with nothing built.

Once a stage is to be built, the context of what depends on it is not known, so all of that is to be built
too, unless the build turns out as before.
"""

from __future__ import annotations

from typing import NamedTuple

from stagedml.code import changes, code_of, keep
from stagedml.realize import plan
from stagedml.refs import DRef, RRef
from stagedml.stage import Closure, Derivation
from stagedml.store import Context, Record, Store
from stagedml.why import Index

SHOWN = 6


class Step(NamedTuple):
    """One derivation of a closure: `verb` is "build" or "reuse"."""

    verb: str
    name: str
    reason: str
    seconds: float
    dref: DRef


def forecast(closure: Closure) -> list[Step]:
    """What would be built or reused, in order, and why."""
    store = closure.store
    index = Index(store)
    resolved: dict[DRef, list[RRef]] = {}
    steps: list[Step] = []
    for d in closure.derivations:
        if all(dep in resolved for dep in d.deps):
            context: Context = {dep: [str(r) for r in resolved[dep]] for dep in sorted(d.deps)}
            records = _whole(store, d, context)
            chosen, missing = plan(store, d, records)
            if chosen is not None:
                resolved[d.dref] = chosen
                used = [r for r in records if r.rref in chosen]
                code = [c for r in used for c in changes(store, d, r)]
                reason = f"although the code changed: {', '.join(code[:SHOWN])}" if code else ""
                steps.append(Step("reuse", d.config.name, reason, 0.0, d.dref))
                continue
            if records:
                took = records[-1].seconds or 0.0
                reason = f"{len(missing)} more wanted, {len(records)} at hand"
                steps.append(Step("build", d.config.name, reason, took * len(missing), d.dref))
                continue
        steps.append(_missing(store, index, d, resolved))
    return steps


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
