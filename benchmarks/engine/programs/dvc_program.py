"""The graph as DVC stages; the commands run in a shell, as DVC's do."""

import os
from pathlib import Path

import work
from dvc.repo import Repo

if __name__ == "__main__":
    job = work.job()
    os.makedirs(job.store, exist_ok=True)
    os.chdir(job.store)
    step = Path(__file__).parent / "step.sh"
    lines = ["stages:"]
    for n in job.nodes:
        inputs = " ".join(f"{i}.txt" for i in n.inputs)
        lines += [f"  {n.name}:", f"    cmd: sh {step} {n.name} {n.salt} {inputs}"]
        lines += ["    deps:", *(f"      - {i}.txt" for i in n.inputs)] if n.inputs else []
        lines += ["    outs:", f"      - {n.name}.txt"]
    Path("dvc.yaml").write_text("\n".join(lines) + "\n")
    repo = Repo(".") if Path(".dvc").exists() else Repo.init(".", no_scm=True)
    with repo:
        repo.reproduce()
    print(Path(f"{job.nodes[-1].name}.txt").read_text())
