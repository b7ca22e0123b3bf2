"""`STORE FOLDER`: one stage that publishes what lies in a folder. Prints seconds and peak memory in bytes."""

import resource
import sys
import time
from pathlib import Path

from stagedml import Build, DRef, Manager, initialize, instantiate, promise, realize, stage


@stage(version=1)
def publish(b: Build, source: str, data: Path = promise("data")) -> None:
    Path(source).rename(data)


if __name__ == "__main__":
    store, source = sys.argv[1:]
    initialize(store=store)

    def target(m: Manager) -> DRef:
        return publish(m, source=source)

    begun = time.perf_counter()
    realize(instantiate(target))
    seconds = time.perf_counter() - begun
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
