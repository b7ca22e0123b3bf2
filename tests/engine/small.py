"""A small collection of stages that the engine's tests share."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from stagedml import Build, DRef, Lens, Manager, claim, hint, promise, stage
from stagedml.errors import DataError
from stagedml.protocol import append_protocol


@stage(version=1, toy={"text": "toy"})
def words(b: Build, text: str = "a b c", out: Path = promise("words.json")) -> None:
    """Splits a text."""
    print(f"splitting {text!r}")
    out.write_text(json.dumps(text.split()))


@stage(version=1, toy={"times": 1})
def count(
    b: Build,
    src: Lens,
    times: int = 3,
    rate: float = 0.5,
    out: Path = promise("deep/count.json"),
    extra: Path = claim("extra"),
) -> None:
    """Counts words."""
    found = json.loads(Path(src.out.syspath).read_text())
    out.write_text(json.dumps(len(found) * times))


@stage(version=1)
def noisy(
    b: Build,
    src: Lens,
    score: float = 0.5,
    note: str | None = hint(None),
    protocol: Path = promise("protocol.json"),
    logs: Path = promise("logs", volatile=True),
) -> None:
    """Measures something that differs from instance to instance."""
    append_protocol(protocol, "evaluate", accuracy=score + b.instance / 10, seed=b.seed)
    logs.mkdir()
    (logs / "pid.txt").write_text(str(os.getpid()))


@stage()
def fails(b: Build, src: Lens, out: Path = promise("never")) -> None:
    """Raises after printing something."""
    print("about to fail")
    raise ValueError("the realizer's own trouble")


@stage()
def bad_data(b: Build, out: Path = promise("never")) -> None:
    """Meets bad data."""
    raise DataError("an unknown label 'x'", where="train.tsv:3", hint="labels are 0 and 1")


@stage()
def forgets(b: Build, out: Path = promise("promised.txt")) -> None:
    """Breaks its promise."""
    (b.outpath / "other.txt").write_text("other")


@stage()
def dies_halfway(b: Build, steps: int = 5, die_at: int = hint(0), out: Path = promise("sum.txt")) -> None:
    """Adds numbers, keeping its state in scratch; dies by kill -9 at a step when told to."""
    state = b.scratch / "state.json"
    at, total = json.loads(state.read_text()) if state.exists() else (0, 0)
    if at:
        b.resumed(f"step {at}")
    for step in range(at, steps):
        total += step
        prepared = b.scratch / "state.new"
        prepared.write_text(json.dumps([step + 1, total]))
        prepared.replace(state)
        if die_at and step + 1 == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
    out.write_text(str(total))


@stage()
def several(b: Build, out: Path = promise("x.txt")) -> None:
    """Makes three realizations at once."""
    for one in (b, b.another(), b.another()):
        (one.outpath / "x.txt").write_text(f"instance {one.instance}, seed {one.seed}")


def chain(m: Manager, text: str = "a b c", times: int = 3, n: int = 1) -> DRef:
    """words -> count."""
    return count(m, src=words(m, text=text), times=times, num_instances=n)


def measured(m: Manager, n: int = 1, score: float = 0.5) -> DRef:
    """words -> noisy."""
    return noisy(m, src=words, score=score, num_instances=n)
