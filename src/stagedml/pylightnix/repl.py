"""Realizing from a prompt: stop before a derivation, build it by hand, go on or give up."""

from __future__ import annotations

from typing import Any

from stagedml.pylightnix.publishing import mkrealization
from stagedml.pylightnix.realizing import ClosureLike, realizeSeq
from stagedml.pylightnix.storage import S_
from stagedml.pylightnix.types import (
    Closure,
    Context,
    Derivation,
    DRef,
    Path,
    RealizeArg,
    RealizeSeqGen,
    RRef,
    UsageError,
)

PYLIGHTNIX_REPL_HELPER: ReplHelper | None = None
ERR_INVALID_RH = "there is no session"
ERR_INACTIVE_RH = "the session is not paused"


class ReplHelper:
    """A realization that is paused; once it is over, `result` holds what it gave."""

    def __init__(self, gen: RealizeSeqGen) -> None:
        self.gen: RealizeSeqGen | None = gen
        self.S: S_ = None
        self.dref: DRef | None = None
        self.context: Context | None = None
        self.drv: Derivation | None = None
        self.rarg: RealizeArg | None = None
        self.result: Context | None = None

    def send(self, value: Any) -> None:
        """Lets the realization go on to its next stop, or to its end."""
        if self.gen is None:
            raise UsageError(ERR_INACTIVE_RH)
        try:
            step = next(self.gen) if value is None else self.gen.send(value)
            self.S, self.dref, self.context, self.drv, self.rarg = step
        except StopIteration as e:
            self.gen, self.result = None, e.value


def repl_active(rh: ReplHelper | None = None) -> ReplHelper:
    """The session given, or else the last one. Raises `UsageError` unless it is paused."""
    found = rh if rh is not None else PYLIGHTNIX_REPL_HELPER
    if found is None:
        raise UsageError(ERR_INVALID_RH, hint="start one with repl_realize")
    if found.gen is None:
        raise UsageError(ERR_INACTIVE_RH)
    return found


def repl_realize(
    closure: ClosureLike,
    force_interrupt: list[DRef] | bool = True,
    realize_args: dict[DRef, RealizeArg] | None = None,
) -> ReplHelper:
    """Realizes up to the first of `force_interrupt`; True stops before the targets, False nowhere."""
    global PYLIGHTNIX_REPL_HELPER
    found = closure if isinstance(closure, Closure) else closure[1]
    stops = (
        (found.targets if force_interrupt else []) if isinstance(force_interrupt, bool) else force_interrupt
    )
    PYLIGHTNIX_REPL_HELPER = rh = ReplHelper(realizeSeq(found, stops, realize_args=realize_args))
    rh.send(None)
    return rh


def repl_continueAll(  # noqa: N802
    out_paths: list[Path] | None = None,
    out_rrefs: list[RRef] | None = None,
    rh: ReplHelper | None = None,
) -> Context | None:
    """Goes on with folders or realizations made by hand, or, without any, with the realizer.

    Returns the result when that was the end, None when the session is paused again.
    """
    found = repl_active(rh)
    if out_paths is not None and out_rrefs is not None:
        raise UsageError("both out_paths and out_rrefs", hint="give one of them")
    if out_paths is not None and found.dref is not None:
        out_rrefs = [mkrealization(found.dref, found.context or {}, path, found.S) for path in out_paths]
    found.send((out_rrefs, False))
    return repl_result(found)


def repl_continueMany(  # noqa: N802
    out_paths: list[Path] | None = None,
    out_rrefs: list[RRef] | None = None,
    rh: ReplHelper | None = None,
) -> list[RRef] | None:
    context = repl_continueAll(out_paths, out_rrefs, rh)
    return None if context is None else _single(list(context.values()), "targets")


def repl_continue(
    out_paths: list[Path] | None = None,
    out_rrefs: list[RRef] | None = None,
    rh: ReplHelper | None = None,
) -> RRef | None:
    rrefs = repl_continueMany(out_paths, out_rrefs, rh)
    return None if rrefs is None else _single(rrefs, "realizations")


def repl_result(rh: ReplHelper) -> Context | None:
    return rh.result


def repl_rrefs(rh: ReplHelper) -> list[RRef] | None:
    context = repl_result(rh)
    return None if context is None else _single(list(context.values()), "targets")


def repl_rref(rh: ReplHelper) -> RRef | None:
    rrefs = repl_rrefs(rh)
    return None if rrefs is None else _single(rrefs, "realizations")


def repl_cancel(rh: ReplHelper | None = None) -> None:
    """Ends a session; nothing more is built."""
    found = repl_active(rh)
    while found.gen is not None:
        found.send((None, True))
    found.result = None


def _single(found: list[Any], what: str) -> Any:
    if len(found) != 1:
        raise UsageError(f"{len(found)} {what} where one was expected", hint="use the plural function")
    return found[0]
