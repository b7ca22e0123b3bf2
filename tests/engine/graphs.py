"""Random configs and random stage graphs: what the laws are stated over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from stagedml import Build, DRef, Manager, build_wrapper, mkconfig, mkdrv, mklens, promise

names = st.from_regex(r"[a-z][a-z0-9_+-]{0,11}", fullmatch=True)
keys = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=8)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
configs = st.dictionaries(keys, values, max_size=6).map(lambda c: {**c, "name": "x"})


class Node(NamedTuple):
    """One stage of a random graph: a number of its own, and the stages that it depends on."""

    value: int
    deps: tuple[int, ...]
    files: int


@st.composite
def graphs(draw: Any, max_size: int = 7) -> list[Node]:
    """Acyclic graphs in topological order, diamonds and shared dependencies included."""
    nodes: list[Node] = []
    for i in range(draw(st.integers(1, max_size))):
        deps = draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set()
        nodes.append(Node(draw(st.integers(0, 3)), tuple(sorted(deps)), draw(st.integers(1, 3))))
    return nodes


def graph_stage(nodes: Sequence[Node], built: list[str] | None = None) -> Any:
    """A stage whose closure is the graph; each build notes its name in `built`."""

    def realizer(b: Build) -> None:
        if built is not None:
            built.append(b.config.name)
        inputs = [
            json.loads(Path(mklens(b)[f"dep{i}"].out.syspath).read_text()) for i in range(b.config["count"])
        ]
        own = b.config["value"] + sum(sum(x) for x in inputs)
        Path(mklens(b).out.syspath).write_text(json.dumps([own, len(inputs)]))
        for i in range(b.config["files"]):
            folder = b.outpath / f"part {i}"
            folder.mkdir()
            (folder / "däta.txt").write_text(str(own) * i)

    def top(m: Manager) -> DRef:
        drefs: list[DRef] = []
        for i, node in enumerate(nodes):
            config = {"name": f"n{i}", "value": node.value, "files": node.files, "count": len(node.deps)}
            config |= {f"dep{j}": drefs[d] for j, d in enumerate(node.deps)}
            config |= {"out": [promise, "sub", "out.json"]}
            drefs.append(mkdrv(m, config=mkconfig(config), realizer=build_wrapper(realizer)))
        return drefs[-1]

    return top


def needed(nodes: Sequence[Node]) -> set[str]:
    """The names of the stages that the last one needs, itself included."""
    wanted, todo = set(), [len(nodes) - 1]
    while todo:
        i = todo.pop()
        if f"n{i}" not in wanted:
            wanted.add(f"n{i}")
            todo += nodes[i].deps
    return wanted
