"""What a run tells on the terminal: a line for each stage, and why it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from stagedml.code import changes
from stagedml.errors import StagedmlError, StoreError
from stagedml.execute import Outcome
from stagedml.record import Record
from stagedml.refs import RRef
from stagedml.reporter import Reporter
from stagedml.stage import Derivation
from stagedml.store import Store

SHOWN = 4  # differences named before "and n more"


class ConsoleReporter(Reporter):
    """Lines on a stream. By default it speaks of what is built; `verbose` also names what is reused."""

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._stream, self._verbose = stream, verbose
        self._index: object = None
        self.built_count = self.reused_count = self.taken_count = 0

    def _say(self, word: str, name: str, rest: str = "") -> None:
        self._stream.write(f"{word:<8} {name}{'  ' + rest if rest else ''}\n")
        self._stream.flush()

    def reused(self, d: Derivation, rrefs: Sequence[RRef]) -> None:
        self.reused_count += 1
        if self._verbose:
            self._say("reused", d.config.name, f"x{len(rrefs)}" if len(rrefs) > 1 else "")

    def building(self, d: Derivation, indices: Sequence[int], store: Store) -> None:
        count = f"{len(indices)} runs, " if len(indices) > 1 else ""
        self._say("building", d.config.name, f"{count}{self._reason(d, store)}")

    def built(self, d: Derivation, outcome: Outcome) -> None:
        if outcome.built:
            self.built_count += 1
            self._say("built", d.config.name, f"{outcome.seconds:.1f} s")
        else:
            self.reused_count += 1
            self._say("reused", d.config.name, "another process built it")

    def failed(self, d: Derivation, error: StagedmlError) -> None:
        self._say("failed", d.config.name)

    def waiting(self, d: Derivation, who: str) -> None:
        self._say("waiting", d.config.name, f"{who} is building it")

    def damaged(self, d: Derivation, record: Record, problems: Sequence[str]) -> None:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        self._say("damaged", d.config.name, f"{problems[0]}{more}; put into quarantine")

    def changed(self, d: Derivation, record: Record) -> None:
        names = changes(record_store(d, record), d, record)
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        self._say(
            "code!",
            d.config.name,
            f"{shown} since it was built; kept. `stagedml why` tells, --rebuild rebuilds",
        )

    def taken(self, d: Derivation, record: Record, source: str) -> None:
        self.taken_count += 1
        self._say("taken", d.config.name, f"from {source}")

    def refused(self, d: Derivation, problem: StoreError) -> None:
        self._say("refused", d.config.name, f"{problem.where}: {problem.what}")

    def lost(self, source: str, problem: StoreError) -> None:
        self._say("warning", source, f"{problem.what}; going on without it")

    def summary(self) -> str:
        """What was done, in one line."""
        taken = f", {self.taken_count} taken" if self.taken_count else ""
        return f"{self.built_count} built, {self.reused_count} reused{taken}"

    def _reason(self, d: Derivation, store: Store) -> str:
        from stagedml.why import Index

        if self._index is None:
            self._index = Index(store)
        assert isinstance(self._index, Index)
        if store.records(d.dref):
            return "another realization is wanted"
        nearest = self._index.nearest(d.config, d.dref)
        if nearest is None:
            return "first time"
        shown = ", ".join(str(x) for x in nearest.differences[:SHOWN])
        more = len(nearest.differences) - SHOWN
        took = nearest.record.seconds
        last = f" (last time {took:.1f} s)" if took is not None else ""
        return f"{shown}{f' and {more} more' if more > 0 else ''}{last}"


def record_store(d: Derivation, record: Record) -> Store:
    """The store that a record lies in."""
    return Store(record.folder.rsplit("/drv/", 1)[0])
