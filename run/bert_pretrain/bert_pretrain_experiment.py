"""Pre-training BERT: does a larger model reach a given quality sooner?

Paper      Li et al. 2020, "Train Large, Then Compress" (arXiv:2002.11794), at the scale of one GPU
Command    make train && make report     (SCALE=toy: minutes; DATA=folder: on fragments of real dumps)
Cost       printed by experiment.py before anything starts
Expected   6 layers are ahead of 3 layers at most times on the wall clock, once both are past the start

Report.md.in imports everything from here. What depends on the scale is in `scale.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple  # noqa: F401, UP035 - cells may annotate with these

from beautifultable import BeautifulTable  # noqa: F401 - for cells
from comparison import (  # noqa: F401 - for cells
    BATCH,
    NO_TFMODELS,
    experiment_heldout,
    experiment_trainers,
)
from pandas import DataFrame  # noqa: F401 - for cells
from scale import DatasetStage, ModelStage, scale_from_environment

from stagedml.core import *  # noqa: F403 - for cells
from stagedml.core import (
    DRef,
    Manager,
    RRef,
    Stage,
    current_store,
    instantiate,
    linkrref,
    mklens,
    realize,
    redefine,
)
from stagedml.stages.glue.stages import glue_tfrecords
from stagedml.stages.text.pretraining import read_index
from stagedml.stages.text.shards import read_texts, shard_paths
from stagedml.stages.text.wordpiece import WordPieceTokenizer
from stagedml.stages.wiki.stages import wikistat

BertGlue = DRef
SCALE = scale_from_environment()
DEF_STEPS_PER_EPOCH = SCALE.steps_per_epoch
DEF_NEPOCHES = SCALE.epoches
DEF_EPOCHES_BETWEEN_FINETUNES = SCALE.epoches_between_finetunes
DEF_FINETUNE_TASK = SCALE.finetune_task
SAMPLE = 200  # articles whose tokens are counted to estimate the number of examples

# The stages that the experiment is made of, with the settings of its scale.
dataset_en, dataset_ru = SCALE.dataset_en, SCALE.dataset_ru
minibert_pretrain_wiki, bert_finetune_glue = SCALE.minibert, SCALE.finetune
all_fetchglue = SCALE.fetchglue


def model_3() -> ModelStage:
    """3 layers, and twice the batch of `model_6`: about as much memory."""

    def new_config(c: dict[str, Any]) -> None:
        mklens(c).name.val += "-3L"
        mklens(c).bert_config_template.num_hidden_layers.val = 3
        mklens(c).train_batch_size.val = 128

    return redefine(minibert_pretrain_wiki, new_config=new_config)


def model_6() -> ModelStage:
    """6 layers."""

    def new_config(c: dict[str, Any]) -> None:
        mklens(c).name.val += "-6L"
        mklens(c).bert_config_template.num_hidden_layers.val = 6
        mklens(c).train_batch_size.val = 64

    return redefine(minibert_pretrain_wiki, new_config=new_config)


def pretrain_stage(model: ModelStage, ds: DatasetStage, *, epoches: int, **fields: Any) -> Stage:
    """The model pre-trained on a dataset for so many epochs."""
    return lambda m: model(m, tfrecs=ds(m), train_epoches=epoches, **fields)


def finetune_stage(pretrained: Stage, task_name: str) -> Stage:
    """A pre-trained model fine-tuned on a GLUE task."""

    def stage(m: Manager) -> BertGlue:
        refbert = pretrained(m)
        records = glue_tfrecords(
            m,
            task_name,
            bert_vocab=mklens(refbert).bert_vocab.refpath,
            lower_case=not mklens(refbert).cased.val,
            refdataset=all_fetchglue(m),
        )
        return bert_finetune_glue(m, refbert, records)

    return stage


def experiment_pretrain(
    model: ModelStage,
    ds: DatasetStage,
    nepoches: int = DEF_NEPOCHES,
    train_steps_per_epoch: int = DEF_STEPS_PER_EPOCH,
    epoches_step: int = DEF_EPOCHES_BETWEEN_FINETUNES,
    finetune_task_name: str = DEF_FINETUNE_TASK,
) -> tuple[dict[int, RRef], dict[int, RRef]]:
    """Pre-trains a model for `nepoches` epochs, and fine-tunes it after every `epoches_step` of them.

    Each pre-training goes on from the one before, which changes how long it takes and not what comes out.
    Returns the pre-trained and the fine-tuned realizations, by the number of epochs.
    """
    pretrained: dict[int, RRef] = {}
    finetuned: dict[int, RRef] = {}
    for epoch in range(epoches_step, nepoches + epoches_step, epoches_step):
        fields: dict[str, Any] = {"epoches": epoch, "train_steps_per_epoch": train_steps_per_epoch}
        before = pretrained.get(epoch - epoches_step)
        pretrained[epoch] = realize(instantiate(pretrain_stage(model, ds, **fields, resume_rref=before)))
        name = mklens(pretrained[epoch]).name.val
        linkrref(pretrained[epoch], ["links", name, f"epoch-{epoch}"])
        tuned = finetune_stage(pretrain_stage(model, ds, **fields), finetune_task_name)
        finetuned[epoch] = realize(instantiate(tuned))
        linkrref(finetuned[epoch], ["links", f"{name}-{finetune_task_name}", f"epoch-{epoch}"])
    return pretrained, finetuned


def calculate_pretrain_epoches(
    stage_ds: DatasetStage, train_batch_size: int, train_steps_per_epoch: int = DEF_STEPS_PER_EPOCH
) -> float:
    """The epochs after which a model has seen as many tokens as BERT-base had (Devlin et al. 2018, A.2)."""
    reference_tokens = 1_000_000 * 256 * 512
    step_tokens = train_batch_size * mklens(instantiate(stage_ds).dref).max_seq_length.val
    return reference_tokens / step_tokens // train_steps_per_epoch


# the figures of the dataset table


def text_statistics(ds: DatasetStage) -> dict[str, Any]:
    """What `wikistat` counts in the text of a dataset."""
    rref = realize(instantiate(lambda m: wikistat(m, wikiref=mklens(ds(m)).wikiref.dref)))
    stat: dict[str, Any] = json.loads(Path(mklens(rref).wikistat.syspath).read_text(encoding="utf-8"))
    return stat


def num_documents_(ds: DatasetStage) -> int:
    """The number of articles."""
    return int(text_statistics(ds)["num_documents"])


def num_words_(ds: DatasetStage) -> int:
    """The number of words, split at white space."""
    return int(text_statistics(ds)["num_words"])


def num_tfrecords_approx_(ds: DatasetStage) -> int:
    """The number of examples: counted where the records are there, else estimated from some articles."""
    dref = instantiate(ds).dref
    built = current_store().records(dref)
    if built:
        return int(read_index(Path(mklens(built[-1].rref).tfrecords.syspath))["examples"])
    return round(
        num_words_(ds) * pieces_per_word(ds) * mklens(dref).dupe_factor.val / mklens(dref).max_seq_length.val
    )


def pieces_per_word(ds: DatasetStage) -> float:
    """How many pieces of the dataset's vocabulary a word of its text takes, from the first articles."""
    lens = mklens(instantiate(ds).dref)
    folder = Path(mklens(realize(instantiate(lambda m: mklens(ds(m)).wikiref.dref))).articles.syspath)
    _, *inside = lens.bert_vocab.refpath
    vocab = realize(instantiate(lambda m: mklens(ds(m)).bert_vocab.dref))
    tokenizer = WordPieceTokenizer(
        Path(current_store().path_of(vocab), *inside), lower_case=lens.lower_case.val
    )

    def texts() -> Iterator[str]:
        for path in shard_paths(folder):
            yield from read_texts(path)

    sample = list(islice(texts(), SAMPLE))
    return sum(len(tokenizer.encode(t)) for t in sample) / max(1, sum(len(t.split()) for t in sample))
