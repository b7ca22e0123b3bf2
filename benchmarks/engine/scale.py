"""How time, memory and disk grow: long chains, wide fans, large artifacts, full stores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.engine.compare import Case, run_once, workplace
from benchmarks.engine.peers import PEERS, PROGRAMS

PIECE = 1 << 20
TIMEOUT = 3600.0


class Sizes(NamedTuple):
    """What to try: stages in a graph, bytes and files to publish, derivations in a store; where to work."""

    stages: int
    bytes: int
    files: int
    derivations: int
    folder: Path | None


def graphs(sizes: Sizes) -> None:
    """Chains and fans of growing size: time and disk a stage should stay the same."""
    print("\n| graph | cold, s | cached, s | cold, ms a stage | cached, ms a stage | disk, KB a stage |")
    print("| --- | --- | --- | --- | --- | --- |")
    ours = next(p for p in PEERS if p.name == "stagedml")
    for kind in ("chain", "fan"):
        for size in (sizes.stages // 10, sizes.stages // 3, sizes.stages):
            with workplace(sizes.folder) as folder:
                store = folder / "store"
                cold, _ = run_once(ours, Case(kind, size), store, changed=False, timeout=TIMEOUT)
                disk = _disk(store)
                cached, _ = run_once(ours, Case(kind, size), store, changed=False, timeout=TIMEOUT)
            print(
                f"| {kind} of {size:,} | {cold.wall:.1f} | {cached.wall:.2f} | {1e3 * cold.wall / size:.2f} "
                f"| {1e3 * cached.wall / size:.2f} | {disk / size / 1e3:.1f} |",
                flush=True,
            )


def artifacts(sizes: Sizes) -> None:
    """Publishing (hashing, sealing, renaming) against reading the same bytes once; nothing is in memory."""
    print("\n| artifact | reading once | publishing | ratio | peak memory |")
    print("| --- | --- | --- | --- | --- |")
    for files in (1, sizes.files):
        with workplace(sizes.folder) as folder:
            data = folder / "data"
            _write(data, sizes.bytes, files)
            _forget(data)
            begun = time.perf_counter()
            _read(data)
            reading = time.perf_counter() - begun
            _forget(data)
            command = [sys.executable, str(PROGRAMS / "publish_program.py"), str(folder / "store"), str(data)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            publishing, memory = (float(part) for part in done.stdout.split())
        amount = f"{sizes.bytes / 1e9:.1f} GB in {files:,} file{'s' if files > 1 else ''}"
        print(
            f"| {amount} | {reading:.2f} s ({sizes.bytes / 1e9 / reading:.2f} GB/s) "
            f"| {publishing:.2f} s ({sizes.bytes / 1e9 / publishing:.2f} GB/s) "
            f"| {publishing / reading:.2f} | {memory / 1e6:.0f} MB |",
            flush=True,
        )


def crowd(sizes: Sizes) -> None:
    """A store with many derivations: listing, collecting garbage, and a cached realize beside them."""
    print(f"\n| in a store of {sizes.derivations:,} derivations | seconds |\n| --- | --- |")
    ours = next(p for p in PEERS if p.name == "stagedml")
    with workplace(sizes.folder) as folder:
        store = folder / "store"
        filled, _ = run_once(ours, Case("fan", sizes.derivations), store, changed=False, timeout=TIMEOUT)
        print(f"| building them all | {filled.wall:.1f} |", flush=True)
        small = Case("chain", 200)
        cold, _ = run_once(ours, small, store, changed=False, timeout=TIMEOUT)
        cached, _ = run_once(ours, small, store, changed=False, timeout=TIMEOUT)
        print(
            f"| a chain of 200, cold | {cold.wall:.2f} |\n| the same, cached | {cached.wall:.2f} |",
            flush=True,
        )
        for command in (["ls"], ["gc"], ["gc", "--delete"]):
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "stagedml.cli", "--store", store, *command],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            print(f"| stagedml {' '.join(command)} | {time.perf_counter() - begun:.1f} |", flush=True)


SCALES: dict[str, Callable[[Sizes], None]] = {"graphs": graphs, "artifacts": artifacts, "crowd": crowd}


def _disk(folder: Path) -> int:
    """Bytes that a folder takes on the disk, blocks counted whole."""
    total = 0
    for here, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(here, name)).st_blocks for name in [*names, "."]) * 512
    return total


def _write(folder: Path, size: int, files: int) -> None:
    folder.mkdir()
    piece = os.urandom(PIECE)
    for number in range(files):
        left = size // files
        with open(folder / f"part-{number:05}", "wb", buffering=0) as f:
            while left > 0:
                left -= f.write(piece[: min(left, PIECE)])
            os.fsync(f.fileno())


def _read(folder: Path) -> None:
    buffer = bytearray(PIECE)
    for path in sorted(folder.iterdir()):
        with open(path, "rb", buffering=0) as f:
            while f.readinto(buffer):
                pass


def _forget(folder: Path) -> None:
    """Asks the system to drop the files from its memory, so that the disk is read."""
    for path in folder.iterdir():
        with open(path, "rb") as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
