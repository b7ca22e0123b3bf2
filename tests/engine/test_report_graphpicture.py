"""Pictures of graphs: SVG that is well formed, PNG without any system package."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stagedml.errors import ConfigError
from stagedml.report.graphpicture import Box, graph_svg, text_width, write_picture

SVG = "{http://www.w3.org/2000/svg}"
BOXES = {
    "a": Box("fetch <&>", ("dump.xml.bz2", "dref:00000000"), "source"),
    "b": Box("тренировка"),
    "c": Box("table", (), "target"),
}
EDGES = [("a", "b"), ("b", "c"), ("a", "c")]


def test_every_box_edge_and_label_is_drawn() -> None:
    """The picture holds all texts as they are, a rectangle a box, a line and a head an edge."""
    root = ElementTree.fromstring(graph_svg(BOXES, EDGES, labels={("b", "c"): "refbert"}))
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert {"fetch <&>", "dump.xml.bz2", "dref:00000000", "тренировка", "table", "refbert"} == set(texts)
    assert len(list(root.iter(f"{SVG}rect"))) == len(BOXES) + 1  # and the page
    assert len(list(root.iter(f"{SVG}path"))) == 2 * len(EDGES)


def test_a_box_is_wider_than_its_text() -> None:
    """Text is measured as it will be drawn: wide letters need more room."""
    assert text_width("WWWW", 13) > 2 * text_width("iiii", 13)
    root = ElementTree.fromstring(graph_svg({"a": Box("W" * 30)}, []))
    widths = [float(r.attrib["width"]) for r in root.iter(f"{SVG}rect")]
    assert widths[1] > text_width("W" * 30, 13)


def test_a_png_has_twice_the_size_and_says_so(tmp_path: Path) -> None:
    """A PNG is drawn at 144 pixels an inch and carries that, so that a page shows it at its own size."""
    svg = graph_svg(BOXES, EDGES)
    write_picture(svg, tmp_path / "g.png")
    write_picture(svg, tmp_path / "g.svg")
    assert (tmp_path / "g.svg").read_text(encoding="utf-8") == svg
    data = (tmp_path / "g.png").read_bytes()
    width = float(ElementTree.fromstring(svg).attrib["width"])
    assert struct.unpack(">I", data[16:20])[0] == pytest.approx(2 * width, abs=2)
    at = data.index(b"pHYs") + 4
    assert struct.unpack(">I", data[at : at + 4])[0] == pytest.approx(144 / 0.0254, abs=1)


def test_a_huge_graph_is_drawn_within_the_limit(tmp_path: Path) -> None:
    """A picture that would not fit into memory is drawn smaller."""
    boxes = {"s": Box("start")} | {f"n{i}": Box(f"a stage of many {i}") for i in range(400)}
    svg = graph_svg(boxes, [("s", n) for n in boxes if n != "s"])
    write_picture(svg, tmp_path / "g.png")
    width, height = struct.unpack(">II", (tmp_path / "g.png").read_bytes()[16:24])
    assert width * height < 41e6


def test_mistakes_are_named(tmp_path: Path) -> None:
    """Another suffix, and a label without its edge, raise."""
    with pytest.raises(ConfigError, match=r"not '\.gif'"):
        write_picture(graph_svg(BOXES, EDGES), tmp_path / "g.gif")
    with pytest.raises(ConfigError, match="c -> a"):
        graph_svg(BOXES, EDGES, labels={("c", "a"): "x"})
