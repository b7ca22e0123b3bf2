"""GLUE about a made-up island: every task in the official layout, small, and ours to publish.

For trying a pipeline or a report without a download. What the tasks ask, and why a BERT that has read the
island's encyclopedia knows more: `stages/text/synthetic`.
"""

from __future__ import annotations

from pathlib import Path

from stagedml import Build, DRef, Manager, build_wrapper, mkdrv, mklens, promise, stage

from .fetch import data_sets
from .tasks import field_name


@stage(name="toy-glue")
def toy_set(
    b: Build,
    task_name: str,
    rows: int,
    dev_rows: int,
    held_out: bool,
    seed: int,
    out: Path = promise("files"),
) -> None:
    """One made-up data set in the official layout."""
    from stagedml.stages.text.synthetic import Scale
    from stagedml.stages.text.synthetic.glue import write_set
    from stagedml.stages.text.synthetic.words import make_lexicon

    lexicon = make_lexicon(Scale.seed)  # the language of the encyclopedia
    write_set(out, task_name, lexicon, rows=rows, dev_rows=dev_rows, seed=seed, held_out=held_out)


def all_toyglue(
    m: Manager, *, rows: int = 256, dev_rows: int = 64, held_out: bool = True, seed: int = 1
) -> DRef:
    """A collection like `all_fetchglue`, of made-up data: so many examples a task in train, dev and test.

    With `held_out` what the dev and test sets are about has other names there than in train, so that only a
    model that met these names elsewhere can answer.
    """
    config: dict[str, object] = {"name": "toy-glue-collection", "version": 1}
    for name in data_sets():
        config[field_name(name)] = toy_set(
            m, task_name=name, rows=rows, dev_rows=dev_rows, held_out=held_out, seed=seed
        )
    config["index"] = promise("index.txt")
    return mkdrv(m, config, realizer=build_wrapper(_list_names))


def _list_names(b: Build) -> None:
    Path(mklens(b).index.syspath).write_text("\n".join(data_sets()) + "\n", encoding="utf-8")
