"""`python -m benchmarks.engine`: this engine beside others, and at scale.

python -m benchmarks.engine                      installs the peers, prints the tables
python -m benchmarks.engine --peers doit,joblib  only these, and ours
python -m benchmarks.engine --scale all          chains and fans of 10,000, 10 GB, 100,000 derivations
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

from benchmarks.engine.compare import Case, Times, compare, save, table
from benchmarks.engine.peers import PEERS
from benchmarks.engine.scale import SCALES, Sizes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--peers", default=",".join(p.name for p in PEERS), help="which engines, with commas")
    parser.add_argument(
        "--graphs", nargs="*", default=["chain:200", "fan:500"], help="such as chain:200 fan:500"
    )
    parser.add_argument("--rounds", type=int, default=7, help="runs of each; medians are shown")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds a single run may take")
    parser.add_argument(
        "--budget", type=float, default=60.0, help="seconds after which a peer is not run again"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for all single times")
    parser.add_argument("--scale", choices=["all", *SCALES], help="run these instead of the comparison")
    parser.add_argument(
        "--stages", type=int, default=10_000, help="length of chains, width of fans (--scale)"
    )
    parser.add_argument("--bytes", type=float, default=10e9, help="how much to publish (--scale)")
    parser.add_argument("--files", type=int, default=10_000, help="in how many files (--scale)")
    parser.add_argument("--derivations", type=int, default=100_000, help="in the store (--scale)")
    parser.add_argument("--folder", type=Path, help="where to work; the system's temporary folder")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.system()} {platform.release()}", flush=True)
    if options.scale:
        sizes = Sizes(options.stages, int(options.bytes), options.files, options.derivations, options.folder)
        for name, run in SCALES.items():
            if options.scale in ("all", name):
                run(sizes)
        return
    names = {"stagedml", *options.peers.split(",")}
    unknown = names - {p.name for p in PEERS}
    if unknown:
        raise SystemExit(f"unknown engines: {', '.join(sorted(unknown))}")
    peers = []
    for peer in [p for p in PEERS if p.name in names]:
        problem = peer.install()
        if problem:
            print(f"{peer.name} cannot be installed: {problem}", file=sys.stderr)
        else:
            peers.append(peer)
    everything: dict[str, dict[str, Times | str]] = {}
    for text in options.graphs:
        case = Case.parse(text)
        results = compare(
            peers,
            case,
            rounds=options.rounds,
            timeout=options.timeout,
            budget=options.budget,
            say=lambda line: print(line, file=sys.stderr, flush=True),
            folder=options.folder,
        )
        everything[text] = results
        print(table(results, peers, case), flush=True)
    if options.out is not None:
        save(options.out, everything)


if __name__ == "__main__":
    main()
