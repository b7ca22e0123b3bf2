"""Predictions in the format of the GLUE server: one TSV a task, zipped.

Source: the FAQ of gluebenchmark.com: columns `index` and `prediction`, in the order of the test file; CoLA,
SST-2, MRPC, QQP and WNLI with 0 or 1, the inference tasks and AX with the names of their classes, STS-B with
a score of 0 to 5. (The server has no SNLI.)
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stagedml.errors import DataError

from .analysis import Predictions
from .readers import Example
from .tasks import TASKS, Task

WHEN = (1980, 1, 1, 0, 0, 0)  # of the entries: the same predictions give the same bytes


def submission_rows(task: Task, p: Predictions, examples: Sequence[Example]) -> list[tuple[str, str]]:
    """(index, prediction) of each test example. Scores are cut to the range of the labels."""
    if len(examples) != len(p.outputs):
        raise DataError(f"{len(p.outputs)} predictions for {len(examples)} examples", where=task.name)
    if task.regression:
        low, high = task.bounds or (-np.inf, np.inf)
        answers = [f"{x:.3f}" for x in np.clip(p.answers, low, high)]
    else:
        answers = [task.labels[int(i)] for i in p.answers]
    return [(e.uid, answer) for e, answer in zip(examples, answers, strict=True)]


def write_submission(path: Path, predictions: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """Writes the zip of the tasks given by name, in the order of the tables; returns the tasks missing.

    The server wants all eleven files; without them it refuses the zip, so the caller should say so.
    """
    wanted = [task for task in TASKS.values() if task.name != "SNLI"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for task in wanted:
            if task.name in predictions:
                body = "".join(f"{uid}\t{answer}\n" for uid, answer in predictions[task.name])
                archive.writestr(zipfile.ZipInfo(task.submission, WHEN), "index\tprediction\n" + body)
    return [task.name for task in wanted if task.name not in predictions]
