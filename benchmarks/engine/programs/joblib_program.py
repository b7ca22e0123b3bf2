"""The graph as a function cached by joblib."""

import work
from joblib import Memory

job = work.job()
memory = Memory(job.store, verbose=0)


@memory.cache
def node(name, inputs, salt):
    return work.content(name, inputs, salt)


if __name__ == "__main__":
    texts: dict[str, str] = {}
    for n in job.nodes:
        texts[n.name] = node(n.name, [texts[i] for i in n.inputs], n.salt)
    print(texts[job.nodes[-1].name])
