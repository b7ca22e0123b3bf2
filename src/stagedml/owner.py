"""Who holds something in the store, and whether it still lives.

A process is named by its boot, its process-id namespace, its id and its start time; of another process on
the same boot and in the same namespace this says for certain whether it lives. Of one elsewhere (another
machine, another container) nothing is known here: there the lease decides.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from functools import cache


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


@cache
def place() -> str:
    """This boot and process-id namespace, in 12 hexadecimal digits."""
    import hashlib

    boot = _read("/proc/sys/kernel/random/boot_id").strip() or os.uname().nodename
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12]


def start_time(pid: int) -> str:
    """When a process started, in clock ticks after boot; empty when there is no such process."""
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return ""
    fields = text[text.rindex(")") + 2 :].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


_own: tuple[int, str] = (0, "")


def owner_id() -> str:
    """`<place>-<pid>-<start time>` of this process, also right after a fork."""
    global _own
    pid = os.getpid()
    if _own[0] != pid:
        _own = (pid, f"{place()}-{pid}-{start_time(pid) or 0}")
    return _own[1]


_names: tuple[str, str, Iterator[int]] = ("", "", iter(()))


def unique_name() -> str:
    """A name that nobody else uses, which begins with its owner: `<owner>-<hex>`."""
    global _names
    owner = owner_id()
    if _names[0] != owner:  # first use, or a fork
        _names = owner, os.urandom(4).hex(), itertools.count()
    _, salt, numbers = _names
    return f"{owner}-{salt}{next(numbers):04x}"


def is_dead(owner: str) -> bool | None:
    """True: gone for certain; False: alive; None: it is elsewhere, and only its lease can tell."""
    try:
        where, pid, started = owner.split("-")[:3]
        number = int(pid)
    except ValueError:
        return None
    if where != place():
        return None
    if not os.path.isdir("/proc/self"):  # no procfs: fall back to a signal that does nothing
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    return start_time(number) != started
