# ruff: noqa: A002 - the interface's names
"""Looking at a storage in the manner of a shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from typing import Any

from stagedml.garbage import link
from stagedml.pylightnix.build import rrefbstart
from stagedml.pylightnix.reading import alldrefs, drefrrefs
from stagedml.pylightnix.realizing import instantiate
from stagedml.pylightnix.storage import (
    S_,
    cfgname,
    dref2path,
    drefcfg_,
    drefcfgpath,
    fsstorage,
    rref2dref,
    rref2path,
    store_of,
)
from stagedml.pylightnix.types import Build, DRef, Path, RRef, UsageError
from stagedml.pylightnix.utils import dirrm, dirsize, forcelink, isdref, isrref, parsetime


def lsdref_(r: DRef, S: S_ = None) -> Iterator[str]:
    """The digests of a derivation's realizations."""
    return (RRef(rref).digest for rref in drefrrefs(r, S))


def lsrref_(r: RRef, fn: Iterable[str] = (), S: S_ = None) -> Iterator[str]:
    """The names in a folder of artifacts."""
    return iter(os.listdir(os.path.join(rref2path(r, S), *fn)))


def lsrref(r: RRef, fn: Iterable[str] = (), S: S_ = None) -> list[str]:
    return list(lsrref_(r, fn, S))


def lsref(r: RRef | DRef, S: S_ = None) -> list[str]:
    return list(lsrref_(RRef(r), S=S) if isrref(r) else lsdref_(DRef(r), S))


def catrref_(r: RRef, fn: Iterable[str], S: S_ = None) -> Iterator[str]:
    """The lines of an artifact."""
    with open(os.path.join(rref2path(r, S), *fn), encoding="utf-8") as f:
        yield from f


def catref(r: RRef | str, fn: Iterable[str] = (), S: S_ = None) -> list[str]:
    """The lines of an artifact, or of a file."""
    if isrref(r):
        return list(catrref_(RRef(r), fn, S))
    with open(r, encoding="utf-8") as f:
        return f.readlines()


def rmref(r: RRef | DRef, S: S_ = None) -> None:
    """Removes a realization, or a derivation with all of its own. Nothing asks who uses it."""
    if isrref(r):
        dirrm(os.path.dirname(rref2path(RRef(r), S)), ignore_not_found=False)
    else:
        dirrm(dref2path(DRef(r), S), ignore_not_found=False)


def shell(r: Any = None, S: S_ = None) -> None:
    """Opens `$SHELL` in the folder of a reference, a build, a path, or the storage."""
    if r is None:
        folder = str(fsstorage(S))
    elif isrref(r):
        folder = rref2path(RRef(r), S)
    elif isdref(r):
        folder = dref2path(DRef(r), S)
    elif isinstance(r, Build):
        if r.outpaths is None:
            raise UsageError("the build has no output folders yet")
        folder = r.outpaths.val[0]
    elif os.path.exists(r):
        folder = str(r) if os.path.isdir(r) else os.path.dirname(r)
    else:
        raise UsageError(f"no folder for {r!r}")
    subprocess.run([os.environ.get("SHELL", "/bin/sh")], cwd=folder, check=False)


def shellref(r: RRef | DRef | None = None, S: S_ = None) -> None:
    shell(r, S)


def du(S: S_ = None) -> dict[DRef, tuple[int, dict[RRef, int]]]:
    """Bytes of each derivation, and of each of its realizations."""
    found = {}
    for dref in alldrefs(S):
        sizes = {rref: dirsize(rref2path(rref, S)) for rref in drefrrefs(dref, S)}
        found[dref] = (sum(sizes.values()) + os.path.getsize(drefcfgpath(dref, S)), sizes)
    return found


def find(name: Any = None, newer: float | None = None, S: S_ = None) -> list[RRef]:
    """Realizations by name (with * and ?, or of a stage) and age.

    `newer` is seconds since the epoch; zero and negative count back from now.
    """
    import time

    pattern = name if name is None or isinstance(name, str) else cfgname(drefcfg_(_target(name, S), S))
    since = None if newer is None else newer if newer > 0 else time.time() + newer
    found = []
    for dref in alldrefs(S):
        if pattern is not None and not fnmatch(dref.name, pattern):
            continue
        for rref in drefrrefs(dref, S):
            began = parsetime(rrefbstart(rref, S) or "") or store_of(S).record(rref).published / 1e9
            if since is None or began >= since:
                found.append(rref)
    return found


def diff(stageA: Any, stageB: Any, S: S_ = None) -> None:  # noqa: N803
    """Prints what `diff` says of two configs, given as references or stages."""
    paths = [drefcfgpath(_target(stage, S), S) for stage in (stageA, stageB)]
    subprocess.run(["diff", "-u", *paths], cwd="/", check=False)


def _target(stage: Any, S: S_) -> DRef:
    if isrref(stage):
        return rref2dref(RRef(stage))
    if isdref(stage):
        return DRef(stage)
    targets = instantiate(stage, S=S)[1].targets
    if len(targets) != 1:
        raise UsageError(f"a stage of {len(targets)} targets", hint="give a reference")
    return targets[0]


def linkrref(rref: RRef, destdir: str | None = None, format: str = "_rref_%(T)s_%(N)s", S: S_ = None) -> Path:
    """Makes a link to a realization, named by when it was built (T) and its name (N).

    As long as the link stands, garbage collection leaves the realization alone.
    """
    name = format % {"T": rrefbstart(rref, S) or "", "N": rref2dref(rref).name}
    return Path(link(store_of(S), rref, os.path.join(destdir or ".", name)))


def linkdref(dref: DRef, destdir: str | None = None, format: str = "_rref_%(N)s", S: S_ = None) -> Path:
    """Makes a link to a derivation."""
    path = os.path.join(destdir or ".", format % {"N": DRef(dref).name})
    forcelink(dref2path(dref, S), path)
    return Path(path)


def linkrrefs(
    rrefs: Iterable[RRef], destdir: str | None = None, format: str = "_rref_%(T)s_%(N)s", S: S_ = None
) -> list[Path]:
    return [linkrref(rref, destdir, format, S) for rref in rrefs]
