"""A small world for demos and tests: an encyclopedia and two tasks about it, generated, always the same.

    python -m stagedml.stages.text.synthetic FOLDER

writes a folder laid out as real data are: `wikipedia/` with a MediaWiki dump, `glue/MRPC` and `glue/SST-2`.
It takes a second and the standard library. The words are invented, so that nothing but the encyclopedia
can teach what they mean; the tasks ask for just that (see `tasks.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Scale:
    """How much is generated: works of art and villages in the encyclopedia, rows of each task.

    There are 144 articles a village, and one a work.
    """

    works: int = 1000
    villages: int = 12
    rows: dict[str, int] = field(default_factory=lambda: {"train": 800, "dev": 500, "test": 200})
    seed: int = 2026


def generate(folder: Path, scale: Scale | None = None) -> list[Path]:
    """Writes dump and tasks below `folder`, returns the files' paths. Equal calls write equal bytes."""
    from stagedml.stages.text.synthetic.dump import write_dump
    from stagedml.stages.text.synthetic.tasks import write_tasks
    from stagedml.stages.text.synthetic.words import make_lexicon
    from stagedml.stages.text.synthetic.world import Island

    scale = scale or Scale()
    lexicon = make_lexicon(scale.seed, villages=scale.villages)
    pages = Island(lexicon, scale.seed + 1).pages(scale.works)
    files = write_dump(folder / "wikipedia", pages, dbname="islewiki", date="20260101", sitename="Wikisle")
    return files + write_tasks(folder / "glue", lexicon, rows=scale.rows, seed=scale.seed + 2)
