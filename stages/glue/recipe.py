"""How a task is fine-tuned: the settings, and their defaults from the literature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stagedml.errors import ConfigError

SMALL_SET = 10_000  # examples: below it the number of steps, not of epochs, limits the result
FLAGS = ("+bucketing", "+f1v2")


@dataclass(frozen=True)
class Recipe:
    """Settings of a fine-tuning; every field may change the result.

    Defaults: batch 32 and 3 epochs are in the grid of Devlin et al. 2018 (arXiv:1810.04805, A.3). Rate 2e-5,
    warm-up over a tenth, linear decay, bias-corrected AdamW and longer training of small sets follow
    Mosbach et al. 2021 (arXiv:2006.04884) and Zhang et al. 2021 (arXiv:2006.05987): without bias correction
    or warm-up many runs on RTE and the like fail. Zhang et al. also re-initialise the pooler and the top 1 to
    6 layers (`reinit_layers`, off by default: it helps BERT-large most). `layer_decay` 0.95 is of Sun et al.
    2019 (arXiv:1905.05583).

    `best_by` names a metric (such as `glue_score`): the weights of the best evaluation are kept, and
    training stops after `patience` evaluations without a better one (0: never). It is chosen on `valid_share`
    of the training set, held out; `valid_share=0` chooses on the dev set, which then is no test any more.
    `class_weights` is "", "balanced" or one weight a label; `focal_gamma` 0 is plain cross entropy.
    """

    batch_size: int = 32
    epochs: float = 3.0
    lr: float = 2e-5
    warmup_share: float = 0.1
    schedule: str = "linear"
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    layer_decay: float = 1.0
    reinit_layers: int = 0
    dropout: float | None = None
    accumulate: int = 1
    precision: str = "float32"
    class_weights: str | tuple[float, ...] = ""
    focal_gamma: float = 0.0
    evals_per_epoch: int = 1
    best_by: str = ""
    patience: int = 0
    valid_share: float = 0.1
    bucketed: bool = True

    def __post_init__(self) -> None:
        checks: Mapping[str, bool] = {
            "batch_size": self.batch_size >= 1,
            "epochs": self.epochs > 0,
            "lr": self.lr > 0,
            "warmup_share": 0 <= self.warmup_share <= 1,
            "clip_norm": self.clip_norm >= 0,
            "layer_decay": 0 < self.layer_decay <= 1,
            "reinit_layers": self.reinit_layers >= 0,
            "accumulate": self.accumulate >= 1 and self.batch_size % self.accumulate == 0,
            "focal_gamma": self.focal_gamma >= 0,
            "evals_per_epoch": self.evals_per_epoch >= 0,
            "patience": self.patience >= 0 and (not self.patience or bool(self.best_by)),
            "valid_share": 0 <= self.valid_share < 1,
        }
        wrong = [f"{name}={getattr(self, name)!r}" for name, good in checks.items() if not good]
        if wrong:
            hint = "accumulate must divide batch_size; patience needs best_by; shares lie between 0 and 1"
            raise ConfigError(f"these cannot be: {', '.join(wrong)}", where="fine-tuning", hint=hint)

    def steps(self, examples: int) -> tuple[int, int]:
        """(steps of an epoch, steps of the training) for so many training examples."""
        per_epoch = -(-examples // self.batch_size)
        return per_epoch, max(1, round(per_epoch * self.epochs))


def default_epochs(train_rows: int) -> int:
    """3 epochs, and 10 for sets below 10,000 examples (Mosbach et al. 2021 take 20)."""
    return 10 if train_rows < SMALL_SET else 3


def check_flags(flags: tuple[str, ...] | list[str]) -> None:
    """Raises `ConfigError` for a flag that means nothing.

    `+bucketing`: batches of like length, padded to the longest of a bucket; without it, random batches padded
    to the maximum. `+f1v2`: `f1_score` is that of class 1 where labels are 0 and 1; without it the macro
    average for every task.
    """
    unknown = [flag for flag in flags if flag not in FLAGS]
    if unknown:
        raise ConfigError(f"unknown flags {unknown}", where="flags", hint=f"there are: {', '.join(FLAGS)}")
