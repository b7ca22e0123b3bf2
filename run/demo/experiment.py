"""Realizes everything that the report shows: `make train`. With `--say`: what it says, and where it is.

Each stage is named once: `reused`, or `building` with the reason and `built` with the time it took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

from demo import HERE, Demo, Settings, use_mirror
from results import HEADERS, realize_all, text_table

from stagedml import RRef
from stagedml.console import ConsoleReporter
from stagedml.errors import StagedmlError
from stagedml.execute import Outcome
from stagedml.record import Record
from stagedml.report.links import linkrref
from stagedml.reporter import Reporter
from stagedml.stage import Derivation

FOUND = HERE / "out" / "results.json"


class OnceReporter(ConsoleReporter):
    """Names each stage once, however many others need it."""

    def __init__(self) -> None:
        super().__init__(sys.stderr, verbose=True)
        self._named: set[str] = set()
        self._changed: set[str] = set()

    def reused(self, d: Derivation, rrefs: Sequence[RRef]) -> None:
        if d.dref not in self._named:
            self._named.add(d.dref)
            super().reused(d, rrefs)

    def changed(self, d: Derivation, record: Record) -> None:
        if d.dref not in self._changed:
            self._changed.add(d.dref)
            super().changed(d, record)

    def built(self, d: Derivation, outcome: Outcome) -> None:
        self._named.add(d.dref)
        super().built(d, outcome)


def train() -> None:
    """Builds what is missing; `out/results.json` changes when a result does."""
    began = time.monotonic()
    settings = Settings.from_environment()
    use_mirror(settings)
    reporter = OnceReporter()
    results = realize_all(Demo(settings), reporter)
    for rref in results.rrefs:
        linkrref(rref, [str(HERE / "links"), rref.name])
    found = json.dumps({"data": str(settings.data), "rrefs": results.rrefs}, indent=1) + "\n"
    FOUND.parent.mkdir(exist_ok=True)
    if not FOUND.exists() or FOUND.read_text(encoding="utf-8") != found:
        FOUND.write_text(found, encoding="utf-8")
    what = f"{reporter.built_count} stages built" if reporter.built_count else "Nothing was built"
    print(f"{what}, {reporter.reused_count} reused, {time.monotonic() - began:.1f} s", file=sys.stderr)


def say() -> None:
    """Prints the table, the sentence on it, and where the report is."""
    settings = Settings.from_environment()
    use_mirror(settings)
    results = realize_all(Demo(settings), Reporter())
    print(f"\nAccuracy on the dev sets\n\n{text_table(HEADERS, results.rows())}\n\n{results.verdict()}\n")
    print(f"The report: {HERE / 'out_html' / 'Report.html'}\n            {HERE / 'out' / 'Report.md'}")


def main(arguments: list[str]) -> int:
    """0 when all is there, 2 with one message when something failed."""
    try:
        say() if arguments == ["--say"] else train()
    except StagedmlError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the next run goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
