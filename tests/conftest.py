"""Shared fixtures: a store of the test's own, and the real data where it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagedml import Store
from stagedml.store import using


@pytest.fixture(autouse=True)
def _no_remote(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test takes anything from the remote store of whoever runs it."""
    monkeypatch.delenv("STAGEDML_REMOTE", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A fresh store, current for the time of the test, in a folder with a space in its name."""
    with using(Store(tmp_path / "a store")) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("STAGEDML_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data: set STAGEDML_DATA to a folder laid out as the README says")
    return folder
