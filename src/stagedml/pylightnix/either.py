"""Realizations that may be a failure: stages whose error is kept as a result instead of stopping the run."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from tempfile import mkdtemp
from typing import Any, Generic, TypeVar

from stagedml.pylightnix.reading import context_deref, drefdeps1
from stagedml.pylightnix.realizing import ClosureLike, mkdrv, output_validate, realize, realize1
from stagedml.pylightnix.storage import S_, fstmpdir, rref2path
from stagedml.pylightnix.types import (
    Closure,
    Config,
    Context,
    DRef,
    Matcher,
    MatcherO,
    Output,
    Path,
    RealizeArg,
    Realizer,
    RealizerO,
    Registry,
    RRef,
    UsageError,
)
from stagedml.pylightnix.utils import tryread, writestr

_Ref = TypeVar("_Ref")
ExceptionText = str
STATUS = "either_status.txt"


class Either(Generic[_Ref]):
    """Right: what was realized. Left: what there is of it, and the text of the error."""

    def __init__(
        self, right: Output[_Ref] | None = None, left: tuple[list[_Ref], ExceptionText] | None = None
    ) -> None:
        if right is None and left is None:
            raise UsageError("an Either with neither side")
        self.right, self.left = right, left


def mkright(o: Output[_Ref]) -> Either[_Ref]:
    return Either(right=o)


def mkleft(paths: list[Path], exc: ExceptionText) -> Either[Path]:
    """A failure; its text is written into every folder."""
    for path in paths:
        if os.path.exists(f"{path}/{STATUS}"):
            raise UsageError(f"{STATUS} is there already", where=path, hint="the name is reserved")
        writestr(f"{path}/{STATUS}", exc)
    return Either(left=(paths, exc))


def either_isRight(e: Either[_Ref]) -> bool:  # noqa: N802
    return e.right is not None


def either_isLeft(e: Either[_Ref]) -> bool:  # noqa: N802
    return e.left is not None


def either_status(e: Either[_Ref]) -> ExceptionText | None:
    return None if e.left is None else e.left[1]


def either_paths(e: Either[_Ref]) -> list[_Ref]:
    """What there is, on either side."""
    return e.right.val if e.right is not None else e.left[0] if e.left is not None else []


def either_loadR(rrefs: list[RRef], S: S_) -> Either[RRef]:  # noqa: N802
    """Left when any of the realizations is a failure."""
    found = [tryread(f"{rref2path(rref, S)}/{STATUS}") for rref in rrefs]
    texts = [text for text in found if text is not None]
    return Either(left=(rrefs, "\n".join(texts))) if texts else Either(right=Output(rrefs))


def either_validate(dref: DRef, e: Either[Path], S: S_ = None) -> list[Path]:
    """The folders; promises are checked on the right side only."""
    return output_validate(dref, e.right, S) if e.right is not None else either_paths(e)


def either_realizer(f: RealizerO) -> Realizer:
    """A realizer that keeps an error of `f`, or of a dependency, as its result."""

    def attempt(S: S_, dref: DRef, ctx: Context, ra: RealizeArg) -> Either[Path]:
        for dep in drefdeps1([dref], S):
            status = either_status(either_loadR(context_deref(ctx, dep), S))
            if status is not None:
                return mkleft([_folder(S)], status)
        try:
            return mkright(f(S, dref, ctx, ra))
        except Exception:  # noqa: BLE001 - whatever it is, it is the result
            return mkleft([_folder(S)], traceback.format_exc())

    def realizer(S: S_, dref: DRef, ctx: Context, ra: RealizeArg) -> list[Path]:
        return either_validate(dref, attempt(S, dref, ctx, ra), S)

    realizer.__wrapped__ = f  # type: ignore[attr-defined]  # where fingerprints find the code
    return realizer


def _folder(S: S_) -> Path:
    os.makedirs(fstmpdir(S), exist_ok=True)
    return Path(mkdtemp(prefix="either_tmp", dir=fstmpdir(S)))


def either_matcher(m: MatcherO) -> Matcher:
    """A matcher that chooses among successes, and takes failures as they are."""

    def matcher(S: S_, rrefs: list[RRef]) -> list[RRef] | None:
        found = either_loadR(rrefs, S)
        if found.right is None:
            return either_paths(found)
        chosen = m(S, found.right)
        return None if chosen is None else chosen.val

    return matcher


def mkdrvE(config: Config, matcher: MatcherO, realizer: RealizerO, m: Registry | None = None) -> DRef:  # noqa: N802
    return mkdrv(config, either_matcher(matcher), either_realizer(realizer), m)


def realizeE(  # noqa: N802
    closure: Closure,
    force_rebuild: list[DRef] | bool = False,
    assert_realized: Iterable[DRef] = (),
    realize_args: dict[DRef, RealizeArg] | None = None,
) -> Either[RRef]:
    rref = realize1(closure, force_rebuild, assert_realized, realize_args)
    return either_loadR([rref], (closure if isinstance(closure, Closure) else closure[1]).S)


def realizeManyE(  # noqa: N802
    closure: ClosureLike,
    force_rebuild: list[DRef] | bool = False,
    assert_realized: Iterable[DRef] = (),
    realize_args: dict[DRef, RealizeArg] | None = None,
) -> Either[RRef]:
    found: Any = realize(closure, force_rebuild, assert_realized, realize_args)
    if len(found[2]) != 1:
        raise UsageError(f"{len(found[2])} targets where one was expected")
    return either_loadR(next(iter(found[2].values())), found[1].S)
