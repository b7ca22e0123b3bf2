"""Fixtures of the engine's tests: a misbehaving server, and downloads from it with short patience."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import Fetch, Site, serving

from stagedml.fetch.download import Downloaded, Patience, download


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of its own for each test."""
    with serving() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that a download asked for, in seconds; none is really made."""
    return []


@pytest.fixture
def fetch(tmp_path: Path, pauses: list[float]) -> Fetch:
    """`download` to `tmp_path/file` with short patience and no real pauses."""

    def run(url: str, *, tries: int = 4, timeout_s: float = 5.0, **options: object) -> Downloaded:
        patience = Patience(tries=tries, timeout_s=timeout_s, sleep=pauses.append, jitter=lambda: 1.0)
        return download(url, tmp_path / "file", patience=patience, **options)  # type: ignore[arg-type]

    return run
