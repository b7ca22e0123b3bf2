"""Numbers of realizations, as reports ask for them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from eventwriter import write_curve

from stagedml import (
    Build,
    RRef,
    Store,
    instantiate,
    match_all,
    promise,
    realize,
    realizeMany,
    redefine,
    stage,
)
from stagedml.errors import MissingError
from stagedml.protocol import append_protocol, protocol_metric
from stagedml.report.eventfiles import te2float
from stagedml.report.metrics import (
    metric_summary,
    protocol_rref_metric,
    store_buildelta,
    summarize,
    tensorboard_tensor_events,
    tensorboard_tensors,
)


@stage()
def measured(
    b: Build,
    protocol: Path = promise("protocol.json"),
    logs: Path = promise("logs", volatile=True),
) -> None:
    """Measures the number of its instance."""
    append_protocol(protocol, "evaluate", eval_accuracy=0.5 + b.instance / 10)
    write_curve(logs / "valid" / "events.out.tfevents.1", "accuracy", [0.25, 0.5])


@pytest.fixture
def rref(store: Store) -> RRef:
    """One realization."""
    return realize(instantiate(measured))


def test_a_metric_of_a_realization(rref: RRef) -> None:
    """The protocol's number, or a message with the metrics there are."""
    assert protocol_rref_metric(rref, "evaluate", "eval_accuracy") == 0.5
    with pytest.raises(MissingError, match=r"evaluate\.eval_accuracy"):
        protocol_rref_metric(rref, "evaluate", "f1_score")


def test_a_metric_without_a_value_is_null(tmp_path: Path) -> None:
    """NaN is written as JSON knows it, and read as NaN again: it is there, and has no value."""
    append_protocol(tmp_path / "protocol.json", "evaluate", pearson=float("nan"), eval_loss=0.5)
    assert json.loads((tmp_path / "protocol.json").read_text()) == [
        ["evaluate", {"eval_loss": 0.5, "pearson": None}]
    ]
    assert math.isnan(protocol_metric(tmp_path / "protocol.json", "evaluate", "pearson"))


def test_mean_deviation_and_range_come_from_one_call(store: Store) -> None:
    """A sample of three runs: 0.5, 0.6, 0.7."""
    rrefs = realizeMany(instantiate(redefine(measured, new_matcher=match_all()), num_instances=3))
    summary = metric_summary(rrefs, "evaluate", "eval_accuracy")
    assert summary.n == 3
    assert sorted(summary.values) == pytest.approx([0.5, 0.6, 0.7])
    assert summary.mean == pytest.approx(0.6)
    assert summary.deviation == pytest.approx(0.1)
    assert (summary.min, summary.max) == (0.5, 0.7)
    assert str(summary) == "0.6 ± 0.1 (n=3)"


def test_a_single_run_has_no_deviation() -> None:
    """One number says nothing of the spread; none at all is an error."""
    assert summarize([0.8]).deviation is None
    assert str(summarize([0.8])) == "0.8"
    with pytest.raises(MissingError, match="no realizations"):
        summarize([])


def test_curves_of_a_realization(rref: RRef) -> None:
    """The reports' two names read the same events, from `logs/valid` or `valid`."""
    events = tensorboard_tensor_events(rref, "valid", "accuracy")
    assert [(e.step, te2float(e)) for e in events] == [(0, 0.25), (1, 0.5)]
    assert tensorboard_tensors(rref, "valid", "accuracy") == events
    with pytest.raises(MissingError, match=r"there is: logs, protocol\.json, valid"):
        tensorboard_tensors(rref, "eval", "accuracy")


def test_the_build_time_is_what_was_recorded(rref: RRef, store: Store) -> None:
    """Seconds, of this build; an unknown realization is a typed error."""
    assert store_buildelta(rref) == store.provenance(rref)["seconds"] >= 0
    with pytest.raises(MissingError):
        store_buildelta(RRef(f"rref:{'0' * 32}-{rref.dref[5:]}"))
