"""Realizes everything that the report shows: `make train`."""

from __future__ import annotations

import sys

from bert_pretrain_experiment import SCALE, dataset_en, experiment_pretrain, model_3, model_6, num_words_
from comparison import NO_TFMODELS, experiment_heldout, experiment_trainers

from stagedml.core import protocol_rref_metric, store_buildelta
from stagedml.errors import StagedmlError


def main() -> int:
    """0 when all is there, 2 with one message when something failed."""
    print(f"The {SCALE.name} scale, on {SCALE.text}, {SCALE.cost}", flush=True)
    try:
        for dataset in (SCALE.dataset_en, SCALE.dataset_ru):
            num_words_(dataset)
        for model in (model_6(), model_3()):
            pretrained, finetuned = experiment_pretrain(model, dataset_en)
            for epoch, rref in finetuned.items():
                accuracy = protocol_rref_metric(rref, "evaluate", "eval_accuracy")
                spent = store_buildelta(pretrained[epoch])
                name = pretrained[epoch].name
                print(f"{name}, {epoch} epochs ({spent:.0f} s): {SCALE.finetune_task} {accuracy:.3f}")
        for layers, rref in experiment_heldout(dataset_en).items():
            perplexity = protocol_rref_metric(rref, "evaluate", "perplexity")
            print(f"{layers} layers: perplexity of held-out text {perplexity:.1f}")
        trained = experiment_trainers(dataset_en)
        print("\n".join(f"{rref.name} is there" for rref in trained.values()) or NO_TFMODELS)
    except StagedmlError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    print("All is there: `make report` shows it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
