"""The engines that are compared: what to install for each, and its program."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
VENVS = HERE.parents[1] / ".venv-bench"


@dataclass(frozen=True)
class Peer:
    """One engine. `fan_limit` is the largest fan it is asked for, where more takes minutes."""

    name: str
    requirements: tuple[str, ...]
    hashes_artifacts: bool = True
    fan_limit: int = 1_000_000

    @property
    def program(self) -> Path:
        return PROGRAMS / f"{self.name}_program.py"

    @property
    def python(self) -> Path:
        """The interpreter with this engine; ours is the one that runs the benchmark."""
        return VENVS / self.name / "bin" / "python" if self.requirements else Path(sys.executable)

    def install(self) -> str:
        """Makes the engine's environment if it is not there. Returns what went wrong, or an empty string."""
        if not self.requirements or (VENVS / self.name / "ready").exists():
            return ""
        subprocess.run([sys.executable, "-m", "venv", str(VENVS / self.name)], check=True)
        command = [str(self.python), "-m", "pip", "install", "-q", *self.requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
        (VENVS / self.name / "ready").touch()
        return ""


PEERS = (
    Peer("stagedml", ()),
    Peer("doit", ("doit==0.37.0",), hashes_artifacts=False),
    Peer("joblib", ("joblib==1.6.0",)),
    Peer("pylightnix", ("pylightnix==0.3.0",)),
    Peer("mandala", ("pymandala==0.2.0a0", "pyarrow", "tqdm", "graphviz", "ipython")),
    Peer("snakemake", ("snakemake==9.27.1",), hashes_artifacts=False),
    Peer("redun", ("redun==0.44.1",)),
    Peer("tango", ("ai2-tango==1.3.2",)),
    Peer("dvc", ("dvc==3.67.1",), fan_limit=200),
)
