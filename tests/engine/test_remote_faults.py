"""Remote stores when processes are killed or meet: whole realizations or none, and the next one goes on."""

from __future__ import annotations

import os
import signal
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from remotes import files_of, picture, published, put, workbench

from stagedml import RRef, Store
from stagedml.errors import MissingError
from stagedml.remote import Remote, pull, push

CALLS = ("makedirs", "pipe_file", "put_file", "mv", "get_file")


def forked(work: Callable[[], object]) -> int:
    """Runs something in a process of its own; returns the process's id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def status(pid: int) -> int:
    """How a process ended: 0, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def mortal(url: str, calls: int) -> Remote:
    """A remote store whose user is killed at that call to the file system, halfway through a write."""
    remote = Remote(url)
    fs = remote.files._at.fs
    left = [calls]

    def wrap(name: str, call: Any) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                if name in ("pipe_file", "put_file", "get_file"):
                    place, source = args[:: 1 if name == "pipe_file" else -1]
                    data = source if isinstance(source, bytes) else Path(source).read_bytes()
                    Path(place).write_bytes(data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return called

    for name in CALLS:
        setattr(fs, name, wrap(name, getattr(fs, name)))
    return remote


def sample(store: Store) -> tuple[RRef, RRef]:
    """A realization and one that was built from it."""
    below = put(store, "below", {"a file": ("f", b"below"), "empty": ("d", b"")})
    tree = {"t": ("f", b"top" * 999), "again": ("x", b"below"), "l": ("l", "t")}
    return below, put(store, "top", tree, logs={"x": ("f", b"log")}, built_from=(below,))  # type: ignore[arg-type]


def test_a_pusher_killed_at_any_write(tmp_path: Path) -> None:
    """What can be seen then is whole; a second push completes, and tidies up."""
    here = Store(tmp_path / "here")
    rrefs = sample(here)
    kills = 0
    while True:
        with workbench() as folder:
            url = str(folder / "remote")
            ended = status(forked(lambda url=url, n=kills + 1: list(push(mortal(url, n), here, rrefs[1:]))))
            if ended == 0:
                break
            assert ended == -signal.SIGKILL
            kills += 1
            seen = {f for f in files_of(folder / "remote") if f.endswith(".record")}
            for i, rref in enumerate(rrefs):
                if any(rref.digest in f for f in seen):
                    list(pull(Remote(url), Store(folder / f"there{i}"), rref))
            assert [m.was_there for m in push(Remote(url), here, rrefs[1:])].count(True) == len(seen)
            there = Store(folder / "there")
            list(pull(Remote(url), there, rrefs[1]))
            assert published(there) == set(rrefs)
            assert os.listdir(folder / "remote/tmp") == []
    assert kills > 20


def test_a_puller_killed_at_any_file(tmp_path: Path) -> None:
    """The store holds whole realizations or none; a second pull goes on, and leaves nothing behind."""
    here = Store(tmp_path / "here")
    rrefs = sample(here)
    url = str(tmp_path / "remote")
    list(push(Remote(url), here, rrefs[1:]))
    kills = 0
    while True:
        with workbench() as folder:
            there = Store(folder / "there")
            ended = status(
                forked(lambda there=there, n=kills + 1: list(pull(mortal(url, n), there, rrefs[1])))
            )
            before = published(there)
            assert before <= set(rrefs)
            if ended == 0:
                break
            kills += 1
            moved = list(pull(Remote(url), there, rrefs[1]))
            assert {m.rref for m in moved if m.was_there} == before
            assert published(there) == set(rrefs)
            assert os.listdir(there.dir("tmp")) == os.listdir(there.dir("locks")) == []
    assert kills > 4


@pytest.mark.parametrize("broken", [False, True])
def test_many_at_once(tmp_path: Path, broken: bool) -> None:
    """Processes that push, and then pull, the same at the same time end well and leave one whole result."""
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    below, top = sample(here)
    url = str(tmp_path / "remote")
    pids = [forked(lambda: list(push(Remote(url), here, [top]))) for _ in range(4)]
    assert [status(pid) for pid in pids] == [0] * 4
    if broken:
        list(pull(Remote(url), there, top))
        file = Path(there.path_of(top), "t")
        file.chmod(0o644)
        file.write_bytes(b"bad")
    pids = [forked(lambda: list(pull(Remote(url), there, top))) for _ in range(4)]
    assert [status(pid) for pid in pids] == [0] * 4
    assert published(there) == {below, top}
    assert picture(there, top) == picture(here, top)
    assert os.listdir(there.dir("tmp")) == os.listdir(there.dir("locks")) == []
    assert os.listdir(tmp_path / "remote/tmp") == []
    assert len([n for n in os.listdir(there.dir("quarantine")) if n.endswith(".txt")]) == broken


def test_a_failing_push_shows_nothing(tmp_path: Path) -> None:
    """A write that fails ends the push with one error; no record is there, and nothing half-written."""
    here = Store(tmp_path / "here")
    _, top = sample(here)
    remote = Remote(str(tmp_path / "remote"))
    list(push(remote, here, []))
    (tmp_path / "remote/blobs").write_text("in the way")
    with pytest.raises(Exception, match="cannot be written") as e:
        list(push(remote, here, [top]))
    assert type(e.value).__name__ == "RemoteError"
    with pytest.raises(MissingError):
        remote.entry(top)
    assert os.listdir(tmp_path / "remote/tmp") == []


def test_memory_does_not_grow_with_files(tmp_path: Path) -> None:
    """A file goes and comes in pieces."""
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    size = 1 << 25
    rref = put(here, "big", {"big": ("f", bytes(size))})
    url = f"file://{tmp_path}/remote"
    tracemalloc.start()
    try:
        list(push(Remote(url), here, [rref]))
        list(pull(Remote(url), there, rref))
        assert tracemalloc.get_traced_memory()[1] < size / 4
    finally:
        tracemalloc.stop()
    assert published(there) == {rref}
