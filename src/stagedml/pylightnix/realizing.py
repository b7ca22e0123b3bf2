# ruff: noqa: N802 - the interface's names
"""Derivations and their realization: Pylightnix's loop over a closure, on this project's store.

What is built and what is reused is decided as Pylightnix decides it. How it is stored, locked, checked and
recorded is this project's: two processes build one derivation once, and what was damaged is built again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from logging import getLogger
from typing import Any, TypeVar

from stagedml.code import record_code
from stagedml.config import config_dref
from stagedml.disk import remove_tree
from stagedml.execute import Log, captured, remove_dead_tmp, task_key
from stagedml.leases import hold, spare_locks, sweep
from stagedml.pylightnix.matchers import match_latest
from stagedml.pylightnix.publishing import direct_context, drefrrefsC, publish_folder
from stagedml.pylightnix.reading import (
    assert_rref_deps,
    assert_valid_config,
    context_add,
    drefdeps,
    drefdeps1,
    drefrrefs,
)
from stagedml.pylightnix.storage import (
    S_,
    assert_valid_storage,
    cfgsp,
    drefcfg_,
    store_of,
    tlregistry,
    to_engine,
)
from stagedml.pylightnix.types import (
    Closure,
    Config,
    Context,
    Derivation,
    DRef,
    Matcher,
    MatcherO,
    Output,
    Path,
    PromiseException,
    RealizeArg,
    Realizer,
    RealizerO,
    RealizeSeqGen,
    Registry,
    RRef,
    StageResult,
    UsageError,
)
from stagedml.pylightnix.utils import scanref_dict
from stagedml.running import announce
from stagedml.store import Store

logger = getLogger(__name__)
ClosureLike = Closure | tuple[StageResult, Closure]
_A = TypeVar("_A")


def mkdrv_(c: Config, S: S_ = None) -> DRef:
    """Puts a config into the storage and returns its reference."""
    assert_valid_storage(S)
    assert_rref_deps(assert_valid_config(c))
    store, config = store_of(S), to_engine(c)
    dref = config_dref(config)
    store.write_config(dref, config)
    store.remember(dref, config)
    return dref


def mkdrv(config: Config, matcher: Matcher, realizer: Realizer, r: Registry | None = None) -> DRef:
    """Registers a derivation and returns its reference."""
    registry = tlregistry(r)
    if registry is None:
        raise UsageError("there is no registry", hint="pass r=, or use current_registry")
    dref = mkdrv_(config, registry.S)
    if dref in registry.builders:
        logger.warning("%s is registered a second time", dref)
    registry.builders[dref] = Derivation(dref, matcher, realizer)
    return dref


def output_validate(dref: DRef, o: Output[Path], S: S_ = None) -> list[Path]:
    """The folders of an output. Raises `PromiseException` when a declared file is missing in one."""
    failed = [
        (folder, path)
        for _, path in cfgsp(drefcfg_(dref, S))
        for folder in o.val
        if not os.path.lexists(os.path.join(folder, *path[1:]))
    ]
    if failed:
        raise PromiseException(dref, failed)
    return o.val


def output_realizer(f: RealizerO) -> Realizer:
    """A realizer that checks what `f` promised."""

    def realizer(S: S_, dref: DRef, ctx: Context, ra: RealizeArg) -> list[Path]:
        return output_validate(dref, f(S, dref, ctx, ra), S)

    realizer.__wrapped__ = f  # type: ignore[attr-defined]  # where fingerprints find the code
    return realizer


def output_matcher(r: MatcherO) -> Matcher:
    def matcher(S: S_, rrefs: list[RRef]) -> list[RRef] | None:
        chosen = r(S, Output(rrefs))
        return None if chosen is None else chosen.val

    return matcher


# closures


def assert_have_realizers(r: Registry, drefs: Iterable[DRef]) -> None:
    """Raises `UsageError` for derivations that nobody knows how to build and that are not built either."""
    needed = drefdeps(drefs, r.S) | set(drefs)
    missing = [d for d in needed - set(r.builders) if not drefrrefs(d, r.S)]
    if missing:
        raise UsageError(
            f"nobody knows how to build {missing[0]}", hint="was it registered with another Registry?"
        )


def assert_valid_closure(closure: Closure) -> None:
    known = {d.dref for d in closure.derivations}
    if not closure.targets or not known.issuperset(closure.targets):
        raise UsageError("the closure does not hold its targets")


def mkclosure(result: Any, r: Registry) -> Closure:
    targets = scanref_dict({"result": result})[0]
    if not targets:
        raise UsageError(f"no derivation in {result!r}", hint="a stage returns what mkdrv returns")
    assert_have_realizers(r, targets)
    return Closure(result, targets, [*_built_elsewhere(r, targets), *r.builders.values()], r.S)


def _built_elsewhere(r: Registry, targets: list[DRef]) -> list[Derivation]:
    """What is needed and was built by others, stages of this project for example: used as it is."""

    def refuse(S: S_, dref: DRef, ctx: Context, ra: RealizeArg) -> list[Path]:
        raise UsageError(f"{dref} has no realization in this context, and nobody knows how to build it")

    found: dict[DRef, None] = {}
    todo = [d for d in drefdeps(targets, r.S) | set(targets) if d not in r.builders]
    while todo:
        dref = todo.pop()
        deeper = [d for d in drefdeps1([dref], r.S) if d not in found and d not in r.builders]
        if deeper:
            todo += [dref, *deeper]
        else:
            found[dref] = None
    return [Derivation(dref, match_latest(), refuse) for dref in found]


def instantiate(
    stage: _A | Callable[..., Any],
    *args: Any,
    S: S_ = None,
    r: Registry | None = None,
    **kwargs: Any,
) -> tuple[_A, Closure]:
    """Calls a stage, or takes references as they are; returns (result, closure). Builds nothing."""
    registry = tlregistry(r)
    if registry is None:
        registry = Registry(S)
    elif S is not None and registry.S != S:
        raise UsageError(f"S is {S}, and the registry's {registry.S}", hint="give one of them")
    if registry.in_instantiate:
        raise UsageError("instantiate within instantiate, on one registry", hint="call the stage itself")
    registry.in_instantiate = True
    try:
        result: Any = stage(*args, r=registry, **kwargs) if callable(stage) else stage
    finally:
        registry.in_instantiate = False
    return result, mkclosure(result, registry)


def _closure(closure: ClosureLike) -> Closure:
    found = closure if isinstance(closure, Closure) else closure[1]
    assert_valid_closure(found)
    return found


# building


def realizeSeq(
    closure: Closure,
    force_interrupt: Iterable[DRef] = (),
    assert_realized: Iterable[DRef] = (),
    realize_args: dict[DRef, RealizeArg] | None = None,
) -> RealizeSeqGen:
    """The loop as a generator: it stops before each of `force_interrupt`, and is told how to go on.

    It is sent (realizations or None, abort): realizations are taken as they are, None builds.
    """
    S, store = closure.S, store_of(closure.S)
    assert_valid_closure(closure)
    needed = drefdeps(closure.targets, S) | set(closure.targets)
    interrupt, args = set(force_interrupt), realize_args or {}
    _tidy(store, needed)
    context: Context = {}
    with spare_locks(store):
        for drv in closure.derivations:
            dref, rarg = drv.dref, args.get(drv.dref, {})
            if dref not in needed:
                continue
            if dref in interrupt:
                whole = _restricted(context, drefdeps([dref], S))
                rrefs, abort = yield S, dref, whole, drv, rarg
                if abort:
                    return {}
            else:
                rrefs = drv.matcher(S, list(drefrrefsC(dref, context, S)))
            if rrefs is None and dref in set(assert_realized):
                raise UsageError(f"{dref} should have been realized already", hint=repr(drefcfg_(dref, S)))
            if rrefs is None:
                rrefs = _build(S, drv, context, rarg, forced=dref in interrupt)
            context = context_add(context, dref, rrefs)
    return {dref: context[dref] for dref in closure.targets}


def _tidy(store: Store, needed: set[DRef]) -> None:
    announce(store, needed)
    if not store.readonly:
        remove_dead_tmp(store)
        sweep(store)


def _restricted(context: Context, drefs: Iterable[DRef]) -> Context:
    return {dref: context[dref] for dref in sorted(drefs) if dref in context}


def _build(S: S_, drv: Derivation, context: Context, rarg: RealizeArg, *, forced: bool) -> list[RRef]:
    """Runs a realizer, one process at a time; returns what the matcher then chooses."""
    store, dref = store_of(S), drv.dref
    direct = direct_context(context, dref, S)

    def tell(who: str) -> None:
        print(f"waiting  {dref.name}  {who} is building it", file=sys.stderr)

    with hold(store, task_key(dref, direct, 0), tell) as lease:
        chosen = None if forced else drv.matcher(S, list(drefrrefsC(dref, context, S)))
        if chosen is not None:
            return chosen  # another process built it while this one waited
        folder = store.new_tmp()
        started, begun = time.time(), time.monotonic()
        log = Log(f"{folder}/log.txt")
        try:
            with captured(log):
                paths = drv.realizer(S, dref, _restricted(context, drefdeps([dref], S)), rarg)
            log.close()
            lease.check()
            code = record_code(store, drv.realizer)
            seconds = time.monotonic() - begun
            built = [
                publish_folder(store, dref, direct, path, log=log.path, code=code, began=(started, seconds))
                for path in paths
            ]
        finally:
            log.close()
            remove_tree(folder)
    chosen = drv.matcher(S, list(drefrrefsC(dref, context, S)))
    if chosen is None:
        raise UsageError(
            f"the matcher of {dref} is not satisfied with what its realizer made",
            hint=f"it made {', '.join(built) or 'nothing'}",
        )
    if built and not set(built) & set(chosen):
        logger.warning("the matcher of %s chose none of the new realizations", dref)
    return chosen


# running


def realize(
    closure: ClosureLike,
    force_rebuild: list[DRef] | bool = False,
    assert_realized: Iterable[DRef] = (),
    realize_args: dict[DRef, RealizeArg] | None = None,
) -> tuple[StageResult, Closure, Context]:
    """Builds what is missing; returns (the stage's result, the closure, realizations of its targets)."""
    found = _closure(closure)
    interrupt = (found.targets if force_rebuild else []) if isinstance(force_rebuild, bool) else force_rebuild
    steps = realizeSeq(found, interrupt, assert_realized, realize_args)
    try:
        next(steps)
        while True:
            steps.send((None, False))
    except StopIteration as e:
        return found.result, found, e.value


def realizeMany(
    closure: ClosureLike,
    force_rebuild: list[DRef] | bool = False,
    assert_realized: Iterable[DRef] = (),
    realize_args: dict[DRef, RealizeArg] | None = None,
) -> list[RRef]:
    """`realize` for a closure of one target."""
    context = realize(closure, force_rebuild, assert_realized, realize_args)[2]
    if len(context) != 1:
        raise UsageError(f"{len(context)} targets where one was expected", hint="use realize")
    return next(iter(context.values()))


def realize1(
    closure: ClosureLike,
    force_rebuild: list[DRef] | bool = False,
    assert_realized: Iterable[DRef] = (),
    realize_args: dict[DRef, RealizeArg] | None = None,
) -> RRef:
    """`realize` for one target with one realization."""
    rrefs = realizeMany(closure, force_rebuild, assert_realized, realize_args)
    if len(rrefs) != 1:
        raise UsageError(f"{len(rrefs)} realizations where one was expected", hint="use realizeMany")
    return rrefs[0]


def evaluate(stage: Any, *args: Any, **kwargs: Any) -> RRef:
    return realize1(instantiate(stage, *args, **kwargs))
