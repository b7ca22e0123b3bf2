"""The programs on Pylightnix 0.3.0 itself, and its storage taken over by this project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from legacy import EXPECTED, PROGRAMS, run_program

from stagedml.pylightnix import fsstorage, mkSS
from stagedml.pylightnix.adopt import adopt
from stagedml.store import Store

pytest.importorskip("pylightnix", reason="Pylightnix is in the parity environment only: `make parity`")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("program", EXPECTED)
def test_programs_do_the_same_on_both(program: str, tmp_path: Path) -> None:
    """What is built, reused, read and refused is the same on Pylightnix and on this engine."""
    noted = run_program("pylightnix", program, tmp_path / "theirs")
    assert noted == EXPECTED[program]
    assert run_program("stagedml", program, tmp_path / "ours") == noted


def test_the_list_of_names_is_theirs() -> None:
    """`names.txt` is what `from pylightnix import *` brings."""
    code = "import pylightnix; print(*(n for n in dir(pylightnix) if not n.startswith('_')))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert sorted(done.stdout.split()) == sorted((PROGRAMS / "names.txt").read_text().split())


@pytest.mark.parametrize("program", ["basics", "closures", "shelllike", "local"])
def test_what_they_built_is_not_built_again(program: str, tmp_path: Path) -> None:
    """A program finds what it built on Pylightnix once its storage there is adopted."""
    run_program("pylightnix", program, tmp_path / "theirs")
    ours = tmp_path / "ours"
    ours.mkdir()
    result = adopt(tmp_path / "theirs", Store(fsstorage(mkSS(str(ours)))))
    assert result.refused == {}
    assert len(result.rrefs) > 0
    noted = run_program("stagedml", program, ours)
    built = [fact for fact in noted if fact[0] == "build"]
    before = [fact for fact in EXPECTED[program] if fact[0] == "build"]
    # `shelllike` removes and collects, so what was gone there is built here too; fixed inputs live in `ours`
    allowed = {"basics": 0, "closures": 0, "shelllike": len(before) - 1, "local": 0}[program]
    assert len(built) <= allowed
