"""The ready-made fine-tunings of the menu: a published BERT on a task of GLUE."""

from __future__ import annotations

from typing import Any

from stagedml import DRef, Manager, mklens
from stagedml.stages.bert.fetch import (
    all_fetch_largebert,
    all_fetch_multibert,
    all_fetchbert,
    all_fetchminibert,
)

from .fetch import all_fetchglue
from .stages import MAX_SEQ_LENGTH, bert_finetune_glue, glue_tfrecords


def finetune_refbert(
    m: Manager,
    refbert: DRef,
    task_name: str,
    *,
    refdataset: DRef | None = None,
    max_seq_length: int = MAX_SEQ_LENGTH,
    num_instances: int = 1,
    **fields: Any,
) -> DRef:
    """Any BERT on one task: its vocabulary and case decide on the records. Further keywords are fields."""
    bert = mklens(refbert)
    tfrecs = glue_tfrecords(
        m,
        task_name,
        bert_vocab=bert.bert_vocab.refpath,
        lower_case=not bert.cased.val,
        refdataset=refdataset if refdataset is not None else all_fetchglue(m, tasks=[task_name]),
        max_seq_length=max_seq_length,
    )
    return bert_finetune_glue(m, refbert, tfrecs, num_instances=num_instances, **fields)


def all_minibert_finetune_glue(
    m: Manager, task_name: str = "MRPC", num_instances: int = 1, **fields: Any
) -> DRef:
    """BERT-mini (4 layers of 256, uncased) on a task of GLUE."""
    return finetune_refbert(m, all_fetchminibert(m), task_name, num_instances=num_instances, **fields)


def all_bert_finetune_glue(
    m: Manager, task_name: str = "MRPC", num_instances: int = 1, **fields: Any
) -> DRef:
    """BERT-base, uncased, on a task of GLUE."""
    return finetune_refbert(m, all_fetchbert(m), task_name, num_instances=num_instances, **fields)


def all_multibert_finetune_glue(
    m: Manager, task_name: str = "MRPC", num_instances: int = 1, **fields: Any
) -> DRef:
    """BERT-base, multilingual cased, on a task of GLUE."""
    return finetune_refbert(m, all_fetch_multibert(m), task_name, num_instances=num_instances, **fields)


def all_largebert_finetune_glue(
    m: Manager, task_name: str = "MRPC", num_instances: int = 1, **fields: Any
) -> DRef:
    """BERT-large, uncased, on a task of GLUE."""
    return finetune_refbert(m, all_fetch_largebert(m), task_name, num_instances=num_instances, **fields)
