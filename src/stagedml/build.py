"""What a realizer sees: the outputs, the lens, progress, and scratch that survives a kill."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagedml.config import Config, config_outputs, is_output, is_refpath
from stagedml.disk import read_bytes, remove_tree, write_atomic
from stagedml.errors import ConfigError, PromiseError
from stagedml.hashing import digest
from stagedml.lens import Lens, Place, mklens
from stagedml.record import Context
from stagedml.refs import DRef, is_dref, is_rref
from stagedml.store import Store

if TYPE_CHECKING:
    from stagedml.progress import Progress


def instance_seed(base: object, index: int) -> int:
    """The seed (0 to 2**31-1) of an instance: it depends on the config's `seed`, if any, and the index.

    It does not depend on the rest of the config, so that instance 3 of two configs under comparison starts
    from the same random state.
    """
    return int(digest("seed:1", repr(base).encode(), b"%d" % index)[:8], 16) & 0x7FFFFFFF


class Build:
    """One build of one derivation: `mklens(b)` reaches its config, its dependencies and its outputs."""

    def __init__(
        self,
        store: Store,
        dref: DRef,
        *,
        context: Context,
        index: int,
        seed: int,
        folder: str,
        scratch: str,
        workers: int = 1,
        hints: dict[str, Any] | None = None,
    ) -> None:
        self.store = store
        self.dref = dref
        self.config: Config = store.config(dref)
        self.context = context
        self.instance = index
        self.seed = seed
        self.workers = workers
        self.hints: dict[str, Any] = dict(hints or {})
        self.siblings: list[Build] = []
        self.folder = folder
        self.outpath = Path(folder, "out")
        self._scratch = scratch
        self._earlier_s: float | None = None  # seconds of earlier processes, once scratch was asked for
        os.mkdir(self.outpath)
        self.lens_place = Place(store, dref, lambda: str(self.outpath), self._pick)
        self.make_folders()

    def __repr__(self) -> str:
        return f"Build({self.dref}, instance {self.instance})"

    def _pick(self, dref: str) -> list[str]:
        if dref not in self.context:
            raise ConfigError(f"{dref} is no dependency of {self.dref}")
        return self.context[dref]

    def make_folders(self) -> None:
        """Makes the folders that the declared outputs lie in."""
        for _, _, path in config_outputs(self.config):
            if "/" in path:
                os.makedirs(os.path.dirname(f"{self.folder}/out/{path}"), exist_ok=True)

    @property
    def lens(self) -> Lens:
        """The same as `mklens(b)`."""
        return mklens(self)

    @property
    def scratch(self) -> Path:
        """A folder that outlives the process and belongs to this derivation, context and instance only."""
        os.makedirs(self._scratch, exist_ok=True)
        if self._earlier_s is None:
            self._earlier_s = _begin_stretch(self._scratch)
        return Path(self._scratch)

    @property
    def earlier_seconds(self) -> float:
        """How long earlier processes worked on what this build went on from; 0 when it began afresh."""
        return self._earlier_s or 0.0 if self.resumes else 0.0

    def another(self) -> Build:
        """A build of the next instance, for realizers that make several realizations at once.

        It is published together with this one, when the realizer returns.
        """
        index = self.instance + len(self.siblings) + 1
        sibling = Build(
            self.store,
            self.dref,
            context=self.context,
            index=index,
            seed=instance_seed(self.config.peek().get("seed"), index),
            folder=self.store.new_tmp(),
            scratch=f"{self._scratch}-{index}",
            workers=self.workers,
            hints=self.hints,
        )
        self.siblings.append(sibling)
        return sibling

    def resumed(self, where: str) -> None:
        """Records in the provenance that this build went on from scratch, for example at "step 4000"."""
        with open(self.scratch / ".resumes", "a", encoding="utf-8") as f:
            f.write(where.replace("\n", " ") + "\n")

    @property
    def resumes(self) -> list[str]:
        """Where this build went on from scratch, each time, in every process that worked on it."""
        if self._earlier_s is None:  # nobody asked for scratch, so nothing went on from there
            return []
        try:
            with open(f"{self._scratch}/.resumes", encoding="utf-8") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def drop_scratch(self) -> None:
        """Removes the scratch folder: the realization is published."""
        remove_tree(self._scratch)

    def progress(self, total: float | None = None, *, unit: str = "it", desc: str = "") -> Progress:
        """A progress bar: `with b.progress(total=100, unit="step") as p: p.update(); p.note(loss=0.3)`."""
        from stagedml.progress import BarProgress

        return BarProgress(total, unit=unit, desc=desc or self.config.name, stream=terminal())

    def value(self, field: str) -> Any:
        """A field as realizers get it: a dependency as a lens, an output or refpath as a path."""
        if field in self.hints:
            return self.hints[field]
        raw = self.config.peek()[field]
        if not isinstance(raw, (str, list, dict)):
            return raw
        if is_output(raw):
            return Path(self.folder, "out", *raw[1:])
        if is_refpath(raw):
            return Path(self.lens[field].syspath)
        if is_dref(raw) or is_rref(raw):
            return self.lens[field]
        if isinstance(raw, str):
            return raw
        if isinstance(raw, list) and raw and all(is_dref(r) for r in raw):
            return [self.lens[field][i] for i in range(len(raw))]
        return self.lens[field].val

    def check_promises(self) -> None:
        """Raises `PromiseError` for the first promised output that is not there."""
        for field, marker, path in config_outputs(self.config):
            if marker != "__claim__" and not os.path.lexists(f"{self.folder}/out/{path}"):
                there = sorted(os.listdir(self.outpath))
                raise PromiseError(
                    f"the promised output {field} is missing: {path}",
                    where=self.config.name,
                    hint=f"the realizer left: {', '.join(there) or 'nothing'}",
                    dref=self.dref,
                )

    def volatile(self) -> list[str]:
        """Output paths that stay out of the digest."""
        return [path for _, marker, path in config_outputs(self.config) if marker == "__volatile__"]


def _begin_stretch(scratch: str) -> float:
    """Notes that work in a scratch folder begins (again); returns the seconds of the work before.

    A process that was killed could not say when it stopped: its last change in the folder counts as that.
    """
    note = f"{scratch}/.stretches"
    try:
        before, started = map(float, read_bytes(note).split())
    except (FileNotFoundError, ValueError):
        before = 0.0
    else:
        inside = [os.lstat(f"{scratch}/{name}").st_mtime for name in os.listdir(scratch)]
        before += max(0.0, max(inside) - started)
    write_atomic(note, b"%.3f %.3f" % (before, time.time()))
    return before


_terminal: Any = None


def set_terminal(stream: Any) -> None:
    """Where progress goes while a stage's own stdout and stderr are kept in its log."""
    global _terminal
    _terminal = stream


def terminal() -> Any:
    """The stream for progress; None means the current stderr."""
    return _terminal
