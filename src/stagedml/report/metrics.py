"""Numbers of realizations: metrics and their spread over several runs, TensorBoard curves, build times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stagedml.errors import MissingError
from stagedml.matchers import protocol_path
from stagedml.protocol import protocol_metric
from stagedml.refs import RRef
from stagedml.report.eventfiles import TensorEvent, read_events
from stagedml.store import current_store

LOGS = "logs"


@dataclass(frozen=True)
class MetricSummary:
    """A metric over several realizations; `deviation` is the sample's (n - 1), None for a single one."""

    values: tuple[float, ...]
    mean: float
    deviation: float | None
    min: float
    max: float

    @property
    def n(self) -> int:
        return len(self.values)

    def __str__(self) -> str:
        if self.deviation is None:
            return f"{self.mean:.4g}"
        return f"{self.mean:.4g} ± {self.deviation:.2g} (n={self.n})"


def protocol_rref_metric(rref: RRef, op: str, metric: str) -> float:
    """The last value of `metric` that operation `op` of a realization recorded in its protocol.

    Raises `MissingError`, saying what there is.
    """
    return protocol_metric(protocol_path(current_store(), RRef(rref)), op, metric)


def store_buildelta(rref: RRef) -> float:
    """How long the realization took to build, in seconds, earlier stretches of a resumed build included.

    Raises `MissingError` when that was not recorded.
    """
    seconds = current_store().record(rref).seconds
    if seconds is None:
        raise MissingError("its build time was not recorded", where=rref)
    return float(seconds)


def metric_summary(rrefs: Iterable[RRef], op: str, metric: str) -> MetricSummary:
    """Mean, deviation, minimum and maximum of a protocol metric over realizations. Raises `MissingError`."""
    return summarize([protocol_rref_metric(r, op, metric) for r in rrefs])


def summarize(values: Iterable[float]) -> MetricSummary:
    """Mean, deviation, minimum and maximum of some numbers. Raises `MissingError` when there are none."""
    import statistics  # imports half of the numeric library, for this function only

    sample = tuple(values)
    if not sample:
        raise MissingError("no realizations to summarize", hint="realizeMany(...) returns them")
    deviation = statistics.stdev(sample) if len(sample) > 1 else None
    return MetricSummary(sample, statistics.fmean(sample), deviation, min(sample), max(sample))


def tensorboard_tensor_events(rref: RRef, folder: str, tag: str) -> list[TensorEvent]:
    """The events of a tag in the TensorBoard logs of a realization, by step; see `te2float`.

    `folder` is the run: a folder among the artifacts or in their `logs` folder, such as 'train' or 'valid'.
    Raises `MissingError`, saying which there are.
    """
    return read_events(logs_folder(Path(current_store().path_of(rref)), folder), tag)


def tensorboard_tensors(rref: RRef, folder: str, metric: str) -> list[TensorEvent]:
    """The same as `tensorboard_tensor_events`: the events of `metric` in `folder`."""
    return tensorboard_tensor_events(rref, folder, metric)


def logs_folder(artifacts: Path, folder: str) -> Path:
    """The folder of a run's event files: `folder` or `logs/folder` below the artifacts."""
    for found in (artifacts / folder, artifacts / LOGS / folder):
        if found.is_dir():
            return found
    known = sorted(p.name for base in (artifacts, artifacts / LOGS) if base.is_dir() for p in base.iterdir())
    raise MissingError(
        f"no logs folder {folder!r}", where=str(artifacts), hint=f"there is: {', '.join(known)}"
    )
