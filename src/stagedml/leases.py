"""Locks that wait and then reuse, on any file system where mkdir and rename are atomic.

A lock is a folder `locks/<key>.<generation>` that says who owns it; the highest generation holds the lock.
It is prepared under another name and renamed into place: a folder cannot be renamed onto one that is not
empty, so one process wins, and no lock is ever without an owner. The owner renews a `beat` file from a
thread. A waiter that sees the owner dead (same machine), or the beat unchanged for a whole lease by its own
monotonic clock (any machine, whatever the wall clocks say), makes the next generation. It then looks
whether the generation below is still the one it saw die, so that a lock that was released and taken again
in between is left alone. An owner that was overtaken notices before it publishes (`check`).

Rejected: flock and fcntl locks, which network folders implement badly or not at all; a lock file with a
time in it, which believes the clocks; a single lock folder that is renamed away when stale, which can rename
away a live one.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stagedml.disk import read_bytes, write_atomic
from stagedml.errors import StoreError
from stagedml.owner import is_dead, owner_id, unique_name
from stagedml.store import Store

LEASE_S = float(os.environ.get("STAGEDML_LEASE_S", "60"))
POLL_S = (0.02, 1.0)


class LostLease(StoreError):
    """The lease ran out while its owner was not looking; somebody else builds now."""


class Lease:
    """A lock that is held."""

    def __init__(self, path: str, token: str) -> None:
        self.path = path
        self.token = token
        self._beats = 0

    def beat(self) -> None:
        """Shows that the owner lives."""
        self._beats += 1
        try:
            write_atomic(f"{self.path}/beat", b"%d" % self._beats)
        except FileNotFoundError:
            return  # released or overtaken: `check` says which

    def check(self) -> None:
        """Raises `LostLease` when another process took over."""
        base, generation = _split(self.path)
        if not self._stands() or os.path.exists(f"{base}.{generation + 1}"):
            raise LostLease(
                "another process took this build over", where=self.path, hint="its result will be used"
            )

    def release(self) -> None:
        """Gives the lock up; dead generations below go with it."""
        base, generation = _split(self.path)
        if generation > 1:
            for below in [g for g in _generations(base) if g < generation]:
                _remove(f"{base}.{below}")
        if self._stands() and not _spare(self):
            _remove(self.path)

    def _stands(self) -> bool:
        return f'"{self.token}"' in _read(f"{self.path}/owner.json")


class Heart:
    """One thread of a process that renews all its leases."""

    def __init__(self) -> None:
        self._leases: set[Lease] = set()
        self._lock = threading.Lock()
        self._pid = 0
        self._wake = threading.Event()

    def add(self, lease: Lease) -> None:
        with self._lock:
            if self._pid != os.getpid():  # first use, or a fork: threads do not survive one
                self._pid, self._leases, self._wake = os.getpid(), set(), threading.Event()
                threading.Thread(target=self._run, args=(self._pid,), daemon=True, name="leases").start()
            self._leases.add(lease)

    def discard(self, lease: Lease) -> None:
        with self._lock:
            self._leases.discard(lease)

    def _run(self, pid: int) -> None:
        while self._pid == pid:
            self._wake.wait(LEASE_S / 6)
            with self._lock:
                leases = list(self._leases)
            for lease in leases:
                try:
                    lease.beat()
                except OSError:
                    continue  # a full disk or a network hiccup: the next beat may get through


_heart = Heart()


@contextmanager
def hold(store: Store, key: str, on_wait: Callable[[str], None] | None = None) -> Iterator[Lease]:
    """Holds the lock `key` for the time of the `with` body; waits while another process holds it.

    `on_wait` is told once whom this waits for. Raises `StoreError` when the store cannot be written.
    """
    lease = _acquire(f"{store.path}/locks/{key}", on_wait)
    _heart.add(lease)
    try:
        yield lease
    finally:
        _heart.discard(lease)
        lease.release()


def _acquire(base: str, on_wait: Callable[[str], None] | None) -> Lease:
    watch = _Watch()
    pause = POLL_S[0]
    told = False
    lease = _try(base, 1, None)  # most often nobody is there, and one rename is all that it takes
    while lease is None:
        top = _highest(base)
        if top == 0:
            lease = _try(base, 1, None)
        elif watch.is_stale(f"{base}.{top}"):
            lease = _try(base, top + 1, watch.token)
        else:
            lease = None
            if on_wait is not None and not told and watch.who:
                told = True
                on_wait(watch.who)
        if lease is None:
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_S[1])
    return lease


def _try(base: str, generation: int, below: str | None) -> Lease | None:
    """Takes one generation; `below` is the token of the dead owner that is overtaken."""
    path = f"{base}.{generation}"
    folder = os.path.dirname(base)
    spares = _spares.get((folder, owner_id()))
    is_spare = bool(spares)
    token = spares.pop() if spares else unique_name()
    prepared = f"{folder}/{token}.new"
    try:
        if not is_spare:
            os.mkdir(prepared)
            with open(f"{prepared}/owner.json", "w", encoding="utf-8") as f:
                json.dump({"token": token, "who": _who()}, f)
        os.rename(prepared, path)
    except OSError as e:
        if _owner(path).get("token") != token:  # else a network folder did it and was asked again
            _empty(prepared)
            if e.errno in (errno.EEXIST, errno.ENOTEMPTY) or is_spare:
                return None
            raise StoreError(
                f"cannot lock: {e.strerror}", where=path, hint="check the store's permissions and the space"
            ) from e
    mine = Lease(path, token)
    if _highest(base) != generation or (
        below is not None and _owner(f"{base}.{generation - 1}").get("token", "") != below
    ):
        _remove(path)
        return None
    return mine


_spares: dict[tuple[str, str], list[str]] = {}  # (folder, owner) -> tokens of the folders at hand


@contextmanager
def spare_locks(store: Store) -> Iterator[None]:
    """Keeps the folders of this process's locks for further locks, until the `with` body ends."""
    key = (f"{store.path}/locks", owner_id())
    if key in _spares:  # a realize inside a realize: the outer one tidies up
        yield
        return
    _spares[key] = []
    try:
        yield
    finally:
        for token in _spares.pop(key):
            _empty(f"{key[0]}/{token}.new")


def _spare(lease: Lease) -> bool:
    folder = os.path.dirname(lease.path)
    spares = _spares.get((folder, owner_id()))
    if spares is None:
        return False
    try:
        os.rename(lease.path, f"{folder}/{lease.token}.new")
    except OSError:
        return False
    spares.append(lease.token)
    return True


def sweep(store: Store) -> None:
    """Removes the locks that processes of this machine left behind when they died."""
    folder = f"{store.path}/locks"
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        if name.endswith(".gone") or (name.endswith(".new") and is_dead(name)):
            _empty(path)
        elif is_dead(token := _owner(path).get("token", "")):
            base, generation = _split(path)
            lease = _try(base, generation + 1, token) if _highest(base) == generation else None
            if lease is not None:
                lease.release()


class _Watch:
    """Looks at one lock over time, by this process's monotonic clock."""

    def __init__(self) -> None:
        self.token = ""
        self.who = ""
        self._seen: tuple[str, str, str] = ("", "", "")
        self._since = 0.0

    def is_stale(self, path: str) -> bool:
        owner = _owner(path)
        self.token, self.who = owner.get("token", ""), owner.get("who", "a process that has just started")
        dead = is_dead(self.token) if self.token else None
        if dead is not None:
            return dead
        seen = (path, self.token, _read(f"{path}/beat"))
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since > LEASE_S


def _who() -> str:
    return f"{os.uname().nodename}, process {os.getpid()}"


def _read(path: str) -> str:
    try:
        return read_bytes(path).decode("utf-8", "replace")
    except OSError:
        return ""


def _owner(path: str) -> dict[str, Any]:
    try:
        data = json.loads(_read(f"{path}/owner.json") or "{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _split(path: str) -> tuple[str, int]:
    base, _, generation = path.rpartition(".")
    return base, int(generation)


def _generations(base: str) -> list[int]:
    folder, _, key = base.rpartition("/")
    names = [n.removeprefix(key + ".") for n in os.listdir(folder) if n.startswith(key + ".")]
    return [int(n) for n in names if n.isdigit()]


def _highest(base: str) -> int:
    return max(_generations(base), default=0)


def _remove(path: str) -> None:
    """Removes a lock folder; somebody else may be doing the same."""
    gone = f"{path}.{os.urandom(4).hex()}.gone"
    try:
        os.rename(path, gone)
    except FileNotFoundError:
        return
    _empty(gone)


def _empty(gone: str) -> None:
    try:
        for name in os.listdir(gone):
            os.unlink(f"{gone}/{name}")
        os.rmdir(gone)
    except OSError as e:
        if e.errno not in (errno.ENOENT, errno.ENOTEMPTY):  # another process empties it too
            raise
