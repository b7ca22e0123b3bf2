"""Realizing: building what is missing of a closure, and nothing else.

The problem. A closure is a graph of derivations. Some are realized already, perhaps several times; which
of the realizations count is for matchers to say, and a matcher can look at results (the best of five). What a
derivation is built from is therefore known only when its dependencies have been matched: the graph is
known at the start, the work is not.

Rejected. Planning everything first and then building (make, Nix): with matchers there is no complete plan
before the dependencies are there. Futures or a coroutine a stage: the recursion follows the depth of the
graph, and a debugger sees the machinery and not the stage. Letting each build ask for its dependencies
from inside (lazy pull): a worker then sits and waits with its memory and its GPU.

The choice. One loop over derivations that are ready, that is whose dependencies are resolved. `_advance`
looks at one: its context is now known, so the store says which realizations exist; the matcher chooses
among them, or the missing instances go to the executor. When outcomes come back the derivation is looked at
again, by the same code. Serial, parallel and distributed runs differ in the executor only. Concurrency
between processes is not here at all: `execute` takes a lock for one instance and looks into the store again.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from stagedml.errors import BuildError, BuildFailures, ConfigError, MatchError, StoreError
from stagedml.execute import Outcome, Task, execute, remove_dead_tmp
from stagedml.leases import spare_locks, sweep
from stagedml.matchers import match_latest
from stagedml.record import Context, Record
from stagedml.refs import DRef, RRef
from stagedml.reporter import Reporter
from stagedml.running import announce
from stagedml.share import upstreams_of
from stagedml.stage import Closure, Derivation
from stagedml.store import Store
from stagedml.taking import Taker

INSTANCE_LIMIT = 10_000
DEFAULT_MATCHER = match_latest()


class Executor(Protocol):
    """Where tasks run. Tasks that were submitted are independent of each other."""

    def submit(self, task: Task) -> None:
        """Takes a task, to be started when there is room."""

    def wait(self) -> Outcome:
        """Blocks until some submitted task is done."""

    def cancel(self) -> None:
        """Stops everything that was submitted; called on Ctrl-C and on the first failure."""


class Serial:
    """Runs tasks one after the other, in this process."""

    def __init__(self) -> None:
        self._queue: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        self._queue.append(task)

    def wait(self) -> Outcome:
        return execute(self._queue.popleft())

    def cancel(self) -> None:
        self._queue.clear()


class Run:
    """One call of realize; see the module."""

    def __init__(
        self,
        closure: Closure,
        executor: Executor,
        reporter: Reporter,
        *,
        rebuild: Callable[[Derivation], bool],
        keep_going: bool,
        workers: int,
        check_code: Callable[[Derivation, Record], bool],
        taker: Taker,
    ) -> None:
        self.store = closure.store
        self.closure = closure
        self.executor, self.reporter = executor, reporter
        self.rebuild, self.keep_going, self.workers = rebuild, keep_going, workers
        self.check_code, self.taker = check_code, taker
        self.resolved: dict[DRef, list[RRef]] = {}
        self.failures: list[BuildError] = []
        self._building: dict[DRef, set[int]] = {}
        self._fresh: dict[DRef, set[RRef]] = {}
        self._rebuilt: set[DRef] = set()
        self._ready: deque[Derivation] = deque()
        self._missing: dict[DRef, int] = {}
        self._users: dict[DRef, list[Derivation]] = {}
        for d in closure.derivations:
            self._missing[d.dref] = len(d.deps)
            for dep in d.deps:
                self._users.setdefault(dep, []).append(d)
            if not d.deps:
                self._ready.append(d)

    def run(self) -> list[RRef]:
        """Realizes the closure; returns what the target's matcher chose."""
        try:
            while self._ready or self._building:
                while self._ready:
                    self._advance(self._ready.popleft())
                if self._building:
                    self._finish(self.executor.wait())
        except BaseException:
            self.executor.cancel()
            raise
        if self.failures:
            raise self.failures[0] if len(self.failures) == 1 else BuildFailures(self.failures)
        return self.resolved[self.closure.dref]

    def context(self, d: Derivation) -> Context:
        """What `d` is built from, now that its dependencies are resolved."""
        return {dep: [str(r) for r in self.resolved[dep]] for dep in sorted(d.deps)}

    def _advance(self, d: Derivation) -> None:
        context = self.context(d)
        records = self._candidates(d, context)
        indices, newer_than = self._to_rebuild(d, records), max((r.published for r in records), default=-1)
        if not indices:
            newer_than = -1
            records, chosen, indices = self._plan(d, context, records)
            if chosen is not None:
                self._resolve(d, chosen, records)
                return
            trouble = self.taker.trouble(d.dref)
            if d.realizer is None and trouble is not None:
                raise trouble
        self._building[d.dref] = set(indices)
        self.reporter.building(d, indices, self.store)
        for index in indices:
            self.executor.submit(
                Task(
                    self.store, d, context, index, self.workers, newer_than,
                    lambda who: self.reporter.waiting(d, who),
                )
            )  # fmt: skip

    def _plan(
        self, d: Derivation, context: Context, records: list[Record]
    ) -> tuple[list[Record], list[RRef] | None, list[int]]:
        """`plan`, once what upstream stores have is here too; a rebuild takes nothing from them."""
        while True:
            try:
                chosen, indices = plan(self.store, d, records)
            except MatchError:
                if self.rebuild(d) or not self.taker.take(d, context, records):
                    raise
            else:
                if chosen is not None or self.rebuild(d) or not self.taker.take(d, context, records):
                    return records, chosen, indices
            records = self._candidates(d, context)

    def _candidates(self, d: Derivation, context: Context) -> list[Record]:
        """The whole realizations in this context, the newest of each instance; damaged ones are put aside."""
        newest: dict[int, Record] = {}
        records, damaged = self.store.look(d.dref)
        fresh = self._fresh.get(d.dref, ())  # what this run has published just now is whole
        for folder, problem in damaged:
            self.store.quarantine(folder, problem)
        for record in records:
            if record.context != context:
                continue
            problems = [] if record.rref in fresh else self.store.problems(record)
            if problems:
                self.reporter.damaged(d, record, problems)
                self.store.quarantine(record.folder, "; ".join(problems))
            else:
                newest[record.instance] = record
        return [newest[i] for i in sorted(newest)]

    def _to_rebuild(self, d: Derivation, records: list[Record]) -> list[int]:
        if d.dref in self._rebuilt or not self.rebuild(d):
            return []
        self._rebuilt.add(d.dref)
        return [r.instance for r in records]

    def _resolve(self, d: Derivation, chosen: list[RRef], records: list[Record]) -> None:
        self.resolved[d.dref] = chosen
        fresh = self._fresh.get(d.dref, set())
        if not fresh.union(self.taker.taken.get(d.dref, ())).intersection(chosen):
            self.reporter.reused(d, chosen)
        for record in records:
            if record.rref in chosen and record.rref not in fresh and self.check_code(d, record):
                self.reporter.changed(d, record)
        for user in self._users.get(d.dref, ()):
            self._missing[user.dref] -= 1
            if not self._missing[user.dref]:
                self._ready.append(user)

    def _finish(self, outcome: Outcome) -> None:
        d = outcome.task.derivation
        pending = self._building[d.dref]
        pending.discard(outcome.task.instance)
        if outcome.error is not None:
            self.reporter.failed(d, outcome.error)
            if not isinstance(outcome.error, BuildError) or not self.keep_going:
                raise outcome.error
            self.failures.append(outcome.error)
        elif outcome.rref is not None:
            if outcome.built:
                self._fresh.setdefault(d.dref, set()).add(outcome.rref)
            self.reporter.built(d, outcome)
        if not pending:
            del self._building[d.dref]
            if not any(f.dref == d.dref for f in self.failures):
                self._ready.append(d)


def plan(store: Store, d: Derivation, records: Sequence[Record]) -> tuple[list[RRef] | None, list[int]]:
    """(what the matcher chose, []) or (None, the instances to build). Raises `MatchError`."""
    rrefs = [r.rref for r in records]
    matcher = d.matcher or DEFAULT_MATCHER
    chosen = matcher(store, rrefs) if len(rrefs) >= d.instances else None
    if chosen is not None:
        if not chosen:
            raise MatchError(
                f"{matcher!r} chose nothing", where=d.config.name, hint="return None to build more"
            )
        return list(chosen), []
    wanted = max(d.instances, getattr(matcher, "count", 0), 1)
    missing = max(wanted - len(rrefs), 1)
    taken = {r.instance for r in records}
    if len(taken) >= INSTANCE_LIMIT:
        raise MatchError(f"{matcher!r} is not satisfied by {len(taken)} realizations", where=d.config.name)
    free = (i for i in range(len(taken) + missing) if i not in taken)
    return None, [next(free) for _ in range(missing)]


def realizeMany(
    closure: Closure,
    *,
    executor: Executor | None = None,
    rebuild: bool | Iterable[str] = False,
    keep_going: bool = False,
    workers: int | None = None,
    reporter: Reporter | None = None,
    remote: str | None = None,
) -> list[RRef]:
    """Builds what is missing of a closure and returns the realizations that its target's matcher chooses.

    `executor` says where to build (here, one after the other, by default); `workers` how many processes a
    stage may use inside. `rebuild` names derivations (by name or reference) to build anew, or all. With
    `keep_going` a failure stops only what depends on it. `remote` is the URL of a remote store from which
    what is missing here is taken (None: `$STAGEDML_REMOTE`). None of these is part of any config.

    Raises `BuildError` (of a realizer), `BuildFailures` (several), `MatchError`, `StoreError`.
    """
    if not isinstance(closure, Closure):
        raise ConfigError(
            f"realize wants a closure, not a {type(closure).__name__}", hint="realize(instantiate(stage))"
        )
    store = closure.store
    if reporter is None:
        from stagedml.console import ConsoleReporter

        reporter = ConsoleReporter(sys.stderr)
    names = set() if isinstance(rebuild, bool) else set(rebuild)
    from stagedml.code import code_changed

    run = Run(
        closure,
        executor if executor is not None else Serial(),
        reporter,
        rebuild=lambda d: rebuild is True or d.dref in names or d.config.name in names,
        keep_going=keep_going,
        workers=workers or int(os.environ.get("STAGEDML_WORKERS") or os.cpu_count() or 1),
        check_code=code_changed(store),
        taker=Taker(store, upstreams_of(store, remote), reporter),
    )
    try:
        announce(store, (d.dref for d in closure.derivations))
        if not store.readonly:
            remove_dead_tmp(store)
            sweep(store)
        with spare_locks(store):
            return run.run()
    except OSError as e:  # a disk that is full or failing, met anywhere: what is published stays as it is
        raise StoreError(
            f"the store cannot be used: {e.strerror or e}",
            where=str(e.filename or store.path),
            hint="check the disk and its permissions, then run again: it goes on from here",
        ) from e


def realize(closure: Closure, **options: Any) -> RRef:
    """`realizeMany` for a target whose matcher chooses one realization; `MatchError` when it is not one."""
    rrefs = realizeMany(closure, **options)
    if len(rrefs) != 1:
        raise MatchError(
            f"{len(rrefs)} realizations of {closure.dref.name} where one was asked for",
            hint="use realizeMany, or a matcher that chooses one",
        )
    return rrefs[0]
