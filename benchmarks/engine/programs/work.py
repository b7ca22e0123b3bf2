"""What every program does: a graph of stages, each of which writes one small text made from its inputs'."""

from __future__ import annotations

import hashlib
import sys
from typing import NamedTuple


class Node(NamedTuple):
    """One stage: its name, the stages it reads, and a parameter (1 where the benchmark changes it)."""

    name: str
    inputs: list[str]
    salt: int


class Job(NamedTuple):
    """What the command line asks for."""

    nodes: list[Node]
    store: str


def content(name: str, inputs: list[str], salt: int) -> str:
    """The text that a stage writes."""
    return hashlib.sha256("\n".join([name, str(salt), *inputs]).encode()).hexdigest() + "\n"


def graph(kind: str, size: int, changed: bool) -> list[Node]:
    """A chain of `size` stages, or a root, `size` leaves and a sink; in order, the target last.

    Changed is one parameter: that of the last stage of the chain, or of one leaf (and so the sink's input).
    """
    if kind == "chain":
        chain = [Node(f"s{i}", [f"s{i - 1}"] if i else [], 0) for i in range(size)]
        return [*chain[:-1], chain[-1]._replace(salt=int(changed))]
    leaves = [Node(f"leaf{i}", ["root"], int(changed and i == 0)) for i in range(size)]
    return [Node("root", [], 0), *leaves, Node("sink", [leaf.name for leaf in leaves], 0)]


def job() -> Job:
    """`PROGRAM KIND SIZE STORE CHANGED`."""
    kind, size, store, changed = sys.argv[1:5]
    return Job(graph(kind, int(size), changed == "1"), store)
