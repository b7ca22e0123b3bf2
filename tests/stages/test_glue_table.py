"""The GLUE table: averages as published, the best of the runs, what is missing stays empty."""

from __future__ import annotations

import pytest

from stagedml import Build, DRef, Manager, instantiate, mklens, promise, realizeMany, stage
from stagedml.errors import ConfigError
from stagedml.matchers import match_all
from stagedml.protocol import append_protocol
from stagedml.stages.glue.table import REFERENCE, GlueTable, best_run, glue_row, glue_table
from stagedml.store import Store, using


@stage()
def pretend_scores(b: Build, scores: list, protocol=promise("protocol.json")) -> None:  # type: ignore
    """A result whose n-th run has the n-th score."""
    value = scores[b.instance % len(scores)]
    append_protocol(protocol, "evaluate", glue_score=value, eval_accuracy=value, f1_score=value + 0.1)


def test_published_averages_follow_from_the_published_cells() -> None:
    """The averages that Hugging Face and the reference table print come out to two decimals."""
    hf, one_million = REFERENCE
    assert hf.average(wnli=False) == pytest.approx(81.67, abs=0.005)
    assert hf.average(wnli=True) == pytest.approx(78.85, abs=0.005)
    assert one_million.average(wnli=True) == pytest.approx(77.17, abs=0.01)
    assert one_million.perplexity == pytest.approx(5.013, abs=0.001)


def test_a_row_takes_the_best_run_and_counts_them(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Best of three runs, the metrics of that one run, and no average where tasks are missing."""
    with using(Store(tmp_path / "store")):

        def runs(m: Manager) -> DRef:
            return pretend_scores(m, scores=[0.5, 0.8, 0.7], num_instances=3, matcher=match_all())

        rrefs = realizeMany(instantiate(runs))
        assert len(rrefs) == 3
        row = glue_row("ours", {"mrpc": rrefs, "RTE": rrefs[:1]}, eval_loss=1.0)
        assert sorted(row.runs.items()) == [("MRPC", 3), ("RTE", 1)]
        assert row.cells["mrpc"] == pytest.approx((90.0, 80.0))
        assert row.average(wnli=False) is None
        text = glue_table({"ours": {"MRPC": rrefs}}, pretrained={"ours": 1.0}, published=REFERENCE).markdown()
        lines = text.splitlines()
        assert lines[-1].split("|")[1].strip() == "ours"
        assert "90.00/80.00" in lines[-1]
        assert "2.72" in lines[-1]
        assert "best of 3" in lines[-1]
        assert "83.91/84.10" in text
        assert mklens(best_run("MRPC", rrefs)).protocol.syspath
    with pytest.raises(ConfigError, match="no runs of MRPC"):
        best_run("MRPC", [])
    with pytest.raises(ConfigError, match="no GLUE task"):
        glue_row("ours", {"mpcr": []})


def test_a_table_of_published_rows_alone() -> None:
    """Two header lines: the columns, and what they show."""
    lines = GlueTable([], list(REFERENCE)).markdown().splitlines()
    assert "Matthews corr." in lines[2]
    assert "81.67" in lines[3]
