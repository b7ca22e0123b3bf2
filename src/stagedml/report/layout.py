"""Where the boxes and arrows of a stage graph go.

The problem: a picture of a graph of stages in which the data flows down the page, arrows cross little and
run straight, and no arrow runs through a box; without a system package (Graphviz) and in pure Python. A grid
by depth is short to write but crosses everything; a force-directed drawing loses the direction. So this is
the layered method of Sugiyama, Tagawa and Toda (1981) with the parts that make Graphviz look as it does:

1. layers by longest path, each box as near to its users as it can be, then shortened;
2. arrows over several layers pass through points of their own ("bends"), one chain for all the arrows that
   leave a box, so that a vocabulary that five stages use is one line with five branches;
3. orders within layers by medians and swaps, keeping the order with the fewest crossings (Gansner et al.
   1993, "A technique for drawing directed graphs");
4. horizontal places by Brandes and Koepf (2002), "Fast and simple horizontal coordinate assignment", with
   the compaction over the graph of blocks.

Everything is deterministic in the order of the nodes and edges given.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from stagedml.errors import ConfigError
from stagedml.report.placing import horizontal_places

Node = Hashable
Point = tuple[float, float]
NODE_GAP, BEND_GAP, LAYER_GAP = 28.0, 16.0, 46.0
SWEEPS = 24


@dataclass(frozen=True)
class Layout:
    """`centers` of the boxes; `routes` of the edges, from the source's lower to the target's upper rim, as
    the points of vertical-tangent curves; everything within (0, 0) and (`width`, `height`)."""

    centers: dict[Node, Point]
    routes: dict[tuple[Node, Node], list[Point]]
    width: float
    height: float


@dataclass(frozen=True)
class Bend:
    """A point through which the arrows of `source` pass the layer `rank`."""

    source: Node
    rank: int


def layered_layout(sizes: Mapping[Node, tuple[float, float]], edges: Sequence[tuple[Node, Node]]) -> Layout:
    """Lays out a graph of boxes of (width, height) `sizes`, its edges pointing down.

    Raises `ConfigError` if the edges form a cycle or name a node that has no size.
    """
    edges = list(dict.fromkeys(edges))
    ranks = node_ranks(list(sizes), edges)
    segments = _with_bends(ranks, edges)
    layers = _ordered_layers(ranks, segments)
    widths = {n: sizes[n][0] if n in sizes else 0.0 for n in ranks}
    gaps = {n: NODE_GAP if n in sizes else BEND_GAP for n in ranks}
    x = horizontal_places(layers, segments, widths, gaps, bends=frozenset(n for n in ranks if n not in sizes))
    top, bottom = _layer_spans(layers, sizes, segments, x)
    centers = {n: (x[n], (top[ranks[n]] + bottom[ranks[n]]) / 2) for n in sizes}
    routes = _routes(edges, sizes, ranks, x, centers, (top, bottom))
    return _shifted(centers, routes, sizes)


def node_ranks(nodes: Sequence[Node], edges: Sequence[tuple[Node, Node]]) -> dict[Node, int]:
    """The layer of each node, 0 on top: above all its targets, and as near to its neighbours as it can be."""
    above: dict[Node, list[Node]] = {n: [] for n in nodes}
    below: dict[Node, list[Node]] = {n: [] for n in nodes}
    for source, target in edges:
        if source not in above or target not in above:
            raise ConfigError(f"the edge {source} -> {target} names a node that is not in the graph")
        below[source].append(target)
        above[target].append(source)
    order = _topological(nodes, above, below)
    height = dict.fromkeys(nodes, 0)
    for n in reversed(order):
        height[n] = max((height[t] + 1 for t in below[n]), default=0)
    top = max(height.values(), default=0)
    ranks = {n: top - height[n] for n in nodes}
    for _ in range(4):  # shorten: to the side where more edges pull, as far as there is room
        for n in order:
            pull = len(below[n]) - len(above[n])
            if pull > 0:
                ranks[n] = min(ranks[t] for t in below[n]) - 1
            elif pull < 0:
                ranks[n] = max(ranks[s] for s in above[n]) + 1
    lowest = min(ranks.values(), default=0)
    return {n: r - lowest for n, r in ranks.items()}


def _topological(
    nodes: Sequence[Node], above: Mapping[Node, list[Node]], below: Mapping[Node, list[Node]]
) -> list[Node]:
    waiting = {n: len(above[n]) for n in nodes}
    order = [n for n in nodes if not above[n]]
    for n in order:
        for target in below[n]:
            waiting[target] -= 1
            if not waiting[target]:
                order.append(target)
    if len(order) < len(nodes):
        stuck = ", ".join(str(n) for n in nodes if waiting[n] > 0)
        raise ConfigError(f"the graph has a cycle among or below: {stuck}")
    return order


def _with_bends(ranks: dict[Node, int], edges: Sequence[tuple[Node, Node]]) -> list[tuple[Node, Node]]:
    """Splits edges into segments between neighbouring layers; adds the bends to `ranks`."""
    segments: dict[tuple[Node, Node], None] = {}
    for source, target in edges:
        last: Node = source
        for rank in range(ranks[source] + 1, ranks[target]):
            bend = Bend(source, rank)
            ranks[bend] = rank
            segments[last, bend] = None
            last = bend
        segments[last, target] = None
    return list(segments)


def _ordered_layers(ranks: Mapping[Node, int], segments: Sequence[tuple[Node, Node]]) -> list[list[Node]]:
    """The nodes of each layer from left to right, with few crossings."""
    above: dict[Node, list[Node]] = {n: [] for n in ranks}
    below: dict[Node, list[Node]] = {n: [] for n in ranks}
    for source, target in segments:
        below[source].append(target)
        above[target].append(source)
    layers = _first_order(ranks, above)
    best, fewest = [list(layer) for layer in layers], _all_crossings(layers, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for i in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            fixed = layers[i - 1 if down else i + 1]
            place = {n: j for j, n in enumerate(fixed)}
            layers[i] = _by_median(layers[i], above if down else below, place)
        _swap_neighbours(layers, above, below)
        crossings = _all_crossings(layers, below)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _first_order(ranks: Mapping[Node, int], above: Mapping[Node, list[Node]]) -> list[list[Node]]:
    """Layers filled depth first from the last results, so that what belongs together starts together."""
    layers: list[list[Node]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    seen: set[Node] = set()
    for start in sorted(ranks, key=lambda n: -ranks[n]):
        stack = [start]
        while stack:
            n = stack.pop()
            if n not in seen:
                seen.add(n)
                layers[ranks[n]].append(n)
                stack.extend(reversed(above[n]))
    return layers


def _by_median(
    layer: Sequence[Node], near: Mapping[Node, list[Node]], place: Mapping[Node, int]
) -> list[Node]:
    """The layer sorted by weighted medians of neighbours' places; one without neighbours keeps its own."""
    medians: dict[Node, float] = {}
    for n in layer:
        at = sorted(place[m] for m in near[n])
        if not at:
            continue
        mid = len(at) // 2
        if len(at) % 2:
            medians[n] = at[mid]
        elif len(at) == 2:
            medians[n] = (at[0] + at[1]) / 2
        else:
            left, right = at[mid - 1] - at[0], at[-1] - at[mid]
            weight = left + right
            medians[n] = (at[mid - 1] * right + at[mid] * left) / weight if weight else at[mid]
    moving = iter(sorted(medians, key=medians.__getitem__))
    return [next(moving) if n in medians else n for n in layer]


def _swap_neighbours(
    layers: list[list[Node]], above: Mapping[Node, list[Node]], below: Mapping[Node, list[Node]]
) -> None:
    """Swaps neighbours while that takes crossings away."""
    for _ in range(4):
        improved = False
        for i, layer in enumerate(layers):
            up = {n: j for j, n in enumerate(layers[i - 1])} if i else {}
            down = {n: j for j, n in enumerate(layers[i + 1])} if i + 1 < len(layers) else {}
            ups = {n: sorted(up[m] for m in above[n]) for n in layer}
            downs = {n: sorted(down[m] for m in below[n]) for n in layer}
            for j in range(len(layer) - 1):
                a, b = layer[j], layer[j + 1]
                now = _pair_crossings(ups[a], ups[b]) + _pair_crossings(downs[a], downs[b])
                then = _pair_crossings(ups[b], ups[a]) + _pair_crossings(downs[b], downs[a])
                if then < now:
                    layer[j], layer[j + 1] = b, a
                    improved = True
        if not improved:
            return


def _pair_crossings(left: Sequence[int], right: Sequence[int]) -> int:
    """Crossings of the edges to places `left` and `right` (sorted) of two neighbours in this order."""
    total = i = 0
    for place in left:
        while i < len(right) and right[i] < place:
            i += 1
        total += i
    return total


def _all_crossings(layers: Sequence[Sequence[Node]], below: Mapping[Node, list[Node]]) -> int:
    """All crossings, each layer's by counting inversions with a Fenwick tree."""
    total = 0
    for i in range(len(layers) - 1):
        place = {n: j for j, n in enumerate(layers[i + 1])}
        tree = [0] * (len(place) + 1)
        seen = 0
        for n in layers[i]:
            targets = sorted(place[m] for m in below[n])
            for p in targets:
                total += seen - _prefix(tree, p + 1)
            for p in targets:
                seen += 1
                k = p + 1
                while k < len(tree):
                    tree[k] += 1
                    k += k & -k
    return total


def _prefix(tree: Sequence[int], end: int) -> int:
    total = 0
    while end:
        total += tree[end]
        end -= end & -end
    return total


def _layer_spans(
    layers: Sequence[Sequence[Node]],
    sizes: Mapping[Node, tuple[float, float]],
    segments: Sequence[tuple[Node, Node]],
    x: Mapping[Node, float],
) -> tuple[list[float], list[float]]:
    """Upper and lower end of each layer; more room above a layer that far arrows cross to."""
    reach = [0.0] * len(layers)
    rank = {n: i for i, layer in enumerate(layers) for n in layer}
    for source, target in segments:
        reach[rank[target]] = max(reach[rank[target]], abs(x[source] - x[target]))
    top, bottom, y = [], [], 0.0
    for i, layer in enumerate(layers):
        if i:
            y += LAYER_GAP + min(60.0, reach[i] / 12)
        top.append(y)
        y += max((sizes[n][1] for n in layer if n in sizes), default=0.0)
        bottom.append(y)
    return top, bottom


def _routes(
    edges: Sequence[tuple[Node, Node]],
    sizes: Mapping[Node, tuple[float, float]],
    ranks: Mapping[Node, int],
    x: Mapping[Node, float],
    centers: Mapping[Node, Point],
    spans: tuple[list[float], list[float]],
) -> dict[tuple[Node, Node], list[Point]]:
    top, bottom = spans
    chains = {(s, t): [Bend(s, r) for r in range(ranks[s] + 1, ranks[t])] for s, t in edges}
    leaving: dict[Node, dict[Node, None]] = {n: {} for n in sizes}
    arriving: dict[Node, dict[Node, None]] = {n: {} for n in sizes}
    for (s, t), chain in chains.items():
        leaving[s][chain[0] if chain else t] = None
        arriving[t][chain[-1] if chain else s] = None
    out_ports = {n: _ports(x, n, list(far), sizes[n][0]) for n, far in leaving.items()}
    in_ports = {n: _ports(x, n, list(far), sizes[n][0]) for n, far in arriving.items()}
    routes = {}
    for (s, t), chain in chains.items():
        half_s, half_t = sizes[s][1] / 2, sizes[t][1] / 2
        points = [(out_ports[s][chain[0] if chain else t], centers[s][1] + half_s)]
        for bend in chain:
            points += [(x[bend], top[bend.rank]), (x[bend], bottom[bend.rank])]
        points.append((in_ports[t][chain[-1] if chain else s], centers[t][1] - half_t))
        routes[s, t] = points
    return routes


def _ports(x: Mapping[Node, float], node: Node, far: Sequence[Node], width: float) -> dict[Node, float]:
    """Where the lines to `far` meet the box: around its middle, in the order of their far ends."""
    if not far:
        return {}
    step = min(18.0, 0.7 * width / len(far))
    start = x[node] - step * (len(far) - 1) / 2
    return {other: start + i * step for i, other in enumerate(sorted(far, key=lambda m: x[m]))}


def _shifted(
    centers: Mapping[Node, Point],
    routes: Mapping[tuple[Node, Node], list[Point]],
    sizes: Mapping[Node, tuple[float, float]],
) -> Layout:
    """The layout moved to start at (0, 0)."""
    xs = [c[0] + side * sizes[n][0] / 2 for n, c in centers.items() for side in (-1, 1)]
    xs += [p[0] for points in routes.values() for p in points]
    left, right = min(xs, default=0.0), max(xs, default=0.0)
    height = max((c[1] + sizes[n][1] / 2 for n, c in centers.items()), default=0.0)
    return Layout(
        {n: (cx - left, cy) for n, (cx, cy) in centers.items()},
        {e: [(px - left, py) for px, py in points] for e, points in routes.items()},
        right - left,
        height,
    )
