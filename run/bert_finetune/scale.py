"""The scales of the experiment: the same stages with other data and another BERT.

full          BERT-mini of Google and the whole of GLUE, downloaded
toy           made-up tasks, and a BERT of two layers that has read the encyclopedia they are about
smoke         three made-up tasks and a random BERT for a few steps: it shows only that everything runs
DATA=folder   the tasks in `folder/glue`, and the BERT in `folder/bert` if there is one (any form that
              `bert_import` reads); SCALE=toy or smoke limits epochs, batch sizes and runs
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from stagedml import DRef, Manager
from stagedml.errors import ConfigError
from stagedml.fetch import fetchlocal
from stagedml.stages.bert.stages import bert_import
from stagedml.stages.glue.fetch import all_fetchglue, find_local
from stagedml.stages.glue.menu import all_minibert_finetune_glue, finetune_refbert
from stagedml.stages.glue.readers import has_split
from stagedml.stages.glue.tasks import find_task, glue_tasks
from stagedml.stages.glue.toy import all_toyglue
from stagedml.stages.glue.toybert import TOKENS, all_toybert, toy_pretrained

Finetune = Callable[..., DRef]


@dataclass(frozen=True)
class Scale:
    """What the experiment takes from its scale."""

    name: str
    text: str
    finetune: Finetune
    tasks: list[str]
    epochs: int
    study_epochs: int
    batch_sizes: list[int]
    runs: int
    cost: str


def scale_from_environment() -> Scale:
    """The scale that `$STAGEDML_SCALE` and `$STAGEDML_DATA` ask for. Raises `ConfigError`."""
    name = os.environ.get("STAGEDML_SCALE") or "full"
    data = os.environ.get("STAGEDML_DATA")
    known = {"full": _full, "toy": _toy, "smoke": _smoke}
    if name not in known:
        raise ConfigError(f"no scale {name!r}", hint=f"SCALE is one of {', '.join(known)}")
    scale = known[name]()
    return _on_data(scale, Path(data)) if data else scale


def _full() -> Scale:
    return Scale(
        name="full",
        text="GLUE and SNLI as published",
        finetune=all_minibert_finetune_glue,
        tasks=glue_tasks(),
        epochs=4,
        study_epochs=5,
        batch_sizes=[2, 8, 16, 32, 64],
        runs=5,
        cost=(
            "downloads 0.6 GB and fine-tunes BERT-mini 11 times on whole tasks and about 40 times on MRPC:\n"
            "some hours on a GPU, days on two cores. `make train SCALE=toy` takes minutes."
        ),
    )


def _toy() -> Scale:
    return Scale(
        name="toy",
        text="tasks about a made-up island",
        finetune=toy_finetune,
        tasks=glue_tasks(),
        epochs=4,
        study_epochs=4,
        batch_sizes=[2, 8, 32],
        runs=2,
        cost="pre-trains a small BERT and fine-tunes it 27 times: some minutes on two cores, no download.",
    )


def _smoke() -> Scale:
    return replace(
        _toy(),
        name="smoke",
        finetune=smoke_finetune,
        tasks=["CoLA", "MRPC", "STS-B"],
        epochs=1,
        study_epochs=1,
        batch_sizes=[8, 16, 32],
        runs=1,
        cost="takes a minute or two, and shows only that everything runs.",
    )


def toy_finetune(m: Manager, task_name: str = "MRPC", num_instances: int = 1, **fields: Any) -> DRef:
    """The BERT that has read about the island, on a task about the island."""
    glue = all_toyglue(m, rows=800, dev_rows=300)
    settings = {"lr": 3e-4, "max_seq_length": TOKENS, **fields}
    return finetune_refbert(
        m, toy_pretrained(m), task_name, refdataset=glue, num_instances=num_instances, **settings
    )


def smoke_finetune(m: Manager, task_name: str = "MRPC", num_instances: int = 1, **fields: Any) -> DRef:
    """A random BERT on some rows of a task about the island."""
    glue = all_toyglue(m, rows=64, dev_rows=32)
    settings = {"lr": 3e-4, "max_seq_length": TOKENS, **fields}
    return finetune_refbert(
        m, all_toybert(m), task_name, refdataset=glue, num_instances=num_instances, **settings
    )


def _on_data(scale: Scale, data: Path) -> Scale:
    """The scale on the tasks in a folder that have both a training and a dev set."""
    glue = data / "glue" if (data / "glue").is_dir() else data
    tasks = [name for name in glue_tasks() if _complete(glue, name)]
    if "MRPC" not in tasks:
        hint = f"the batch-size study is about MRPC; there is: {', '.join(tasks) or 'nothing'}"
        raise ConfigError("no MRPC", where=str(glue), hint=hint)
    bert = data / "bert"
    epochs = {} if scale.name == "smoke" else {"epochs": _full().epochs, "study_epochs": _full().study_epochs}
    return replace(
        scale,
        **epochs,
        text=f"{', '.join(tasks)} of a data folder",
        finetune=partial(data_finetune, glue=glue, bert=bert if bert.exists() else None),
        tasks=tasks,
    )


def _complete(glue: Path, name: str) -> bool:
    task = find_task(name)
    place = find_local(glue, task.share or task.name)
    return place is not None and has_split(task, place, "train") and has_split(task, place, "dev")


def data_finetune(
    m: Manager,
    task_name: str = "MRPC",
    num_instances: int = 1,
    *,
    glue: Path,
    bert: Path | None,
    **fields: Any,
) -> DRef:
    """The BERT of a folder, or else BERT-mini, on a task of a folder."""
    data = all_fetchglue(m, folder=str(glue), tasks=[task_name])
    if bert is None:
        return all_minibert_finetune_glue(m, task_name, num_instances, refdataset=data, **fields)
    archive = fetchlocal(m, bert, name="fetch-bert")
    refbert = bert_import(m, archive=archive, url=bert.name, cased="uncased" not in _casing(bert))
    return finetune_refbert(m, refbert, task_name, refdataset=data, num_instances=num_instances, **fields)


def _casing(bert: Path) -> str:
    """What a checkpoint says of its case, in its name or its tokenizer's settings."""
    import json

    for path in sorted(bert.rglob("tokenizer_config.json")):
        return "uncased" if json.loads(path.read_text(encoding="utf-8")).get("do_lower_case") else "cased"
    return bert.name
