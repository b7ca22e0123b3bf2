"""Horizontal places for the nodes of ordered layers: Brandes and Koepf (2002).

Four times - from above or below, leaning left or right - each node is aligned with the median of its
neighbours where that crosses no line through bends; the blocks so formed are packed; the place is the mean
of the two middle ones of the four results. Packing walks the graph of blocks by longest path, which avoids
the errors of the original class shifting (Brandes, Walter and Zink, 2020).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise

Node = Hashable
Layers = Sequence[Sequence[Node]]


def horizontal_places(
    layers: Layers,
    segments: Sequence[tuple[Node, Node]],
    widths: Mapping[Node, float],
    gaps: Mapping[Node, float],
    *,
    bends: frozenset[Node],
) -> dict[Node, float]:
    """The x of each node's middle; neighbours keep the mean of their `gaps` between their rims."""
    above: dict[Node, list[Node]] = {n: [] for layer in layers for n in layer}
    below: dict[Node, list[Node]] = {n: [] for n in above}
    for source, target in segments:
        below[source].append(target)
        above[target].append(source)
    conflicts = _conflicts(layers, above, bends)
    results = []
    for from_top in (True, False):
        for leftward in (True, False):
            walk = [list(layer) for layer in (layers if from_top else layers[::-1])]
            if not leftward:
                walk = [layer[::-1] for layer in walk]
            roots = _aligned(walk, above if from_top else below, conflicts)
            x = _packed(walk, roots, widths, gaps)
            results.append(x if leftward else {n: -v for n, v in x.items()})
    return _balanced(results, widths)


def _conflicts(
    layers: Layers, above: Mapping[Node, list[Node]], bends: frozenset[Node]
) -> set[tuple[Node, Node]]:
    """Segments that cross a bend-to-bend segment: the long line keeps straight, these give way."""
    marked: set[tuple[Node, Node]] = set()
    for i in range(1, len(layers)):
        place = {n: j for j, n in enumerate(layers[i - 1])}
        inner = [(place[s], j) for j, t in enumerate(layers[i]) if t in bends for s in above[t] if s in bends]
        for j, target in enumerate(layers[i]):
            for source in above[target]:
                if source in bends and target in bends:
                    continue
                p = place[source]
                if any((p - a) * (j - b) < 0 for a, b in inner):
                    marked.add((source, target))
    return marked


def _aligned(
    layers: Layers, near: Mapping[Node, list[Node]], conflicts: set[tuple[Node, Node]]
) -> dict[Node, Node]:
    """The root of each node's block; blocks are vertical runs of median-aligned nodes."""
    root = {n: n for layer in layers for n in layer}
    aligned_to: set[Node] = set()
    for i in range(1, len(layers)):
        place = {n: j for j, n in enumerate(layers[i - 1])}
        free_from = -1
        for n in layers[i]:
            near_n = sorted((m for m in near[n] if m in place), key=place.__getitem__)
            if not near_n:
                continue
            for k in dict.fromkeys(((len(near_n) - 1) // 2, len(near_n) // 2)):
                m = near_n[k]
                blocked = (m, n) in conflicts or (n, m) in conflicts
                if not blocked and place[m] > free_from and m not in aligned_to:
                    root[n] = root[m]
                    aligned_to.add(m)
                    free_from = place[m]
                    break
    return root


def _packed(
    layers: Layers,
    root: Mapping[Node, Node],
    widths: Mapping[Node, float],
    gaps: Mapping[Node, float],
) -> dict[Node, float]:
    """Places of the blocks: as far left as their left neighbours allow, then right up to their right ones."""
    right: dict[Node, dict[Node, float]] = {r: {} for r in root.values()}
    left: dict[Node, dict[Node, float]] = {r: {} for r in root.values()}
    for layer in layers:
        for a, b in pairwise(layer):
            apart = (widths[a] + widths[b]) / 2 + (gaps[a] + gaps[b]) / 2
            apart = max(apart, right[root[a]].get(root[b], 0.0))
            right[root[a]][root[b]] = left[root[b]][root[a]] = apart
    waiting = {r: len(before) for r, before in left.items()}
    order = [r for r in right if not waiting[r]]
    for r in order:
        for after in right[r]:
            waiting[after] -= 1
            if not waiting[after]:
                order.append(after)
    x: dict[Node, float] = {}
    for r in order:
        x[r] = max((x[before] + apart for before, apart in left[r].items()), default=0.0)
    for r in reversed(order):
        if right[r]:
            x[r] = max(x[r], min(x[after] - apart for after, apart in right[r].items()))
    return {n: x[r] for n, r in root.items()}


def _balanced(results: Sequence[Mapping[Node, float]], widths: Mapping[Node, float]) -> dict[Node, float]:
    """The mean of the two middle places, the four results first moved onto the narrowest one."""
    if not results[0]:
        return {}
    spans = [
        (min(x - widths[n] / 2 for n, x in r.items()), max(x + widths[n] / 2 for n, x in r.items()))
        for r in results
    ]
    low, high = min(spans, key=lambda s: s[1] - s[0])
    moved = []
    for k, r in enumerate(results):
        by = low - spans[k][0] if k % 2 == 0 else high - spans[k][1]
        moved.append({n: x + by for n, x in r.items()})
    places = {}
    for n in results[0]:
        four = sorted(m[n] for m in moved)
        places[n] = (four[1] + four[2]) / 2
    return places
