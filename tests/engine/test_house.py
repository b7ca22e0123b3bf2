"""The rules of the house that a machine can check: layers, light imports, documented tests, the make file."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "altair", "beautifultable", "codebraid", "gensim", "jax", "keras", "numpy", "pandas", "pypandoc",
    "safetensors", "scipy", "sklearn", "tensorboard", "tensorflow", "tokenizers", "torch", "tqdm",
    "transformers", "vl_convert",
}  # fmt: skip
FRONT_DOORS = ["stagedml", "stagedml.core", "stagedml.cli", "stagedml.fetch", "stagedml.stages.all"]
BATTERIES = {"asyncio", "ssl", "http.client", "urllib.request", "zipfile", "tarfile", "multiprocessing"}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after this code."""
    tail = "\nimport sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", FRONT_DOORS)
def test_imports_are_light(module: str) -> None:
    """Importing the engine, the command line or the whole menu loads no heavy package."""
    assert not loaded_by(f"import {module}") & HEAVY


@pytest.mark.parametrize("module", ["stagedml", "stagedml.stages.all"])
def test_imports_leave_batteries_alone(module: str) -> None:
    """What only a build needs of the standard library is loaded when there is a build."""
    assert not loaded_by(f"import {module}") & BATTERIES


def test_instantiating_the_menu_is_light(tmp_path: Path) -> None:
    """Every stage of the menu that needs no arguments is instantiated without a heavy package."""
    code = f"""
import inspect
from stagedml import Store, instantiate
from stagedml.menu import find_stage, menu
from stagedml.store import using
with using(Store({str(tmp_path / "store")!r})):
    done = 0
    for name in menu():
        stage = find_stage(name)
        if name.startswith("all_") and all(
            p.default is not p.empty for p in list(inspect.signature(stage).parameters.values())[1:]
        ):
            instantiate(stage)
            done += 1
assert done >= 10, done
"""
    assert not loaded_by(code) & HEAVY


def test_engine_knows_no_tensorflow() -> None:
    """No module of the engine names a machine-learning package, not even in a function."""
    import grimp

    graph = grimp.build_graph("stagedml", include_external_packages=True)
    learning = {"jax", "keras", "tensorflow", "tf_keras", "tokenizers", "torch", "transformers"}
    engine = {m for m in graph.modules if m.startswith("stagedml.") and not m.startswith("stagedml.stages")}
    found = {(m, d) for m in engine for d in graph.find_modules_directly_imported_by(m) if d in learning}
    assert not found


def test_layers() -> None:
    """Upper layers import lower ones and never the reverse, as pyproject.toml lists them."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_stages_have_one_name() -> None:
    """The collection is a tracked link, and refuses to be imported under another name than its own."""
    assert os.readlink(ROOT / "src/stagedml/stages") == "../../stages"
    code = "import stages"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "import it as `stagedml.stages`" in done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda p: p.name)
def test_every_test_says_what_it_is_about(path: Path) -> None:
    """Each test has a docstring: the suite reads as a specification."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test") and not ast.get_docstring(node)
    ]
    assert not silent


def test_make_help_lists_the_targets() -> None:
    """`make help` explains each target, the two of the quick start first."""
    command = ["make", "--no-print-directory", "help"]  # below `make test` it would say where it is
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    targets = [line.split()[0] for line in done.stdout.splitlines()]
    assert targets[:3] == ["help", "demo", "test"]
    assert {"venv", "lint", "lock", "parity", "torture", "bench", "clean"} <= set(targets)


@pytest.mark.parametrize("chosen", ["/bin/false", "/nowhere/python3"])
def test_unusable_python(tmp_path: Path, chosen: str) -> None:
    """A Python that cannot be used is named, and no environment is begun."""
    env = {**os.environ, "PYTHON": chosen}
    script = ["sh", "requirements/venv.sh", str(tmp_path / "venv"), "requirements/lock.txt"]
    done = subprocess.run(script, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"PYTHON={chosen} is not a Python 3.11, 3.12 or 3.13" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_linked_environment_is_left_alone(tmp_path: Path) -> None:
    """An environment that is a link is somebody else's: used, and not rebuilt."""
    (tmp_path / "real/bin").mkdir(parents=True)
    (tmp_path / "real/bin/python").symlink_to(sys.executable)
    (tmp_path / "venv").symlink_to("real")
    script = ["sh", "requirements/venv.sh", str(tmp_path / "venv"), "requirements/lock.txt"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert os.listdir(tmp_path / "real") == ["bin"]
