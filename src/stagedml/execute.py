"""Building one instance of one derivation: lock, look again, run the realizer, publish.

Everything an executor needs is in `Task` and `execute`, so that an executor is only a way of calling
`execute` somewhere: here, in a forked process, on another machine.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from stagedml import build as build_module
from stagedml.build import Build, instance_seed
from stagedml.code import record_code
from stagedml.disk import remove_tree
from stagedml.errors import BuildError, MissingError, StagedmlError
from stagedml.hashing import canonical, ref_digest
from stagedml.leases import LostLease, hold
from stagedml.owner import is_dead
from stagedml.provenance import provenance, reset_peak_memory
from stagedml.record import Context, Record
from stagedml.refs import DRef, RRef
from stagedml.stage import Derivation
from stagedml.store import Store, using

DURABLE_S = 1.0  # a build that took longer is synced to the disk: that costs little beside it
TAIL_LINES = 20
DISK_TROUBLE = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)


class Task(NamedTuple):
    """One instance to build."""

    store: Store
    derivation: Derivation
    context: Context
    instance: int
    workers: int = 1
    newer_than: int = -1  # rebuild unless there is a realization published after this (ns)
    on_wait: Callable[[str], None] | None = None

    @property
    def dref(self) -> DRef:
        return self.derivation.dref


class Outcome(NamedTuple):
    """What became of a task."""

    task: Task
    rref: RRef | None
    built: bool
    seconds: float
    error: StagedmlError | None = None


def task_key(dref: DRef, context: Context, index: int) -> str:
    """The name of a task's lock and scratch: one derivation, one context, one instance."""
    return f"{dref.digest}-{ref_digest('task:1', canonical([cast(Any, context), index]))}"


def find(task: Task) -> Record | None:
    """The realization that a task would build, if it is there and whole."""
    for record in reversed(task.store.records(task.dref)):
        if (
            record.instance == task.instance
            and record.context == task.context
            and record.published > task.newer_than
            and not task.store.problems(record)
        ):
            return record
    return None


def execute(task: Task) -> Outcome:
    """Builds a task's realization unless another process has done so meanwhile.

    Errors of the realizer come back in the outcome as a `BuildError` with the tail of its log; Ctrl-C and
    the like propagate. Scratch stays when a build fails, and is used when it is tried again.
    """
    begun = time.monotonic()
    key = task_key(task.dref, task.context, task.instance)
    try:
        with hold(task.store, key, task.on_wait) as lease:
            found = find(task)
            if found is not None:
                return Outcome(task, found.rref, False, time.monotonic() - begun)
            rref = _build(task, key, lease.check)
            return Outcome(task, rref, True, time.monotonic() - begun)
    except LostLease:
        return execute(task)
    except StagedmlError as e:
        return Outcome(task, None, False, time.monotonic() - begun, e)


def _build(task: Task, key: str, fence: Callable[[], None]) -> RRef:
    d = task.derivation
    b = prepare(task, key)
    started, begun = time.time(), time.monotonic()
    try:
        reset_peak_memory()
        run_realizer(b, d)
        seconds = time.monotonic() - begun
        return publish(b, d, started=started, seconds=seconds, fence=fence, newer_than=task.newer_than)
    except OSError as e:
        raise BuildError(f"{e.strerror}: {e.filename or d.dref}", where=d.config.name, dref=d.dref) from e
    finally:
        discard(b)


def prepare(task: Task, key: str = "") -> Build:
    """The build of a task (of that `task_key`), its folders made. `MissingError` without a realizer."""
    store, d = task.store, task.derivation
    if d.realizer is None:
        raise MissingError(
            f"{d.dref} is not realized, and nobody here knows how to build it",
            where=store.path,
            hint="instantiate the stage that makes it in this process",
        )
    store.write_config(d.dref, d.config)
    return Build(
        store,
        d.dref,
        context=task.context,
        index=task.instance,
        seed=instance_seed(d.config.peek().get("seed"), task.instance),
        folder=store.new_tmp(),
        scratch=f"{store.path}/scratch/{key or task_key(d.dref, task.context, task.instance)}",
        workers=task.workers,
        hints=d.hints,
    )


def publish(
    b: Build,
    d: Derivation,
    *,
    started: float,
    seconds: float,
    fence: Callable[[], None],
    newer_than: int = -1,
) -> RRef:
    """Checks the promises of a build and of its siblings, publishes them all, and drops their scratch."""
    rrefs = []
    for one in (b, *b.siblings):
        one.check_promises()
    code = record_code(b.store, d.realizer)
    for one in (b, *b.siblings):
        record = provenance(
            b.store,
            started=started,
            seconds=seconds + one.earlier_seconds,
            seed=one.seed,
            index=one.instance,
            resumes=one.resumes,
        )
        fence()
        rrefs.append(
            b.store.publish(
                one.folder,
                d.dref,
                context=one.context,
                index=one.instance,
                seed=one.seed,
                volatile=one.volatile(),
                provenance=record,
                code=code,
                newer_than=newer_than,
                durable=seconds > DURABLE_S,
            )
        )
        one.drop_scratch()
    return rrefs[0]


def discard(b: Build) -> None:
    """Removes the prepared folders of a build that was not published; its scratch stays."""
    for one in (b, *b.siblings):
        remove_tree(one.folder)


def run_realizer(b: Build, d: Derivation) -> None:
    """Runs a realizer with its output kept in the log. Raises `BuildError` with the log's tail."""
    assert d.realizer is not None
    log = Log(f"{b.folder}/log.txt")
    try:
        with using(b.store), captured(log):
            d.realizer(b)
    except StagedmlError:
        raise
    except Exception as e:
        if isinstance(e, OSError) and e.errno in DISK_TROUBLE:  # not the realizer's fault: no traceback
            raise BuildError(
                f"{e.strerror}: {e.filename or b.folder}",
                where=d.config.name,
                hint="check the disk, then run again: it goes on from its scratch folder",
                dref=d.dref,
            ) from e
        import traceback

        log.write("".join(traceback.format_exception(e)))
        raise BuildError(
            f"{type(e).__name__}: {e}",
            where=d.config.name,
            hint=f"the end of its log:\n{_indent(log.tail())}" if log.tail() else "",
            dref=d.dref,
            log_tail=log.tail(),
        ) from e
    finally:
        log.close()


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


class Log:
    """A stage's stdout and stderr; the file is made when there is something to write."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: Any = None
        self._tail: list[str] = []
        self._closed = False

    def write(self, text: str) -> None:
        if self._closed:
            return  # by a library whose handler kept the stream: this log is sealed in a realization
        if self._file is None:
            self._file = open(self.path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        self._file.write(text)
        self._tail = ["".join(self._tail) + text]
        if len(self._tail[0]) > 16_384:
            self._tail = [self._tail[0][-8192:]]

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def tail(self) -> str:
        """The last lines."""
        return "\n".join("".join(self._tail).splitlines()[-TAIL_LINES:])

    def close(self) -> None:
        self._closed = True
        if self._file is not None:
            self._file.close()
            self._file = None


class Tee:
    """A text stream that also goes to a log."""

    def __init__(self, stream: Any, log: Log) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._log.write(text)
        self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._log.flush()
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def captured(log: Log) -> Iterator[None]:
    """What is printed in the body goes to stderr and to the log; progress goes only to the terminal.

    Stdout stays with the caller: a report's cell or a script that prints a reference shows the same whether
    its stages were built or reused.
    """
    out, err = sys.stdout, sys.stderr
    before = build_module.terminal()
    if before is None:
        build_module.set_terminal(err)
    sys.stdout, sys.stderr = Tee(err, log), Tee(err, log)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        build_module.set_terminal(before)


def remove_dead_tmp(store: Store) -> None:
    """Removes what dead processes of this machine left under `tmp`."""
    for name in os.listdir(f"{store.path}/tmp"):
        if is_dead(name):
            remove_tree(f"{store.path}/tmp/{name}")
