"""The graph as stages of this project."""

from pathlib import Path

import work

from stagedml import Build, DRef, Manager, initialize, instantiate, mklens, promise, realize, stage


@stage(version=1)
def node(b: Build, label: str, inputs: list, salt: int = 0, out: Path = promise("out.txt")) -> None:
    texts = [Path(b.lens.inputs[i].syspath).read_text() for i in range(len(inputs))]
    out.write_text(work.content(label, texts, salt))


def target(m: Manager, nodes: list[work.Node]) -> DRef:
    outs: dict[str, list[str]] = {}
    for n in nodes:
        dref = node(m, label=n.name, inputs=[outs[i] for i in n.inputs], salt=n.salt)
        outs[n.name] = [dref, "out.txt"]
    return dref


if __name__ == "__main__":
    job = work.job()
    initialize(store=job.store)
    rref = realize(instantiate(target, job.nodes))
    print(Path(mklens(rref).out.syspath).read_text())
