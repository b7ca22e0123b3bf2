"""`python -m stagedml.stages.text.synthetic FOLDER`: generates the small world, and says what there is."""

from __future__ import annotations

import sys
from pathlib import Path

from stagedml.stages.text.synthetic import generate


def main(arguments: list[str]) -> int:
    """Writes below the folder that is named, and returns the exit status."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m stagedml.stages.text.synthetic FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    for path in generate(folder):
        print(f"{path.stat().st_size:>10,} bytes  {path.relative_to(folder).as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
