"""Stage graphs are laid out without overlaps, downwards, and the same every time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedml.errors import ConfigError
from stagedml.report.layout import BEND_GAP, NODE_GAP, layered_layout, node_ranks


@st.composite
def drawings(draw: Any) -> tuple[dict[Any, tuple[float, float]], list[tuple[Any, Any]]]:
    """Boxes of random sizes with the edges of a random acyclic graph."""
    count = draw(st.integers(0, 14))
    sizes: dict[Any, tuple[float, float]] = {
        f"n{i}": (draw(st.integers(20, 200)), draw(st.integers(20, 60))) for i in range(count)
    }
    edges = [
        (f"n{j}", f"n{i}")
        for i in range(1, count)
        for j in sorted(draw(st.sets(st.integers(0, i - 1), max_size=3)))
    ]
    return sizes, edges


many = settings(max_examples=150, deadline=None)


@many
@given(drawings())
def test_boxes_do_not_overlap_and_are_on_the_page(drawing: Any) -> None:
    """Boxes that share any height keep the gap from one another, and none leaves the page."""
    sizes, edges = drawing
    layout = layered_layout(sizes, edges)
    for n, (x, y) in layout.centers.items():
        w, h = sizes[n]
        assert w / 2 - 1e-6 <= x <= layout.width - w / 2 + 1e-6
        assert h / 2 - 1e-6 <= y <= layout.height - h / 2 + 1e-6
        for m, (x2, y2) in layout.centers.items():
            if n != m and abs(y - y2) < (h + sizes[m][1]) / 2:
                assert abs(x - x2) >= (w + sizes[m][0]) / 2 + NODE_GAP - 1e-6


@many
@given(drawings())
def test_arrows_point_down_and_keep_out_of_boxes(drawing: Any) -> None:
    """Every route goes down from rim to rim, and passes rows of boxes between the boxes."""
    sizes, edges = drawing
    layout = layered_layout(sizes, edges)
    assert set(layout.routes) == set(edges)
    for (source, target), points in layout.routes.items():
        assert all(a[1] <= b[1] + 1e-6 for a, b in pairwise(points))
        for end, n, side in ((points[0], source, 1), (points[-1], target, -1)):
            x, y = layout.centers[n]
            assert abs(end[0] - x) <= sizes[n][0] / 2
            assert end[1] == pytest.approx(y + side * sizes[n][1] / 2)
        for passing in points[1:-1]:
            for n, (x, y) in layout.centers.items():
                if abs(passing[1] - y) <= sizes[n][1] / 2 + 1e-6:
                    assert abs(passing[0] - x) >= sizes[n][0] / 2 + BEND_GAP / 2 - 1e-6


@many
@given(drawings())
def test_the_same_graph_is_laid_out_the_same(drawing: Any) -> None:
    """There is no chance in it, and an edge given twice is one edge."""
    sizes, edges = drawing
    assert layered_layout(sizes, edges) == layered_layout(dict(sizes), [*edges, *edges])


def test_a_box_is_near_its_user_and_a_chain_is_straight() -> None:
    """A source that only the last stage needs stands right above it; a chain has one x."""
    ranks = node_ranks("abcds", [("a", "b"), ("b", "c"), ("c", "d"), ("s", "d")])
    assert [ranks[n] for n in "abcds"] == [0, 1, 2, 3, 2]
    layout = layered_layout({n: (30.0 + 10 * i, 20.0) for i, n in enumerate("abcd")}, list(pairwise("abcd")))
    assert len({x for x, _ in layout.centers.values()}) == 1


def test_crossings_that_can_be_avoided_are() -> None:
    """Two crossed pairs are uncrossed, whatever order the nodes came in."""
    layout = layered_layout(dict.fromkeys("abxy", (40.0, 20.0)), [("a", "y"), ("b", "x")])
    x = {n: c[0] for n, c in layout.centers.items()}
    assert (x["a"] < x["b"]) == (x["y"] < x["x"])


def test_long_arrows_from_one_box_share_their_way() -> None:
    """What goes from one box to several far ones runs as one line as far as it can."""
    chain = [("v", "a"), *pairwise("abcd"), ("v", "c"), ("v", "d")]
    routes = layered_layout(dict.fromkeys("vabcd", (40.0, 20.0)), chain).routes
    assert routes["v", "d"][: len(routes["v", "c"]) - 1] == routes["v", "c"][:-1]


def test_a_cycle_and_a_stranger_are_refused() -> None:
    """What is no acyclic graph of the given boxes raises, naming the nodes."""
    sizes: Any = dict.fromkeys("abc", (1.0, 1.0))
    with pytest.raises(ConfigError, match="cycle among or below: b, c"):
        layered_layout(sizes, [("a", "b"), ("b", "c"), ("c", "b")])
    with pytest.raises(ConfigError, match="a -> z"):
        layered_layout(sizes, [("a", "z")])
