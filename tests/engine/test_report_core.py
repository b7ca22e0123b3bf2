"""`stagedml.core` is what reports import."""

from __future__ import annotations

import subprocess
import sys

import stagedml
import stagedml.core


def test_everything_that_is_announced_is_there() -> None:
    """Every name of `__all__` exists, once, the engine's among them."""
    names = stagedml.core.__all__
    assert len(set(names)) == len(names)
    assert set(stagedml.__all__) <= set(names)
    assert all(hasattr(stagedml.core, name) for name in names)


def test_the_names_that_the_reports_are_written_with_are_there() -> None:
    """The reference reports use these as they are."""
    needed = """
        instantiate realize realizeMany redefine mkconfig mkdrv mklens build_wrapper promise claim
        match_only match_latest match_best match_some match_all DRef RRef
        depgraph rref2path linkrref store_buildelta protocol_rref_metric
        tensorboard_tensor_events tensorboard_tensors te2float readstr
        markdown_url altair_print markdown_altair
    """
    assert set(needed.split()) <= set(stagedml.core.__all__)


def test_importing_it_imports_nothing_heavy() -> None:
    """No package of the machine-learning half, nor the ones that draw and render."""
    heavy = ["tensorflow", "keras", "numpy", "pandas", "altair", "vl_convert", "codebraid", "tensorboard"]
    program = f"import sys, stagedml.core; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
