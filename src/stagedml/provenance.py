"""What is recorded of a build: who, when, where, with what, how long; none of it enters a digest."""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from typing import Any

from stagedml.disk import read_bytes, write_atomic
from stagedml.hashing import canonical, ref_digest
from stagedml.store import Store

INSTANT_S = 0.01


def reset_peak_memory() -> None:
    """Starts a new measurement of this process's peak memory, where the system can."""
    try:
        fd = os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return  # then the peak is the process's, which is what `peak_memory` says it is
    try:
        os.write(fd, b"5")
    finally:
        os.close(fd)


def peak_memory(seconds: float) -> int:
    """Peak resident memory in bytes since the last reset `seconds` ago, or since the process began.

    Not by `getrusage` where it can be helped: that also counts what ran in this process before its `exec`.
    No peak that matters comes and goes in an instant; then it is what is resident now, which is told faster.
    """
    try:
        if seconds < INSTANT_S:
            return int(read_bytes("/proc/self/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        status = read_bytes("/proc/self/status")
        return int(status[status.index(b"VmHWM:") + 6 :].split(None, 1)[0]) * 1024
    except (OSError, ValueError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@cache
def git_state(folder: str) -> dict[str, Any]:
    """{commit, dirty} of the checkout around a folder; empty outside one or without git."""
    here = folder
    while not os.path.exists(f"{here}/.git"):
        parent = os.path.dirname(here)
        if parent == here:
            return {}
        here = parent
    import subprocess

    command = ["git", "-C", here, "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    commit, dirty = "", False
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith("# branch.oid "):
            commit = line.split()[2]
        dirty = dirty or not line.startswith("#")
    return {"commit": commit, "dirty": dirty}


@cache
def distributions() -> dict[str, str]:
    """Installed distributions and their versions, read off the folders' names."""
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                dist, _, version = name.removesuffix(".dist-info").partition("-")
                found.setdefault(dist.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))


def devices() -> list[str]:
    """What a training could run on: CPUs, and the GPUs that a loaded framework sees."""
    found = [f"cpu x{_cpus()}"]
    if "tensorflow" in sys.modules:
        gpus = sys.modules["tensorflow"].config.list_physical_devices("GPU")
        found += [f"tensorflow {d.name}" for d in gpus]
    if "jax" in sys.modules:
        found += [f"jax {d.device_kind}" for d in sys.modules["jax"].devices() if d.platform != "cpu"]
    return found


_cpus = cache(os.cpu_count)  # asking the system is slow, next to a small build
_environments: dict[tuple[str, bool, bool], str] = {}


def environment(store: Store) -> str:
    """Records this process's environment once in the store's notes; returns its digest."""
    key = (store.path, "tensorflow" in sys.modules, "jax" in sys.modules)  # they see more devices
    if key not in _environments:
        uname = os.uname()
        data: Any = {
            "python": sys.version.split()[0],
            "system": f"{uname.sysname} {uname.release} {uname.machine}",
            "devices": devices(),
            "distributions": distributions(),
        }
        digest = ref_digest("environment:1", canonical(data))
        path = f"{store.path}/notes/environment-{digest}.json"
        if not os.path.exists(path):
            write_atomic(path, canonical(data))
        _environments[key] = digest
    return _environments[key]


def provenance(
    store: Store, *, started: float, seconds: float, seed: int, index: int, resumes: list[str]
) -> dict[str, Any]:
    """The record of one build. `started`: seconds since the epoch; `seconds` of work, earlier tries too."""
    folder = os.getcwd()
    return {
        "who": _user(),
        "host": _host(),
        "pid": os.getpid(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(seconds, 3),
        "peak_memory": peak_memory(seconds),
        "instance": index,
        "seed": seed,
        "resumes": resumes,
        "command": sys.argv,
        "folder": folder,
        "git": git_state(folder),
        "environment": environment(store),
    }


@cache
def _host() -> str:
    return os.uname().nodename


@cache
def _user() -> str:
    name = os.environ.get("USER") or os.environ.get("LOGNAME")
    if name:
        return name
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
