"""What TensorFlow prints while it starts: its noise is dropped, everything else comes through."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOISE = "I0000 00:00:1 1 port.cc:153] oneDNN is on\nWARNING: All log messages before absl::InitializeLog()\n"


def start(tmp_path: Path, body: str, program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program that finds a `tensorflow` with this body."""
    (tmp_path / "tensorflow.py").write_text(f"import os\n{body}\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    program = f"import stagedml.stages\n{program}"
    return subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )


def test_noise_is_dropped_and_other_lines_are_kept(tmp_path: Path) -> None:
    """Written past Python, to the descriptor; afterwards the standard error is the terminal's again."""
    body = f"os.write(2, {(NOISE + 'E0000 a broken driver' + chr(10)).encode()!r})"
    done = start(tmp_path, body, "import tensorflow, os; os.write(2, b'I0000 later')")
    assert (done.returncode, done.stderr) == (0, "E0000 a broken driver\nI0000 later")


def test_looking_for_it_changes_nothing(tmp_path: Path) -> None:
    """Libraries ask whether TensorFlow is there before they import it."""
    body = f"os.write(2, {NOISE.encode()!r})"
    program = "from importlib.util import find_spec; assert find_spec('tensorflow').origin; import tensorflow"
    done = start(tmp_path, body, program)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failing_import_says_what_it_said(tmp_path: Path) -> None:
    """The exception passes, with the lines before it."""
    done = start(
        tmp_path, "os.write(2, b'no such library\\n'); raise ImportError('broken')", "import tensorflow"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("no such library\nTraceback")
    assert done.stderr.endswith("ImportError: broken\n")


def test_a_closed_standard_error_does_not_matter(tmp_path: Path) -> None:
    """A daemon that closed it can still import."""
    done = start(tmp_path, "here = True", "import os; os.close(2)\nimport tensorflow; print(tensorflow.here)")
    assert done.stdout == "True\n"


def test_the_level_of_later_messages_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's `$TF_CPP_MIN_LOG_LEVEL` stands; without one it is set to errors."""
    said = "import os, tensorflow; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    assert start(tmp_path, "", said).stdout == "0\n"
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    assert start(tmp_path, "", said).stdout in ("2\n", "3\n")


@pytest.mark.slow
def test_the_real_tensorflow_starts_in_silence() -> None:
    """No line at all on a machine without trouble."""
    program = "import stagedml.stages, tensorflow as tf; print(int(tf.constant(1) + 1))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("2\n", "")
