"""The graph as redun tasks."""

import os
import sys

import work
from redun import Scheduler, task
from redun.config import Config

redun_namespace = "bench"
sys.setrecursionlimit(100_000)  # a chain of 200 does not fit the default


@task()
def node(name: str, inputs: list[str], salt: int) -> str:
    return work.content(name, inputs, salt)


@task()
def main(nodes: list) -> str:
    texts = {}
    for name, inputs, salt in nodes:
        texts[name] = node(name, [texts[i] for i in inputs], salt)
    return texts[nodes[-1][0]]


if __name__ == "__main__":
    job = work.job()
    os.makedirs(job.store, exist_ok=True)
    config = Config(
        {
            "backend": {"db_uri": f"sqlite:///{job.store}/redun.db"},
            "executors.default": {"type": "local", "max_workers": "1"},
        }
    )
    scheduler = Scheduler(config=config)
    scheduler.load()
    print(scheduler.run(main([list(n) for n in job.nodes])))
