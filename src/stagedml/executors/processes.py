"""Tasks side by side, each in a forked process of its own.

A fork, because realizers may be closures, which no pickle carries, and because a stage that took 20 GB or
initialised a GPU gives all of it back when its process ends. The child answers with one line of JSON on a
pipe; what it built is in the store. Its stdout and stderr, those of libraries written in C included, go to
the stage's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections import deque
from typing import Any, NoReturn

from stagedml.errors import BuildError, StagedmlError
from stagedml.execute import Outcome, Task, execute
from stagedml.refs import RRef

GRACE_S = 10.0  # between SIGTERM, at which a training writes a checkpoint, and SIGKILL
AGAIN_S = 1.0  # between one SIGTERM and the next


class Processes:
    """At most `jobs` tasks at a time, each in a process of its own."""

    def __init__(self, jobs: int) -> None:
        self.jobs = max(1, jobs)
        self._queue: deque[Task] = deque()
        self._running: dict[
            int, tuple[int, Task, float, bytearray]
        ] = {}  # pipe -> (pid, task, begun, answer)

    def submit(self, task: Task) -> None:
        self._queue.append(task)

    def wait(self) -> Outcome:
        while self._queue and len(self._running) < self.jobs:
            self._start(self._queue.popleft())
        while True:
            ready, _, _ = select.select(list(self._running), [], [])
            for pipe in ready:
                pid, task, begun, answer = self._running[pipe]
                piece = os.read(pipe, 65536)
                answer += piece
                if not piece:
                    os.close(pipe)
                    del self._running[pipe]
                    _, status = os.waitpid(pid, 0)
                    return _outcome(task, bytes(answer), os.waitstatus_to_exitcode(status), begun)

    def cancel(self) -> None:
        self._queue.clear()
        deadline = time.monotonic() + GRACE_S
        while self._running and time.monotonic() < deadline:
            self._signal(signal.SIGTERM)  # again: one that comes just before a blocking call does not end it
            again = min(time.monotonic() + AGAIN_S, deadline)
            while self._running and time.monotonic() < again:
                ready, _, _ = select.select(list(self._running), [], [], 0.1)
                for pipe in ready:
                    if not os.read(pipe, 65536):
                        self._reap(pipe)
        self._signal(signal.SIGKILL)
        for pipe in list(self._running):
            self._reap(pipe)

    def _signal(self, number: int) -> None:
        for pid, _, _, _ in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _reap(self, pipe: int) -> None:
        os.close(pipe)
        pid = self._running.pop(pipe)[0]
        os.waitpid(pid, 0)

    def _start(self, task: Task) -> None:
        reader, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _child(task._replace(workers=max(1, task.workers // self.jobs)), writer)
        os.close(writer)
        self._running[reader] = (pid, task, time.monotonic(), bytearray())


def _child(task: Task, pipe: int) -> NoReturn:
    """Runs a task and leaves, without the parent's exit handlers."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and sends SIGTERM
        signal.signal(signal.SIGTERM, _leave)
        outcome = execute(task)
        answer: dict[str, Any] = {"rref": outcome.rref, "built": outcome.built, "seconds": outcome.seconds}
        if outcome.error is not None:
            e = outcome.error
            answer |= {"what": e.what, "where": e.where, "hint": e.hint, "kind": type(e).__name__}
            answer |= {"log": getattr(e, "log_tail", "")}
        os.write(pipe, json.dumps(answer).encode())
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _leave(*_: object) -> NoReturn:
    """Ends the process at its first SIGTERM; further ones leave its tidying up alone."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def _outcome(task: Task, answer: bytes, status: int, begun: float) -> Outcome:
    seconds = time.monotonic() - begun
    if not answer:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        error = BuildError(
            f"its process {how}",
            where=task.derivation.config.name,
            hint="run it again: it goes on from its scratch; signal 9 usually means out of memory",
            dref=task.dref,
        )
        return Outcome(task, None, False, seconds, error)
    data = json.loads(answer)
    if "what" in data:
        import stagedml.errors as errors

        kind = getattr(errors, data["kind"], BuildError)
        args: dict[str, Any] = {"where": data["where"], "hint": data["hint"]}
        if issubclass(kind, BuildError):
            args |= {"dref": task.dref, "log_tail": data["log"]}
        error_: StagedmlError = kind(data["what"], **args)
        return Outcome(task, None, False, seconds, error_)
    return Outcome(task, RRef(data["rref"]), data["built"], data["seconds"])
