"""The graph as AI2 Tango steps."""

import sys

import work
from tango import Step, Workspace

sys.setrecursionlimit(100_000)


@Step.register("node")
class NodeStep(Step):
    DETERMINISTIC = True
    CACHEABLE = True

    def run(self, label: str, inputs: list[str], salt: int) -> str:
        return work.content(label, inputs, salt)


if __name__ == "__main__":
    job = work.job()
    steps: dict[str, Step] = {}
    for n in job.nodes:
        steps[n.name] = NodeStep(
            label=n.name, inputs=[steps[i] for i in n.inputs], salt=n.salt, step_name=n.name
        )
    workspace = Workspace.from_url(f"local://{job.store}")
    target = steps[job.nodes[-1].name]
    print(target.result(workspace))
