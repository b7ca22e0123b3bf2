"""Stopping before a stage to look at it: for a prompt, for example IPython.

    session = repl_realize(instantiate(all_minibert_finetune_glue), stop="bert-finetune-mrpc")
    b = session.build                 # a Build: mklens(b).refbert..., b.outpath, b.scratch
    session.run()                     # the realizer, as often as you like; or do its work by hand
    rref = session.go_on()            # publish what is in b.outpath, and realize the rest
    session.cancel()                  # or leave no trace

The lock of the stage is held meanwhile, so other processes wait and then reuse what was published.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from stagedml.disk import remove_tree
from stagedml.errors import ConfigError, MatchError
from stagedml.execute import Task, discard, prepare, publish, run_realizer, task_key
from stagedml.leases import hold
from stagedml.lens import suggest
from stagedml.realize import plan, realize
from stagedml.realize import realizeMany as realize_many
from stagedml.record import Context
from stagedml.refs import RRef
from stagedml.stage import Closure, Derivation


class Session:
    """One stage, stopped before its realizer; `build` is what the realizer would get."""

    def __init__(self, closure: Closure, d: Derivation, task: Task, options: dict[str, Any]) -> None:
        self.closure, self._d, self._options = closure, d, options
        self._held = ExitStack()
        self._lease = self._held.enter_context(
            hold(task.store, task_key(task.dref, task.context, task.instance), print)
        )
        self.build = prepare(task)
        self._started, self._begun = time.time(), time.monotonic()
        self._open = True

    def __repr__(self) -> str:
        state = "stopped before" if self._open else "done with"
        return f"<session {state} {self._d.config.name}: look at .build, then .run(), .go_on() or .cancel()>"

    def run(self) -> None:
        """Runs the realizer on the build, in an emptied output folder. Raises `BuildError`."""
        self._check_open()
        for item in list(self.build.outpath.iterdir()):
            remove_tree(str(item)) if item.is_dir() and not item.is_symlink() else item.unlink()
        self.build.make_folders()
        run_realizer(self.build, self._d)

    def go_on(self) -> RRef:
        """Publishes what is in the output folder and realizes the rest; returns the target's realization."""
        self._check_open()
        seconds = time.monotonic() - self._begun
        publish(self.build, self._d, started=self._started, seconds=seconds, fence=self._lease.check)
        self._close()
        return realize(self.closure, **self._options)

    def cancel(self) -> None:
        """Publishes nothing and leaves no trace; scratch stays."""
        if self._open:
            self._close()

    def _check_open(self) -> None:
        if not self._open:
            raise ConfigError("this session is over", where=self._d.config.name, hint="start another one")

    def _close(self) -> None:
        self._open = False
        discard(self.build)
        self._held.close()


def repl_realize(closure: Closure, stop: str | None = None, **options: Any) -> Session:
    """Realizes what the stage named `stop` (the target, by default) needs, and stops before it.

    `options` are those of `realize`. Raises `ConfigError` for an unknown name, `MatchError` when the stage
    has a realization already (ask for another instance, or `rebuild` it).
    """
    names = [d.config.name for d in closure.derivations]
    name = stop or names[-1]
    if name not in names:
        raise ConfigError(f"no stage {name!r} in this closure", hint=suggest(name, names))
    d = closure.derivations[names.index(name)]
    context: Context = {}
    for dep in sorted(d.deps):
        below = [x for x in closure.derivations if x.dref == dep or x.dref in _reach(closure, dep)]
        context[dep] = [str(r) for r in realize_many(Closure(closure.store, dep, below), **options)]
    records = [r for r in closure.store.records(d.dref) if r.context == context]
    chosen, missing = plan(closure.store, d, records)
    if chosen is not None:
        raise MatchError(
            f"{name} is realized already", where=chosen[0], hint="ask for one more: num_instances="
        )
    return Session(closure, d, Task(closure.store, d, context, missing[0]), options)


def _reach(closure: Closure, dref: str) -> set[str]:
    by_dref = {d.dref: d for d in closure.derivations}
    found: set[str] = set()
    todo = [dref]
    while todo:
        here = todo.pop()
        if here not in found and here in by_dref:
            found.add(here)
            todo += by_dref[here].deps  # type: ignore[index]
    return found
