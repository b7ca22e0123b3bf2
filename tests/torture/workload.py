"""What the torture tests run in a process of its own: `python workload.py COMMAND STORE SEED`."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from graphs import Node, graph_stage

from stagedml import initialize, instantiate, realize
from stagedml.errors import StagedmlError
from stagedml.garbage import collect, root
from stagedml.store import Store


def random_graph(seed: int, size: int) -> list[Node]:
    """A graph of `size` stages in which the last one needs all others."""
    r = random.Random(seed)
    nodes = [
        Node(r.randrange(100), tuple(sorted(r.sample(range(i), min(i, r.randrange(4))))), 1)
        for i in range(size)
    ]
    used = {d for n in nodes for d in n.deps}
    loose = [i for i in range(size - 1) if i not in used]
    return [*nodes[:-1], nodes[-1]._replace(deps=tuple(sorted({*nodes[-1].deps, *loose})))]


def damage(store: Store) -> None:
    """Spoils one artifact of every other derivation."""
    for i, dref in enumerate(sorted(store.drefs())):
        for record in store.records(dref):
            if i % 2 == 0:
                path = Path(record.out, "sub", "out.json")
                path.chmod(0o644)
                path.write_text("spoiled")


def main(command: str, path: str, seed: int, size: int) -> None:
    """`realize` a random graph; `heal` it after damage; `collect` everything but one root."""
    store = initialize(path)
    nodes = random_graph(seed, size)
    if command == "damage":
        damage(store)
    elif command == "collect":
        import stagedml.garbage as garbage

        garbage.in_use = lambda s: set()  # this process wants to see everything go
        root(store, realize(instantiate(graph_stage(nodes[: size // 2]))), "kept")
        collect(store)
    else:
        print(realize(instantiate(graph_stage(nodes))))


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    except StagedmlError as e:
        print(f"stagedml: {e}", file=sys.stderr)
        sys.exit(2)
