"""`run.py ENGINE PROGRAM ROOT`: runs a program on `pylightnix` or `stagedml`; prints what it noted as JSON.

For `stagedml`, importing `pylightnix` gives the interface of this project: the programs are the same files.
"""

import importlib
import json
import logging
import sys
from pathlib import Path

PARTS = ("types", "utils", "core", "build", "lens", "repl", "either", "bashlike", "garb", "arch", "stages")

if __name__ == "__main__":
    engine, program, root = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    if engine == "stagedml":
        sys.modules["pylightnix"] = importlib.import_module("stagedml.pylightnix")
        for part in PARTS:
            sys.modules[f"pylightnix.{part}"] = importlib.import_module(f"stagedml.pylightnix.{part}")
    sys.path.insert(0, str(Path(__file__).parent))
    sys.argv = [program, root]
    module = importlib.import_module(program)
    module.main(root)
    from prelude import LOG

    print(json.dumps(LOG))
