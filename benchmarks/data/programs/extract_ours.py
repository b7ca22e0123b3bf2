"""Extracts a dump with ours: dump, folder, workers, templates (0 or 1)."""

import json
import sys
from pathlib import Path

from stagedml.stages.wiki.extract import Extraction, extract

if __name__ == "__main__":
    dump, out, workers, templates = sys.argv[1:]
    how = Extraction(templates=templates == "1", block_bytes=1 << 22)
    counts, _ = extract([Path(dump)], Path(out), how=how, workers=int(workers))
    print(json.dumps({"articles": counts.articles}))
