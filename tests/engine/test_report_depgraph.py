"""The picture of what stages need."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from stagedml import Build, DRef, Lens, Manager, Store, instantiate, mkdrv, promise, stage
from stagedml.errors import ConfigError
from stagedml.report.depgraph import depgraph, stage_graph


@stage()
def fetch(b: Build, url: str, out: Path = promise("out")) -> None:
    """Stands for a download."""
    out.write_text(url)


@stage()
def vocab(b: Build, source: Path, text: Lens, size: int = 10, out: Path = promise("vocab.txt")) -> None:
    """Needs one thing, by two fields."""
    out.write_text("")


@stage()
def train(b: Build, text: Lens, bert_vocab: Path, lr: float = 0.1, out: Path = promise("model")) -> None:
    """Needs two, one of them by a refpath."""
    out.write_text("")


def trained(m: Manager, *, lr: float = 0.1) -> DRef:
    """The whole chain."""
    text = fetch(m, url="https://host/dumps/dump.xml.bz2")
    words = vocab(m, text=text, source=[text, "out"])
    return train(m, text=text, bert_vocab=[words, "vocab.txt"], lr=lr)


def test_boxes_edges_and_labels_follow_the_configs(store: Store) -> None:
    """Fetches show their file, edges the fields they stand for, and nothing is built."""
    boxes, edges, labels = stage_graph([trained])
    by_title = {box.title: (ref, box) for ref, box in boxes.items()}
    (source, fetched), (middle, _), (top, result) = (by_title[n] for n in ("fetch", "vocab", "train"))
    assert fetched.notes == ("dump.xml.bz2", f"dref:{DRef(source).digest[:8]}")
    assert (fetched.kind, result.kind) == ("source", "target")
    assert set(edges) == {(source, middle), (source, top), (middle, top)}
    assert labels == {(source, top): "text", (middle, top): "bert_vocab"}
    assert not list(store.drefs())


def test_stages_share_what_they_need_and_are_told_apart(store: Store) -> None:
    """Two variants have one fetch and one vocabulary; their boxes show where they differ."""
    boxes, _, _ = stage_graph([trained, partial(trained, lr=0.5)])
    assert sorted(box.title for box in boxes.values()) == ["fetch", "train", "train", "vocab"]
    notes = sorted(box.notes[0] for box in boxes.values() if box.title == "train")
    assert notes == ["lr = 0.1", "lr = 0.5"]


def test_a_dependency_goes_by_the_field_that_holds_all_of_it(store: Store) -> None:
    """A reference counts before a path inside of it; members of collections have no name."""

    def both(m: Manager) -> DRef:
        text = fetch(m, url="https://host/a")
        other = fetch(m, url="https://host/b")
        fields = {"a_path": [text, "out"], "text": text, "all": {"one.txt": [other, "out"]}}
        return mkdrv(m, {"name": "both", **fields})

    boxes, _, labels = stage_graph([both])
    by_note = {box.notes[0]: ref for ref, box in boxes.items()}
    assert {source: label for (source, _), label in labels.items()} == {
        by_note["a"]: "text",
        by_note["b"]: "",
    }


def test_the_picture_is_written_where_asked(store: Store, tmp_path: Path) -> None:
    """PNG and SVG by suffix, closures as well as stages, folders made; the path is returned."""
    path = depgraph([instantiate(trained)], filename=str(tmp_path / "new" / "graph.svg"))
    assert path == tmp_path / "new" / "graph.svg"
    assert ">train<" in path.read_text(encoding="utf-8")
    assert depgraph([trained], tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")


def test_a_wrong_stage_is_refused_as_by_instantiate(store: Store, tmp_path: Path) -> None:
    """A misspelled field raises, and no picture is written."""
    with pytest.raises(ConfigError, match="lrr"):
        depgraph([partial(train, lrr=3)], tmp_path / "graph.png")
    assert not (tmp_path / "graph.png").exists()
