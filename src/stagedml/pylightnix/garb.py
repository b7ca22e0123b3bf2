"""Garbage collection as Pylightnix has it: what no link in some folders leads to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

from stagedml.pylightnix.bashlike import rmref
from stagedml.pylightnix.reading import store_gc
from stagedml.pylightnix.storage import S_, path2dref, path2rref, rref2path
from stagedml.pylightnix.types import DRef, RRef, UsageError
from stagedml.pylightnix.utils import dirsize


def diskspace_h(sz: int) -> str:
    """A size for people, in K, M or G."""
    unit, shift = ("K", 10) if sz < 1 << 20 else ("M", 20) if sz < 1 << 30 else ("G", 30)
    return f"{sz >> shift:4} {unit}"


def gc_exceptions(keep_paths: Iterable[str]) -> tuple[list[DRef], list[RRef]]:
    """What links at or below some paths lead to."""
    drefs: list[DRef] = []
    rrefs: list[RRef] = []
    for path in _links(keep_paths):
        rref = path2rref(path)
        dref = path2dref(path) if rref is None else None
        rrefs += [rref] if rref is not None else []
        drefs += [dref] if dref is not None else []
    return drefs, rrefs


def _links(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if os.path.islink(path):
            yield path
        for here, folders, _ in os.walk(path):
            yield from (f"{here}/{name}" for name in sorted(folders) if os.path.islink(f"{here}/{name}"))


def gc_candidates(keep: tuple[list[DRef], list[RRef]], S: S_ = None) -> tuple[set[DRef], set[RRef]]:
    return store_gc(keep_drefs=keep[0], keep_rrefs=keep[1], S=S)


def gc(keep_dirs: list[str], interactive: bool = True, verbose: bool = True, S: S_ = None) -> None:
    """Removes what no link in `keep_dirs` leads to; asks first, unless told not to.

    `stagedml gc` is the better tool: it also knows of roots, and of what running processes use.
    """
    if interactive and not (verbose and sys.__stdin__ is not None and sys.__stdin__.isatty()):
        raise UsageError("gc asks, and nobody can answer", hint="interactive=False, or run it in a terminal")
    drefs, rrefs = gc_candidates(gc_exceptions(keep_dirs), S)
    sizes = sorted((dirsize(rref2path(rref, S)), rref) for rref in rrefs)
    if verbose:
        for dref in drefs:
            print(f"\t{dref}")
        for size, rref in sizes:
            print(f"{diskspace_h(size)}\t{rref}")
        print(f"{diskspace_h(sum(size for size, _ in sizes))}\ttotal")
    if interactive and input("Remove these? [yN] ").lower() != "y":
        print("Nothing was removed")
        return
    for rref in rrefs:
        rmref(rref, S)
    for dref in drefs:
        rmref(dref, S)
