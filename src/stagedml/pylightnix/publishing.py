# ruff: noqa: N802 - the interface's names
"""Putting folders into the store as realizations, and finding those that are there."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from logging import getLogger
from typing import Any

from stagedml.build import instance_seed
from stagedml.disk import remove_tree
from stagedml.hashing import hash_tree, walk
from stagedml.provenance import provenance
from stagedml.pylightnix.reading import drefdeps1
from stagedml.pylightnix.storage import S_, store_of
from stagedml.pylightnix.types import Context, DRef, RRef, UsageError
from stagedml.record import Record
from stagedml.store import Store

logger = getLogger(__name__)


def direct_context(context: Context, dref: DRef, S: S_ = None) -> dict[str, list[str]]:
    """The context as records hold it: of the direct dependencies only; theirs are in their own records."""
    return {str(dep): [str(x) for x in context[dep]] for dep in sorted(drefdeps1([dref], S))}


def drefrrefsC(dref: DRef, context: Context, S: S_ = None) -> Iterable[RRef]:
    """The realizations of a derivation that were built in a context; damaged ones are put aside."""
    return [record.rref for record in _whole(store_of(S), dref, direct_context(context, dref, S))]


def _whole(store: Store, dref: DRef, context: dict[str, list[str]]) -> list[Record]:
    records, damaged = store.look(dref)
    for folder, problem in damaged:
        store.quarantine(folder, problem)
    found = []
    for record in records:
        problems = store.problems(record) if record.context == context else []
        if problems:
            logger.warning("%s is damaged and put into quarantine: %s", record.rref, problems[0])
            store.quarantine(record.folder, "; ".join(problems))
        elif record.context == context:
            found.append(record)
    return found


def mkrealization(dref: DRef, l: Context, o: str, S: S_ = None) -> RRef:  # noqa: E741
    """Publishes a folder as a realization of `dref` in the context `l`; the folder goes away."""
    return publish_folder(store_of(S), dref, direct_context(l, dref, S), o, began=(time.time(), 0.0))


def publish_folder(
    store: Store,
    dref: DRef,
    context: dict[str, list[str]],
    folder: str,
    *,
    began: tuple[float, float],
    log: str = "",
    code: str = "",
    more: dict[str, Any] | None = None,
) -> RRef:
    """Publishes a folder. What equals a realization that is there already is that realization."""
    prepared = _moved_in(store, folder)
    if log and os.path.exists(log):
        shutil.copyfile(log, f"{prepared}/log.txt")
    # as in Pylightnix, files whose names start with an underscore do not count
    volatile = [name for name, _ in walk(f"{prepared}/out") if os.path.basename(name).startswith("_")]
    records = _whole(store, dref, context)
    if records:
        manifest = hash_tree(f"{prepared}/out")
        files = {name: entry for name, entry in manifest.items() if name not in volatile}
        same = [record.rref for record in records if record.files == files]
        if same:
            remove_tree(prepared)
            return same[0]
    taken = {record.instance for record in records}
    index = next(i for i in range(len(taken) + 1) if i not in taken)
    seed = instance_seed(store.config(dref).peek().get("seed"), index)
    about = provenance(store, started=began[0], seconds=began[1], seed=seed, index=index, resumes=[])
    about |= more or {}
    return store.publish(
        prepared,
        dref,
        context=context,
        index=index,
        seed=seed,
        volatile=volatile,
        provenance=about,
        code=code,
    )


def _moved_in(store: Store, folder: str) -> str:
    """A prepared folder of the store whose `out` is `folder`: one of the store's own, or else moved there."""
    if not os.path.isdir(folder):
        raise UsageError("the realizer's output is no folder", where=str(folder))
    path = os.path.realpath(folder)
    own = os.path.realpath(f"{store.path}/tmp")
    if os.path.basename(path) == "out" and os.path.dirname(os.path.dirname(path)) == own:
        return os.path.dirname(path)
    prepared = store.new_tmp()
    shutil.move(path, f"{prepared}/out")
    return prepared
