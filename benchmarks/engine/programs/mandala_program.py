"""The graph as mandala ops."""

import os

import work
from mandala.imports import MList, Storage, op


@op
def node(name: str, inputs: MList[str], salt: int) -> str:
    return work.content(name, inputs, salt)


if __name__ == "__main__":
    job = work.job()
    os.makedirs(job.store, exist_ok=True)
    storage = Storage(db_path=f"{job.store}/mandala.db")
    texts = {}
    with storage:
        for n in job.nodes:
            texts[n.name] = node(n.name, [texts[i] for i in n.inputs], n.salt)
    print(storage.unwrap(texts[job.nodes[-1].name]))
