"""Our three passes, in one process: shards, vocabulary, folder, dupe_factor. CPU seconds."""

import json
import sys
import time
from pathlib import Path

from stagedml.stages.text.pretraining import Pretraining, build_records

if __name__ == "__main__":
    shards, vocab, folder, dupe = sys.argv[1:]
    for name in ("out", "scratch"):
        Path(folder, name).mkdir(parents=True)
    begun = time.process_time()
    built = build_records(
        Path(shards),
        Path(vocab),
        Path(folder, "out"),
        Path(folder, "scratch"),
        how=Pretraining(lower_case=True, dupe_factor=int(dupe)),
    )
    print(
        json.dumps({"examples": built.index["examples"], "make": time.process_time() - begun, "write": 0.0})
    )
