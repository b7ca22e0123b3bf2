"""Whole processes against each other: cold, cached, and with one parameter changed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.engine.peers import Peer

PHASES = ("cold", "cached", "changed")


class Time(NamedTuple):
    """Seconds of one whole process: by the clock, and of processors (its children included)."""

    wall: float
    cpu: float


Times = dict[str, list[Time]]


class Case(NamedTuple):
    """One graph: `chain:200` is 200 stages in a row, `fan:500` a root, 500 leaves and a sink."""

    kind: str
    size: int

    @classmethod
    def parse(cls, text: str) -> Case:
        kind, _, size = text.partition(":")
        if kind not in ("chain", "fan") or not size.isdigit():
            raise SystemExit(f"{text!r} is no graph; say chain:200 or fan:500")
        return cls(kind, int(size))


@contextmanager
def workplace(parent: Path | None) -> Iterator[Path]:
    """A folder to work in, removed with all that is read-only in it."""
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="stagedml-bench-"))
    try:
        yield folder
    finally:
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)
        shutil.rmtree(folder)


def run_once(peer: Peer, case: Case, store: Path, *, changed: bool, timeout: float) -> tuple[Time, str]:
    """(time, the last line that the program printed). Raises `CalledProcessError`, `TimeoutExpired`."""
    command = [str(peer.python), str(peer.program), case.kind, str(case.size), str(store), str(int(changed))]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "STAGEDML"))}
    begun, cpu = time.perf_counter(), _children_cpu()
    done = subprocess.run(
        command, env=env, cwd=store.parent, capture_output=True, text=True, check=True, timeout=timeout
    )
    spent = Time(time.perf_counter() - begun, _children_cpu() - cpu)
    return spent, done.stdout.strip().rpartition("\n")[2]


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def one_round(peer: Peer, case: Case, folder: Path, timeout: float) -> dict[str, Time]:
    """One cold, one cached and one changed run on a store of its own; the results are checked.

    The store stays: ext4 does not use the numbers of files that were just deleted, and looking for others
    makes each new file cost up to a millisecond, which would be taken for the engines' doing.
    """
    store = Path(tempfile.mkdtemp(dir=folder)) / "store"
    times: dict[str, Time] = {}
    texts: dict[str, str] = {}
    for phase in PHASES:
        changed = phase == "changed"
        times[phase], texts[phase] = run_once(peer, case, store, changed=changed, timeout=timeout)
    if texts["cold"] != texts["cached"] or texts["cold"] == texts["changed"]:
        raise SystemExit(f"{peer.name} does not do the work: {texts}")
    return times


def compare(
    peers: Iterable[Peer],
    case: Case,
    *,
    rounds: int,
    timeout: float,
    budget: float,
    say: Callable[[str], None],
    folder: Path | None = None,
) -> dict[str, Times | str]:
    """Times of every peer; a text instead where it failed. Rounds of the peers are interleaved.

    A peer that has used `budget` seconds is not asked again.
    """
    results: dict[str, Times | str] = {}
    spent: dict[str, float] = {}
    with workplace(folder) as place:
        for number in range(rounds + 1):
            for peer in peers:
                so_far = results.setdefault(peer.name, {phase: [] for phase in PHASES})
                if isinstance(so_far, str) or spent.get(peer.name, 0) > budget:
                    continue
                size = 2 if number == 0 else case.size  # the first round only warms up
                if peer.fan_limit < size and case.kind == "fan":
                    size = peer.fan_limit
                try:
                    times = one_round(peer, Case(case.kind, size), place, timeout)
                except subprocess.TimeoutExpired:
                    results[peer.name] = f"more than {timeout:.0f} s"
                    continue
                except subprocess.CalledProcessError as e:
                    results[peer.name] = f"failed: {(e.stderr or '').strip().splitlines()[-1:]}"
                    continue
                if number:
                    spent[peer.name] = spent.get(peer.name, 0.0) + sum(t.wall for t in times.values())
                    for phase, seconds in times.items():
                        so_far[phase].append(seconds)
                    shown = "".join(f"{t.wall:9.3f} ({t.cpu:.3f})" for t in times.values())
                    say(f"{case.kind}:{size} {peer.name:12}{shown}")
    return results


def table(results: dict[str, Times | str], peers: Iterable[Peer], case: Case) -> str:
    """A Markdown table of medians by the clock and, in brackets, of processor time; and of ratios to doit."""
    lines = [
        f"{case.kind} of {case.size}: medians of whole processes, seconds (processor seconds), x doit",
        "",
        "| engine | hashes artifacts | cold | cached | one changed |",
        "| --- | --- | --- | --- | --- |",
    ]
    base = results.get("doit")
    for peer in peers:
        times = results[peer.name]
        name = peer.name
        if case.kind == "fan" and peer.fan_limit < case.size:
            name += f" ({peer.fan_limit} leaves)"
        cells = [name, "yes" if peer.hashes_artifacts else "no"]
        for phase in PHASES:
            if isinstance(times, str):
                cells.append(times)
                continue
            wall, cpu = (statistics.median(t[i] for t in times[phase]) for i in (0, 1))
            cells.append(f"{wall:.3f} ({cpu:.3f})")
            if isinstance(base, dict):
                cells[-1] += f" {wall / statistics.median(t.wall for t in base[phase]):.1f}x"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def save(path: Path, results: dict[str, dict[str, Times | str]]) -> None:
    """All single times, as JSON."""
    path.write_text(json.dumps(results, indent=1) + "\n")
