"""Kills and failures at every system call that touches the store, and crowds of processes.

The full run is `make torture` (minutes); a sample of the points runs with the other tests.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from stagedml import Store
from stagedml.browse import verify

HERE = Path(__file__).parent
SIZE = 6


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fault library, compiled for this machine."""
    cc = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if cc is None:
        pytest.skip("no C compiler: the faults below the program need one")
    path = tmp_path_factory.mktemp("shim") / "faults.so"
    subprocess.run(
        [cc, "-shared", "-fPIC", "-O1", "-o", str(path), str(HERE / "faults.c"), "-ldl"], check=True
    )
    return path


def work(command: str, store: Path, *, seed: int = 1, size: int = SIZE, **env: str) -> tuple[int, str, str]:
    """Runs the workload; (status, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, str(HERE / "workload.py"), command, str(store), str(seed), str(size)],
        capture_output=True, text=True, env={**os.environ, **env}, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def points(shim: Path, command: str, store: Path, report: Path) -> int:
    """How many calls an undisturbed run makes."""
    env = {"LD_PRELOAD": str(shim), "FAULT_UNDER": str(store), "FAULT_REPORT": str(report)}
    status, _, err = work(command, store, **env)
    assert status == 0, err
    return int(report.read_text())


def check_whole(store: Path) -> None:
    """Every byte is as published."""
    assert [p for _, _, problems in verify(Store(store)) for p in problems] == []


def prepare(command: str, store: Path) -> None:
    """Brings a fresh store into the state in which a command starts."""
    if command in ("heal", "collect"):
        assert work("realize", store)[0] == 0
    if command == "heal":
        assert work("damage", store)[0] == 0


def disturb(shim: Path, tmp_path: Path, command: str, *, step: int, error: int = 0) -> int:
    """Runs a command with a fault at every `step`-th call; checks the store each time. Returns the count."""
    undisturbed = tmp_path / "undisturbed"
    prepare(command, undisturbed)
    total = points(shim, command, undisturbed, tmp_path / "count")
    expected = work("realize", undisturbed)[1]
    ready = tmp_path / "ready"
    prepare(command, ready)
    hit = 0
    for at in range(1 + hash_free_offset(command, step), total + 1, step):
        store = tmp_path / f"store {at}"
        if ready.exists():
            shutil.copytree(ready, store, symlinks=True)
        env = {"LD_PRELOAD": str(shim), "FAULT_UNDER": str(store), "FAULT_AT": str(at)}
        if error:
            env["FAULT_ERRNO"] = str(error)
        status, _, err = work(command, store, **env)
        if error:
            assert status in (0, 2), f"call {at}: {err}"
            # the tail of a stage's own log, indented, may hold one; the program's own output never does
            assert not any(line.startswith("Traceback") for line in err.splitlines()), f"call {at}: {err}"
        else:
            assert status in (-signal.SIGKILL, 0), f"call {at}: {err}"
        hit += status != 0
        if command != "heal":
            check_whole(store)
        status, out, err = work("realize", store)
        assert (status, out) == (0, expected), f"after call {at}: {err}"
        check_whole(store)
        left = {d: os.listdir(store / d) for d in ("locks", "scratch", "tmp")}
        assert left == {"locks": [], "scratch": [], "tmp": []}, f"after call {at}"
        shutil.rmtree(store)
    return hit


def hash_free_offset(command: str, step: int) -> int:
    """Another starting point for each command, so that samples do not all hit the same calls."""
    return sum(command.encode()) % step


COMMANDS = ["realize", "heal", "collect"]


@pytest.mark.parametrize("command", COMMANDS)
def test_law_5_a_kill_at_some_calls_leaves_a_whole_store(shim: Path, tmp_path: Path, command: str) -> None:
    """A sample of the points: the store verifies, and the next run gives the undisturbed references."""
    assert disturb(shim, tmp_path, command, step=29) > 0


def test_a_full_disk_is_one_clear_error(shim: Path, tmp_path: Path) -> None:
    """A sample of the points: status 2, no traceback, nothing lost, and the next run goes on."""
    assert disturb(shim, tmp_path, "realize", step=29, error=errno.ENOSPC) > 0


@pytest.mark.torture
@pytest.mark.parametrize("command", COMMANDS)
def test_law_5_a_kill_at_every_call_leaves_a_whole_store(
    shim: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All points of building, healing and collecting."""
    hit = disturb(shim, tmp_path, command, step=1)
    with capsys.disabled():
        print(f"\n{command}: killed at {hit} points")


@pytest.mark.torture
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
def test_a_failure_of_every_call_is_one_clear_error(
    shim: Path, tmp_path: Path, error: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """All points: disk full, I/O error, permission denied, read-only."""
    hit = disturb(shim, tmp_path, "realize", step=1, error=error)
    with capsys.disabled():
        print(f"\n{errno.errorcode[error]}: {hit} points ended in an error")


def crowd(tmp_path: Path, *, size: int, processes: int, kills: int, seed: int) -> int:
    """Processes on one store, some killed at random and started again; returns how many were killed."""
    serial, shared = tmp_path / "serial", tmp_path / "shared"
    status, expected, err = work("realize", serial, seed=seed, size=size)
    assert status == 0, err
    r = random.Random(seed)
    logs = tmp_path / "log"

    def start() -> subprocess.Popen[bytes]:
        with open(logs, "ab") as log:
            return subprocess.Popen(
                [sys.executable, str(HERE / "workload.py"), "realize", str(shared), str(seed), str(size)],
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip

    running = [start() for _ in range(processes)]
    killed = 0
    for _ in range(kills):
        time.sleep(r.uniform(0.02, 0.3))  # the moment of a kill is random on purpose
        victim = r.randrange(processes)
        if running[victim].poll() is None:
            running[victim].kill()
            killed += 1
        running[victim].communicate()
        running[victim] = start()
    answers = Counter(p.communicate(timeout=300)[0].decode() for p in running)
    assert answers == {expected: processes}
    store = Store(shared)
    assert [len(store.records(d)) for d in store.drefs()] == [1] * size
    built = Counter(line.split()[1] for line in logs.read_text().splitlines() if line.startswith("built"))
    assert max(built.values()) == 1
    assert size - killed <= len(built) <= size
    check_whole(shared)
    return killed


def test_law_6_a_small_crowd_builds_each_thing_once(tmp_path: Path) -> None:
    """Four processes, some killed, one graph of 30 stages."""
    crowd(tmp_path, size=30, processes=4, kills=4, seed=3)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(5))
def test_law_6_a_crowd_builds_each_thing_once(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight processes, forty kills, one graph of 200 stages; the same references as a serial run."""
    killed = crowd(tmp_path, size=200, processes=8, kills=40, seed=seed)
    with capsys.disabled():
        print(f"\n8 processes, 200 stages: {killed} killed")
