"""Which processes use what: so that the garbage collector leaves it alone.

Each process that realizes something keeps one file, `running/<owner>.json`, with the derivations that it
needs; it goes when the process ends, and a dead owner's file counts for nothing. The collector takes the
lock `gc` before it looks at these files, and a realize that finds the lock waits for it after writing its
own file: whichever comes first, the other sees it.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Iterable

from stagedml.disk import write_atomic
from stagedml.errors import StoreError
from stagedml.owner import is_dead, owner_id
from stagedml.store import Store

STALE_S = 24 * 3600.0  # a file of another machine that was not renewed for a day

_mine: dict[str, tuple[str, set[str]]] = {}  # path of the file -> (owner, derivations)


def announce(store: Store, drefs: Iterable[str]) -> None:
    """Says that this process uses these derivations until it ends; waits for a collection under way."""
    if store.readonly:
        return
    path = f"{store.path}/running/{owner_id()}.json"
    known = _mine.get(path)
    if known is None:
        if not _mine:
            atexit.register(_withdraw)
        known = _mine[path] = (owner_id(), set())
    before = len(known[1])
    known[1].update(drefs)
    if len(known[1]) > before or not os.path.exists(path):
        try:
            write_atomic(path, json.dumps(sorted(known[1])).encode())
        except OSError as e:
            raise StoreError(f"cannot write to the store: {e.strerror}", where=path) from e
    while collecting(store):
        time.sleep(0.05)


def collecting(store: Store) -> bool:
    """Whether a living garbage collector holds its lock."""
    for name in os.listdir(f"{store.path}/locks"):
        if name.startswith("gc."):
            try:
                with open(f"{store.path}/locks/{name}/owner.json", encoding="utf-8") as f:
                    return is_dead(json.load(f)["token"]) is not True
            except (OSError, ValueError, KeyError):
                continue
    return False


def in_use(store: Store) -> set[str]:
    """The derivations that living processes use; files of the dead are removed on the way."""
    used: set[str] = set()
    for name in os.listdir(f"{store.path}/running"):
        path = f"{store.path}/running/{name}"
        if not name.endswith(".json"):
            continue
        dead = is_dead(name.removesuffix(".json"))
        try:
            if dead is None:
                dead = time.time() - os.stat(path).st_mtime > STALE_S
            if dead:
                os.unlink(path)
                continue
            with open(path, encoding="utf-8") as f:
                used.update(json.load(f))
        except FileNotFoundError:
            continue
    return used


def _withdraw() -> None:
    for path, (owner, _) in _mine.items():
        if owner == owner_id():  # a forked child leaves its parent's file alone
            try:
                os.unlink(path)
            except OSError:
                continue  # the store went away before the process did; a dead owner's file counts for nothing
