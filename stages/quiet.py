"""TensorFlow without the lines that it prints to every terminal while it starts.

They say that oneDNN is on and that there is no GPU, come from C++ before its logging is set up, and no
switch silences them. So its first import runs with the standard error kept aside; what is not such a line is
printed afterwards. Later messages follow `$TF_CPP_MIN_LOG_LEVEL`, by default errors only.
"""

from __future__ import annotations

import os
import sys
from typing import Any

NOISE = (
    b"I0000 ",
    b"W0000 ",
    b"WARNING: All log messages before absl",
    b"To enable the following instructions",
)


class _Finder:
    """Finds `tensorflow` as all others would, and hands out a loader that keeps its noise aside."""

    def __init__(self) -> None:
        self._asking = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "tensorflow" or self._asking:
            return None
        from importlib.util import find_spec

        self._asking = True  # the others, not this one again
        try:
            spec = find_spec(name)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


class _Loader:
    """A loader that runs its module without the noise."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: Any) -> None:
        import tempfile

        module.__spec__.loader = module.__loader__ = self._loader
        try:
            terminal = os.dup(2)
        except OSError:  # a process without a standard error has nobody to disturb
            self._loader.exec_module(module)
            return
        with tempfile.TemporaryFile() as aside:
            os.dup2(aside.fileno(), 2)
            try:
                self._loader.exec_module(module)
            finally:
                os.dup2(terminal, 2)
                os.close(terminal)
                aside.seek(0)
                for line in aside:
                    if not line.startswith(NOISE):
                        os.write(2, line)


def install() -> None:
    """Takes effect at the first import of TensorFlow; none is imported here."""
    if "tensorflow" in sys.modules:
        return
    gpu = os.path.exists("/dev/nvidiactl")  # without one, even the complaints about CUDA say nothing new
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if gpu else "3")
    sys.meta_path.insert(0, _Finder())
