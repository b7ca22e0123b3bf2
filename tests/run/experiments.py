"""Copies of the folders below `run/`, whose `make` runs with a store of their own, in a path with a blank."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parents[2] / "run"
PRODUCTS = ("out", "out_html", "data", "links", "__pycache__")
OUTSIDE = ("MAKEFLAGS", "STAGEDML_MIRROR", "STAGEDML_DATA", "DATA", "PWD")  # what must not come in from here


def copy_experiment(name: str, top: Path) -> Path:
    """A clean copy of an experiment's folder below `top`."""
    here = top / "a checkout" / "run" / name
    shutil.copytree(RUN / name, here, ignore=shutil.ignore_patterns(*PRODUCTS))
    shutil.copy(RUN / "report.mk", here.parent)
    return here


def run_in(here: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in an experiment's folder, with further environment variables."""
    env = {k: v for k, v in os.environ.items() if k not in OUTSIDE}
    env |= {"STAGEDML_STORE": str(here.parents[1] / "a store"), "PWD": str(here), **variables}
    return subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)


def make(here: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`make` in an experiment's folder, with this Python."""
    return run_in(here, "make", "--no-print-directory", f"PYTHON={sys.executable}", *words, **variables)
