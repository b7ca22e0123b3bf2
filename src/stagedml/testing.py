"""For authors of stages: the behaviour that every stage owes, in one call.

def test_my_stage():
    check_stage(my_stage, text=small_text)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

from stagedml.config import config_outputs
from stagedml.errors import StagedmlError
from stagedml.realize import realize
from stagedml.refs import RRef
from stagedml.reporter import Reporter
from stagedml.stage import Closure, Manager, Stage, instantiate_in
from stagedml.store import Store, using

HEAVY = ("tensorflow", "keras", "jax", "torch", "numpy", "pandas", "altair")
_PROBE = """
import importlib, json, sys
sys.path[:0] = json.loads(sys.argv[1])
from stagedml.stage import Manager, instantiate_in
from stagedml.store import Store, using
stage = importlib.import_module(sys.argv[2])
for part in sys.argv[3].split("."):
    stage = getattr(stage, part)
with using(Store(sys.argv[4])) as store:
    dref = instantiate_in(Manager(store), stage, **json.loads(sys.argv[5])).dref
print(json.dumps([dref, sorted(set(json.loads(sys.argv[6])) & set(sys.modules))]))
"""


class StageCheckError(StagedmlError):
    """A stage does not behave as stages must; the message says in which way."""


def check_stage(stage: Stage, *, deterministic: bool = True, smoke: bool = False, **parameters: Any) -> RRef:
    """Realizes a stage in temporary stores and checks what every stage owes. Returns the reference.

    Its identity is stable, in this process and in another one with another hash seed; instantiating it
    imports no heavy library; its promises are kept; what it made is read-only; a second realize builds
    nothing; and, if `deterministic`, building it again elsewhere gives the same realization. With `smoke`
    its toy settings are used. Raises `StageCheckError`, or whatever the stage raises.
    """
    with tempfile.TemporaryDirectory() as folder:
        first = _closure(f"{folder}/a", stage, smoke, parameters)
        again = _closure(f"{folder}/b", stage, smoke, parameters)
        if first.dref != again.dref:
            raise StageCheckError(f"two references for one call: {first.dref} and {again.dref}")
        if not smoke:
            _check_elsewhere(stage, parameters, first.dref, f"{folder}/c")
        rref = _realize(first)
        _check_artifacts(first.store, rref)
        if _realize(_closure(f"{folder}/a", stage, smoke, parameters)) != rref:
            raise StageCheckError(f"a second realize gave another realization than {rref}")
        if deterministic and _realize(again) != rref:
            raise StageCheckError(
                f"built twice, it gave two realizations of {first.dref}",
                hint="declare logs and timings as promise(..., volatile=True), seed everything with b.seed, "
                "or check with deterministic=False",
            )
        return rref


def _closure(folder: str, stage: Stage, smoke: bool, parameters: dict[str, Any]) -> Closure:
    return instantiate_in(Manager(Store(folder), smoke=smoke), stage, **parameters)


def _realize(closure: Closure) -> RRef:
    with using(closure.store):
        return realize(closure, reporter=Reporter(), remote="")  # a check has to build


def _check_artifacts(store: Store, rref: RRef) -> None:
    record = store.record(rref)
    for _, marker, path in config_outputs(store.config(rref.dref)):
        if marker != "__claim__" and not os.path.lexists(f"{record.out}/{path}"):
            raise StageCheckError(f"the promise {path} was not kept", where=rref)
    for name in ("", *record.files, *record.volatile):
        mode = os.lstat(f"{record.out}/{name}").st_mode
        if mode & 0o222 and not os.path.islink(f"{record.out}/{name}"):
            raise StageCheckError(f"{name or 'the folder'} can be written to", where=rref)


def _check_elsewhere(stage: Any, parameters: dict[str, Any], dref: str, folder: str) -> None:
    """Instantiates in another process, for stages that can be imported and parameters that are plain."""
    import importlib.util
    import json

    name, module = getattr(stage, "__qualname__", "<"), getattr(stage, "__module__", "__main__")
    try:
        given = json.dumps(parameters)
        found = "<" not in name and module != "__main__" and importlib.util.find_spec(module)
    except (TypeError, ValueError, ImportError):
        return
    if not found:
        return
    words = [json.dumps(sys.path), module, name, folder, given, json.dumps(HEAVY)]
    env = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *words], capture_output=True, text=True, env=env, check=False
    )
    if done.returncode:
        raise StageCheckError(f"it cannot be instantiated in another process:\n{done.stderr}", where=name)
    other, heavy = json.loads(done.stdout.splitlines()[-1])
    if other != dref:
        raise StageCheckError(f"another process computes {other} instead of {dref}", where=name)
    if heavy:
        raise StageCheckError(
            f"instantiating imports {', '.join(heavy)}", where=name, hint="import inside the realizer's body"
        )
