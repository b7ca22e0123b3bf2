"""What the report sets side by side besides time: held-out perplexity, and TF-Models' own trainer.

Held-out   a twentieth of the articles is kept apart, and the perplexity of its masked words is measured after
           every epoch; both models see the same batches, so that steps can be compared.
TF-Models  its masked-LM task and trainer on the same records, with the same sizes, rates and schedule.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scale import DatasetStage, scale_from_environment

from stagedml import Build, DRef, Lens, Manager, RRef, Stage, mklens, promise, redefine, stage
from stagedml.core import instantiate, linkrref, realize
from stagedml.stages.bert.official import official_minibert_pretrain
from stagedml.stages.wiki.stages import bert_pretrain_tfrecords

SCALE = scale_from_environment()
BATCH = 64
NO_TFMODELS = (
    "TF-Models is not installed here, so the comparison with its trainer is left out. `make parity` at the "
    "top of the tree makes an environment that has it, which "
    "`make train report PYTHON=../../.venv-parity/bin/python` uses."
)


@stage(version=1)
def part_of_text(
    b: Build, wikiref: Lens, held_out: bool, every: int = 20, articles: Path = promise("articles")
) -> None:
    """Every `every`th article, which is held out, or all the others."""
    from stagedml.stages.text.shards import read_shard, shard_paths, write_shard

    articles.mkdir()
    number = 0
    for path in shard_paths(Path(wikiref.articles.syspath)):
        chosen = []
        for article in read_shard(path):
            if (number % every == 0) == held_out:
                chosen.append(article)
            number += 1
        write_shard(articles / path.name, chosen)


def part_of_records(dataset: DatasetStage, *, held_out: bool) -> DatasetStage:
    """Records of a part of a dataset's text, made as the dataset's are."""

    def part(m: Manager) -> DRef:
        lens = mklens(dataset(m))
        return bert_pretrain_tfrecords(
            m,
            part_of_text(m, wikiref=lens.wikiref.dref, held_out=held_out),
            lens.bert_vocab.refpath,
            lower_case=lens.lower_case.val,
            max_seq_length=lens.max_seq_length.val,
            dupe_factor=1 if held_out else lens.dupe_factor.val,
        )

    return part


def watched_stage(layers: int, dataset: DatasetStage, *, epoches: int) -> Stage:
    """A model whose perplexity on held-out text is measured after every epoch."""

    def new_config(c: dict[str, Any]) -> None:
        mklens(c).name.val = f"minibert-pretrain-watched-{layers}L"
        mklens(c).bert_config_template.num_hidden_layers.val = layers
        mklens(c).train_batch_size.val = BATCH

    model = redefine(SCALE.minibert, new_config=new_config)
    train, heldout = (part_of_records(dataset, held_out=h) for h in (False, True))
    return lambda m: model(
        m,
        tfrecs=train(m),
        heldout=heldout(m),
        eval_batches=50,
        train_epoches=epoches,
        train_steps_per_epoch=SCALE.steps_per_epoch,
    )


def experiment_heldout(dataset: DatasetStage) -> dict[int, RRef]:
    """Both models with their held-out perplexities, by the number of layers."""
    found = {}
    for layers in (3, 6):
        found[layers] = realize(instantiate(watched_stage(layers, dataset, epoches=SCALE.watched_epoches)))
        linkrref(found[layers], ["links", mklens(found[layers]).name.val, "last"])
    return found


def official_is_there() -> bool:
    """Whether the extra `stagedml[official]` is installed."""
    return find_spec("official") is not None and find_spec("tf_keras") is not None


def trainer_stages(dataset: DatasetStage) -> dict[str, Stage]:
    """The same pre-training by both trainers."""
    fields: dict[str, Any] = {
        **SCALE.run,
        "train_batch_size": BATCH,
        "train_steps_per_epoch": SCALE.steps_per_epoch,
        "train_epoches": SCALE.compared_epoches,
    }
    return {
        "stagedml": lambda m: SCALE.minibert(m, tfrecs=dataset(m), name="compared-stagedml", **fields),
        "TF-Models": lambda m: official_minibert_pretrain(
            m, tfrecs=dataset(m), name="compared-tfmodels", **fields
        ),
    }


def experiment_trainers(dataset: DatasetStage) -> dict[str, RRef]:
    """What both trainers made of the dataset, by their names; nothing where TF-Models is not installed."""
    if not official_is_there():
        return {}
    found = {}
    for name, pretrained in trainer_stages(dataset).items():
        found[name] = realize(instantiate(pretrained))
        linkrref(found[name], ["links", mklens(found[name]).name.val, "last"])
    return found
