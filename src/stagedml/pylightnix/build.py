"""What realizers call: folders for outputs, paths of dependencies, times; and the wrapper that makes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from logging import getLogger
from typing import Any, TypeVar

from stagedml.pylightnix.reading import assert_valid_config, assert_valid_refpath, context_deref
from stagedml.pylightnix.realizing import output_realizer
from stagedml.pylightnix.repl import (
    ReplHelper,
    repl_active,
    repl_cancel,
    repl_continue,
)
from stagedml.pylightnix.storage import S_, cfgcattrs, cfgdict, cfgname, drefcfg, rref2path, store_of
from stagedml.pylightnix.types import (
    Build,
    BuildArgs,
    Context,
    DRef,
    InstantiateArg,
    Name,
    Output,
    Path,
    PylightnixException,
    RConfig,
    RealizeArg,
    Realizer,
    RefPath,
    RRef,
    UsageError,
)
from stagedml.pylightnix.utils import (
    dirrm,
    isrefpath,
    parsetime,
    timestring,
    tryread,
    writestr,
)

logger = getLogger(__name__)
_A = TypeVar("_A")
_B = TypeVar("_B", bound=Build)
START, STOP = "__buildstart__.txt", "__buildstop__.txt"
AUTO = "AUTO"


class BuildError(PylightnixException):
    """A realizer failed; `outpaths` are the folders as it left them, until the next run in the storage."""

    def __init__(
        self, S: S_, dref: DRef, outpaths: Output[Path] | None, exception: Exception, msg: str = ""
    ) -> None:
        super().__init__(msg or f"{dref}: {type(exception).__name__}: {exception}")
        self.S, self.dref, self.exception = S, dref, exception
        self.outpaths: list[Path] = outpaths.val if outpaths else []


def mkbuildargs(
    S: S_,
    dref: DRef,
    context: Context,
    starttime: str | None,
    stoptime: str | None,
    iarg: InstantiateArg,
    rarg: RealizeArg,
) -> BuildArgs:
    assert_valid_config(drefcfg(dref, S))
    return BuildArgs(S, dref, context, starttime, stoptime, iarg, rarg)


def build_wrapper_(
    f: Callable[[_B], None],
    ctr: Callable[[BuildArgs], _B],
    nouts: int | None = 1,
    starttime: str | None = AUTO,
    stoptime: str | None = AUTO,
) -> Realizer:
    """A realizer from a function of a `Build`, or of what `ctr` makes of its arguments.

    With `nouts=None` the function calls `build_markstart` itself. Raises `BuildError` when it fails.
    """

    def realizer(S: S_, dref: DRef, context: Context, rarg: RealizeArg) -> Output[Path]:
        b = ctr(mkbuildargs(S, dref, context, starttime, stoptime, {}, rarg))
        if nouts is not None:
            build_markstart(b, nouts)
        try:
            f(b)
        except Exception as e:
            build_markstop_noexcept(b)
            raise BuildError(S, dref, b.outpaths, e) from e
        if b.outpaths is None:
            raise UsageError(f"{dref} has no output folder", hint="call build_markstart in the realizer")
        build_markstop(b)
        return b.outpaths

    realizer.__wrapped__ = f  # type: ignore[attr-defined]  # where fingerprints find the code
    return output_realizer(realizer)


def build_wrapper(
    f: Callable[[Build], None],
    nouts: int | None = 1,
    starttime: str | None = AUTO,
    stoptime: str | None = AUTO,
) -> Realizer:
    """A realizer from a function of a `Build`."""
    return build_wrapper_(f, Build, nouts, starttime, stoptime)


# inside a build


def build_config(b: Build) -> RConfig:
    return drefcfg(b.dref, b.S)


def build_context(b: Build) -> Context:
    return b.context


def build_name(b: Build) -> Name:
    return cfgname(build_config(b))


def build_cattrs(b: Build) -> Any:
    """The config's fields as attributes; what is assigned to them stays for the time of the build."""
    if b.cattrs_cache is None:
        b.cattrs_cache = cfgcattrs(build_config(b))
    return b.cattrs_cache


def build_markstart(b: Build, nouts: int) -> list[Path]:
    """Makes the output folders, each of which becomes a realization."""
    if nouts < 1 or b.outpaths is not None:
        raise UsageError(f"build_markstart(b, {nouts})", hint="once a build, for one folder or more")
    paths = [Path(f"{store_of(b.S).new_tmp()}/out") for _ in range(nouts)]
    for path in paths:
        os.mkdir(path)
        if b.starttime is not None:
            writestr(f"{path}/{START}", timestring() if b.starttime == AUTO else b.starttime)
    b.outpaths = Output(paths)
    return paths


def build_markstop(b: Build) -> None:
    """Notes the end of the build in its output folders."""
    if b.stoptime is not None:
        for path in b.outpaths.val if b.outpaths else []:
            writestr(f"{path}/{STOP}", timestring() if b.stoptime == AUTO else b.stoptime)


def build_markstop_noexcept(b: Build) -> None:
    try:
        build_markstop(b)
    except OSError as e:
        logger.warning("cannot note the end of a build: %s", e)


def build_outpaths(b: Build) -> list[Path]:
    if b.outpaths is None:
        raise UsageError("the build has no output folders yet", hint="call build_markstart")
    return b.outpaths.val


def build_outpath(b: Build) -> Path:
    return _only(build_outpaths(b), "output folders")


def build_deref_(b: Build, dref: DRef) -> list[RRef]:
    return context_deref(build_context(b), dref)


def build_deref(b: Build, dref: DRef) -> RRef:
    return _only(build_deref_(b, dref), f"realizations of {dref}")


def build_paths(b: Build, refpath: RefPath) -> list[Path]:
    """Where a path inside a derivation is: in each output, or in each realization of the dependency."""
    assert_valid_refpath(refpath)
    if refpath[0] == b.dref:
        folders = build_outpaths(b)
    else:
        folders = [rref2path(rref, b.S) for rref in build_deref_(b, DRef(refpath[0]))]
    return [Path(os.path.join(folder, *refpath[1:])) for folder in folders]


def build_path(b: Build, refpath: RefPath) -> Path:
    return _only(build_paths(b, refpath), f"places for {refpath}")


def build_environ(b: Build, env: Any = None) -> dict[str, str]:
    """The environment with the config's fields as variables, paths of one place resolved."""
    found = dict(deepcopy(dict(os.environ if env is None else env)))
    for key, value in cfgdict(build_config(b)).items():
        paths = build_paths(b, value) if isrefpath(value) else []
        found[str(key)] = str(paths[0] if len(paths) == 1 else value)
    return found


def _only(found: list[_A], what: str) -> _A:
    if len(found) != 1:
        raise UsageError(f"{len(found)} {what} where one was expected", hint="use the plural function")
    return found[0]


# when realizations were built


def rrefbstart(rref: RRef, S: S_ = None) -> str | None:
    """When the build began, as a `timestring`; None when it did not say."""
    return tryread(f"{rref2path(rref, S)}/{START}")


def rrefbstop(rref: RRef, S: S_ = None) -> str | None:
    return tryread(f"{rref2path(rref, S)}/{STOP}")


def rrefbdelta(rref: RRef, S: S_ = None) -> float | None:
    """How long the build took, in seconds."""
    start, stop = (parsetime(text) if text else None for text in (rrefbstart(rref, S), rrefbstop(rref, S)))
    return stop - start if start is not None and stop is not None else None


# at a prompt


def repl_buildargs(rh: ReplHelper | None = None) -> BuildArgs:
    found = repl_active(rh)
    if found.dref is None or found.context is None:
        raise UsageError("the session is not paused")
    return mkbuildargs(found.S, found.dref, found.context, AUTO, AUTO, {}, found.rarg or {})


def repl_build(rh: ReplHelper | None = None, nouts: int | None = 1) -> Build:
    """The `Build` of the derivation before which a session is paused."""
    b = Build(repl_buildargs(rh))
    if nouts is not None:
        build_markstart(b, nouts)
    return b


def repl_continueBuild(b: Build, rh: ReplHelper | None = None) -> RRef | None:  # noqa: N802
    """Publishes what was made by hand, and goes on."""
    build_markstop(b)
    return repl_continue(b.outpaths.val if b.outpaths else [], rh=rh)


def repl_cancelBuild(b: Build, rh: ReplHelper | None = None) -> None:  # noqa: N802
    """Gives up, and removes what was made."""
    repl_cancel(rh)
    for path in b.outpaths.val if b.outpaths else []:
        dirrm(path)
