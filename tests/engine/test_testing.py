"""`check_stage`: the behaviour that every stage owes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small import chain, count, measured, words

from stagedml import Build, promise, stage
from stagedml.testing import StageCheckError, check_stage


@stage()
def random_bytes(b: Build, out: Path = promise("x")) -> None:
    """Not deterministic."""
    out.write_bytes(os.urandom(8))


@stage()
def undecided(b: Build, value: float = 0.0, out: Path = promise("x")) -> None:
    """Is made unstable by its caller."""
    out.write_text(str(value))


def unstable(m: object) -> object:
    """Another config at every call."""
    return undecided(m, value=float.fromhex(f"0x{os.urandom(4).hex()}"))  # type: ignore[arg-type]


def test_a_good_stage_passes() -> None:
    """Alone, in a chain, with a volatile log, and in a smoke run."""
    check_stage(words)
    check_stage(chain, text="x y", times=2)
    check_stage(measured)
    check_stage(count, src=words, smoke=True)


def test_randomness_is_found_unless_it_is_declared() -> None:
    """Two builds differ: the message says what to do."""
    with pytest.raises(StageCheckError, match="built twice"):
        check_stage(random_bytes)
    check_stage(random_bytes, deterministic=False)


def test_an_unstable_identity_is_found() -> None:
    """A config that depends on the moment is no identity."""
    with pytest.raises(StageCheckError, match="two references for one call"):
        check_stage(unstable)


def test_heavy_imports_at_instantiate_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that imports numpy at its top makes every command slow."""
    (tmp_path / "heavy_stage.py").write_text(
        "import numpy\nfrom stagedml import Build, stage\n@stage()\ndef heavy(b: Build) -> None:\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import heavy_stage  # type: ignore[import-not-found]

    with pytest.raises(StageCheckError, match="instantiating imports numpy"):
        check_stage(heavy_stage.heavy)
