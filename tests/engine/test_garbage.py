"""Garbage collection: what is reachable or in use stays; deleting is atomic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from graphs import Node, graph_stage, graphs
from hypothesis import given
from hypothesis import strategies as st
from small import chain, measured
from test_laws import few, fresh_store

import stagedml.running as running
from stagedml import Store, instantiate, match_some, realize, realizeMany, redefine
from stagedml.browse import closure
from stagedml.cli import main
from stagedml.errors import ConfigError
from stagedml.garbage import best, collect, garbage, link, live, root, roots, unroot


@pytest.fixture(autouse=True)
def _nothing_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests realize and collect in one process, which would protect everything as in use."""
    monkeypatch.setattr("stagedml.garbage.in_use", lambda store: set())


@given(graphs(), graphs(), st.booleans())
@few
def test_law_8_nothing_reachable_from_a_root_goes(one: list[Node], other: list[Node], keep: bool) -> None:
    """Law 8: the closure of a root stays whole; everything else goes."""
    with fresh_store() as store:
        kept, loose = realize(instantiate(graph_stage(one))), realize(instantiate(graph_stage(other)))
        root(store, kept)
        if keep:
            root(store, loose)
        expected = set(closure(store, kept)) | (set(closure(store, loose)) if keep else set())
        import unittest.mock

        with unittest.mock.patch("stagedml.garbage.in_use", return_value=set()):
            collect(store)
        there = {r.rref for d in store.drefs() for r in store.records(d)}
        assert there == expected
        assert all(not store.problems(store.record(r), deep=True) for r in there)
        assert os.listdir(store.dir("trash")) == []


def test_looking_deletes_nothing_and_delete_says_what_went(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """`stagedml gc` lists with sizes and time to rebuild; only --delete deletes."""
    rref = realize(instantiate(chain))
    assert main(["gc"]) == 0
    out = capsys.readouterr().out
    assert rref in out
    assert "would go (with --delete): 2 realizations" in out
    assert len(garbage(store)) == 2
    assert main(["gc", "--delete"]) == 0
    assert "deleted: 2 realizations" in capsys.readouterr().out
    assert garbage(store) == []
    assert realize(instantiate(chain)) == rref


def test_a_link_anywhere_is_a_root_as_long_as_it_stands(store: Store, tmp_path: Path) -> None:
    """A link made beside a report protects; removing it is enough to stop that."""
    rref = realize(instantiate(chain))
    path = link(store, rref, str(tmp_path / "my results" / "best"))
    assert Path(path, "deep/count.json").read_text() == "9"
    assert roots(store) == {rref: [path]}
    assert garbage(store) == []
    os.unlink(path)
    assert len(garbage(store)) == 2
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="no link"):
        link(store, rref, str(tmp_path / "file"))


def test_roots_have_names(store: Store) -> None:
    """A named root is listed, replaced and removed by its name."""
    one, other = realize(instantiate(chain)), realize(instantiate(chain, times=4))
    root(store, one, "paper")
    root(store, other, "paper")
    assert list(roots(store)) == [other]
    unroot(store, "paper")
    assert roots(store) == {}


def test_the_best_k_by_a_metric_can_be_kept(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """--keep-best NAME METRIC K spares the best runs and what they were built from."""
    rrefs = realizeMany(instantiate(redefine(measured, new_matcher=match_some(4))))
    assert best(store, "noisy", "accuracy", 2) == [rrefs[3], rrefs[2]]
    assert main(["gc", "--delete", "--keep-best", "noisy", "accuracy", "2"]) == 0
    assert [r.rref for r in store.records(rrefs[0].dref)] == rrefs[2:]
    assert "deleted: 2 realizations" in capsys.readouterr().out


def test_what_is_dear_to_rebuild_can_be_spared(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate in seconds a gigabyte: a few bytes that took an hour are dear, that took no time are cheap."""
    realize(instantiate(chain))
    before = store.record
    took = {"count": 3600.0, "words": 0.0}
    monkeypatch.setattr(store, "record", lambda rref: before(rref)._replace(seconds=took[rref.name]))
    assert [c.record.rref.name for c in garbage(store, max_seconds_per_gb=1e6)] == ["words"]
    assert len(garbage(store)) == 2


def test_what_a_living_process_uses_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process realized something and still runs: it keeps what it has."""
    monkeypatch.setattr("stagedml.garbage.in_use", running.in_use)
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from small import chain\nfrom stagedml import *\n"
        "initialize(sys.argv[1]); print(realize(instantiate(chain)), flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, store.path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        rref = ""
        while not rref.startswith("rref:"):
            rref = other.stdout.readline().strip()
        assert rref in live(store)
        assert garbage(store) == []
        other.communicate("")
    assert len(garbage(store)) == 2
