"""Changed code: noticed, named, kept or rebuilt; white-space never counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stagedml import Store

STAGE = '''
from pathlib import Path
from stagedml import Build, promise, stage
import helper

@stage()
def uses_helper(b: Build, out: Path = promise("x")) -> None:
    """Writes what the helper says."""
    out.write_text(helper.answer())
'''
HELPER = 'def answer():\n    """The answer."""\n    return "42"\n'
COMMENTED = '# a comment\n\n\ndef answer():\n    """Other words."""\n    # why\n    return ("42")\n'
CHANGED = 'def answer():\n    return "43"\n'


class Project:
    """A little project on disk, and the command line run in it as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        (folder / "my_stages.py").write_text(STAGE)
        self.helper(HELPER)

    def helper(self, text: str) -> None:
        (self.folder / "helper.py").write_text(text)

    def run(self, command: str, *args: str) -> tuple[int, str]:
        """(status, stdout and stderr)."""
        done = subprocess.run(
            [sys.executable, "-m", "stagedml.cli", "--store", str(self.store), command, *args],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder, check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        return done.returncode, done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With the stage realized once."""
    made = Project(tmp_path)
    status, out = made.run("realize", "my_stages:uses_helper")
    assert (status, "1 built" in out) == (0, True), out
    return made


def test_comments_and_formatting_are_not_a_change(project: Project) -> None:
    """White-space must never cost a three-day training run."""
    project.helper(COMMENTED)
    status, out = project.run("realize", "my_stages:uses_helper")
    assert (status, "0 built, 1 reused" in out, "code!" in out) == (0, True, False), out


def test_a_changed_helper_is_named_and_the_result_kept_until_the_user_decides(project: Project) -> None:
    """`realize` warns, `why` names the function, `--rebuild` rebuilds."""
    project.helper(CHANGED)
    _, out = project.run("realize", "my_stages:uses_helper")
    assert "code!    uses-helper  changed helper:answer since it was built" in out
    assert "0 built, 1 reused" in out
    _, out = project.run("why", "my_stages:uses_helper")
    assert "although the code changed: changed helper:answer" in out
    _, out = project.run("realize", "my_stages:uses_helper", "--rebuild", "uses-helper")
    assert "1 built" in out
    _, out = project.run("realize", "my_stages:uses_helper")
    assert ("code!" in out, "0 built" in out) == (False, True)
    path = project.run("path", "uses-helper")[1].strip()
    assert Path(path, "x").read_text() == "43"


def test_a_harmless_change_is_noted_and_not_mentioned_again(project: Project) -> None:
    """`keep` records the decision; another change is mentioned again."""
    project.helper(CHANGED)
    status, out = project.run("keep", "my_stages:uses_helper")
    assert status == 0, out
    assert "code!" not in project.run("realize", "my_stages:uses_helper")[1]
    project.helper(CHANGED.replace("43", "44"))
    assert "code!" in project.run("realize", "my_stages:uses_helper")[1]


def test_in_strict_mode_a_changed_helper_is_another_derivation(project: Project) -> None:
    """The fingerprint is part of the identity: a change rebuilds, a comment does not."""
    assert "1 built" in project.run("realize", "--strict", "my_stages:uses_helper")[1]
    project.helper(COMMENTED)
    assert "0 built" in project.run("realize", "--strict", "my_stages:uses_helper")[1]
    project.helper(CHANGED)
    assert "1 built" in project.run("realize", "--strict", "my_stages:uses_helper")[1]
    assert len(list(Store(project.store).drefs())) == 3
