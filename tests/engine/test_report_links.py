"""Links from a report's folder into the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stagedml import Build, RRef, Store, instantiate, promise, realize, stage
from stagedml.errors import ConfigError
from stagedml.garbage import roots
from stagedml.report.links import linkrref, rref2path


@stage()
def one(b: Build, text: str = "1", out: Path = promise("out.txt")) -> None:
    """Writes its text."""
    out.write_text(text)


@pytest.fixture
def rref(store: Store) -> RRef:
    """One realization."""
    return realize(instantiate(one))


def test_the_path_is_the_folder_of_the_artifacts(rref: RRef) -> None:
    """`rref2path` names the folder itself."""
    assert os.listdir(rref2path(rref)) == ["out.txt"]


def test_a_link_is_named_by_its_parts_and_is_a_root(
    rref: RRef,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The link shows the artifacts, protects them, and gives way to the next one of its name."""
    monkeypatch.chdir(tmp_path)
    made = linkrref(rref, ["bert_pretrain", "epoch-10"], verbose=True)
    assert Path(made) == tmp_path / "bert_pretrain" / "epoch-10"
    assert (Path(made) / "out.txt").read_text() == "1"
    assert capsys.readouterr().err == f"bert_pretrain/epoch-10 -> {rref}\n"
    assert rref in roots(store)
    other = realize(instantiate(one, text="2"))
    linkrref(other, "bert_pretrain/epoch-10")
    assert (Path(made) / "out.txt").read_text() == "2"
    assert set(roots(store)) == {other}


def test_a_link_takes_no_files_place(rref: RRef, tmp_path: Path) -> None:
    """Something that is no link stays, and is named."""
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ConfigError, match="notes"):
        linkrref(rref, [str(tmp_path), "notes"])
