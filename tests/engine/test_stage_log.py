"""What a stage prints is kept in its log."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stagedml import Build, Store, instantiate, promise, realize, stage
from stagedml.record import Record

kept: list[object] = []


@stage()
def chatty(b: Build, out: Path = promise("out.txt")) -> None:
    """Prints on both streams and keeps one, as log handlers of libraries do."""
    print("to stdout")
    print("to stderr", file=sys.stderr)
    kept.append(sys.stderr)
    out.write_text("1")


def log_of(store: Store) -> str:
    """The log of the only realization of `chatty`."""
    record: Record = store.records(instantiate(chatty).dref)[0]
    return Path(record.folder, "log.txt").read_text(encoding="utf-8")


def test_both_streams_go_to_the_log_and_the_terminal(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal both are stderr: stdout belongs to whoever asked for the stage."""
    realize(instantiate(chatty))
    assert log_of(store) == "to stdout\nto stderr\n"
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "to stdout\nto stderr\n" in shown.err


def test_a_stream_that_was_kept_still_works(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """What is written to it later is shown, and does not reach the sealed log."""
    realize(instantiate(chatty))
    print("later", file=kept[-1])  # type: ignore[call-overload]
    assert "later\n" in capsys.readouterr().err
    assert "later" not in log_of(store)
