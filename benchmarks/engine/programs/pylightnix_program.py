"""The graph as Pylightnix stages."""

from os import makedirs
from pathlib import Path

import work
from pylightnix import (
    Build,
    Registry,
    build_path,
    build_wrapper,
    instantiate,
    match_only,
    mkconfig,
    mkdrv,
    mklens,
    mkSS,
    realize1,
    selfref,
)


def make(b: Build) -> None:
    lens = mklens(b)
    texts = [Path(build_path(b, path)).read_text() for path in lens.inputs.val]
    Path(lens.out.syspath).write_text(work.content(lens.label.val, texts, lens.salt.val))


def target(nodes: list[work.Node], r: Registry):
    outs: dict[str, list[str]] = {}
    for n in nodes:
        inputs = [outs[i] for i in n.inputs]
        config = {
            "name": "node",
            "label": n.name,
            "inputs": inputs,
            "salt": n.salt,
            "out": [selfref, "out.txt"],
        }
        dref = mkdrv(mkconfig(config), match_only(), build_wrapper(make), r)
        outs[n.name] = [dref, "out.txt"]
    return dref


if __name__ == "__main__":
    job = work.job()
    for part in ("tmp", "store"):
        makedirs(f"{job.store}/{part}", exist_ok=True)
    settings = mkSS(job.store, f"{job.store}/store", f"{job.store}/tmp")
    rref = realize1(instantiate(target, job.nodes, S=settings))
    print(Path(mklens(rref, S=settings).out.syspath).read_text())
