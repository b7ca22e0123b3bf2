"""The training loop: exact, resumable, extendable, the same however a batch is split."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bert_tools import largest_difference, pretraining_arrays, small_config, weights_of

from stagedml.errors import ConfigError, DataError
from stagedml.stages.bert.batches import epoch_batches, shuffled_batches
from stagedml.stages.bert.model import BertPretraining, BertTasks, Head, initialize
from stagedml.stages.bert.objectives import (
    classification_objective,
    combined_objective,
    pretraining_objective,
    regression_objective,
    token_objective,
)
from stagedml.stages.bert.state import states
from stagedml.stages.bert.train import (
    OptimizerSpec,
    Runtime,
    TrainingError,
    TrainResult,
    TrainSpec,
    evaluate,
    predict,
    train,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "bert_loss_curve.txt"


def run(
    steps: int = 12,
    *,
    dropout: bool = True,
    precision: Any = "float32",
    accumulate: int = 1,
    optimizer: OptimizerSpec | None = None,
    data: Any = None,
    **runtime: Any,
) -> tuple[BertPretraining, TrainResult]:
    """A short pre-training of a small model."""
    config = small_config() if dropout else small_config().without_dropout()
    model = BertPretraining(config, precision=precision)
    initialize(model, 1)
    spec = TrainSpec(
        steps=steps,
        seed=5,
        accumulate=accumulate,
        log_every=4,
        optimizer=optimizer or OptimizerSpec(lr=3e-3, warmup_steps=3, horizon=40),
    )
    source = data or shuffled_batches(pretraining_arrays(), 8, seed=3)
    return model, train(model, pretraining_objective(), source, spec=spec, runtime=Runtime(**runtime))


def test_training_twice_gives_the_same_bits() -> None:
    """Two runs of one spec, dropout and all, end with identical weights and history."""
    a, ra = run()
    b, rb = run()
    assert largest_difference(weights_of(a), weights_of(b)) == 0.0
    assert ra.scalars == rb.scalars
    assert {t for _, _, t, _ in ra.scalars} == {
        "loss", "mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy", "lr", "grad_norm"
    }  # fmt: skip


def test_the_loss_curve_is_the_golden_one() -> None:
    """A seeded run of 40 steps follows the recorded curve, and learns."""
    _, result = run(40, dropout=False)
    curve = np.array(result.curve("train", "loss"))
    np.testing.assert_allclose(curve, np.loadtxt(GOLDEN), rtol=2e-4)
    assert curve[-1, 1] < curve[0, 1] - 0.5


def test_an_interrupted_run_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """Broken off between log lines and started again, a run ends bit for bit the same."""
    whole, expected = run(12)
    source = shuffled_batches(pretraining_arrays(), 8, seed=3)

    def breaking(start: int) -> Iterator[Any]:
        for i, batch in enumerate(source(start)):
            if start + i == 7:
                raise OSError("the power went")
            yield batch

    with pytest.raises(OSError, match="power"):
        run(12, data=breaking, scratch=tmp_path, checkpoint_every=3)
    assert [p.name for p in states(tmp_path / "train")] == ["step-00000003", "step-00000006"]
    said: list[str] = []
    again, result = run(12, scratch=tmp_path, on_resume=said.append)
    assert said == ["step 6"]
    assert result.resumed_at == 6
    assert largest_difference(weights_of(whole), weights_of(again)) == 0.0
    assert result.scalars == expected.scalars


def test_an_extended_run_equals_a_straight_one(tmp_path: Path) -> None:
    """Ten steps, then ten more from the state left behind, are twenty, though 10 is between log lines."""
    straight, expected = run(20)
    run(10, save_final=tmp_path / "ten")
    extended, result = run(20, initial=tmp_path / "ten")
    assert result.resumed_at == 10
    assert largest_difference(weights_of(straight), weights_of(extended)) == 0.0
    assert result.scalars == expected.scalars


def test_only_the_same_training_is_continued(tmp_path: Path) -> None:
    """A state of another learning rate, or of more steps than asked for, is refused."""
    run(10, save_final=tmp_path / "ten")
    with pytest.raises(ConfigError, match=r"optimizer was .*0\.003"):
        run(20, initial=tmp_path / "ten", optimizer=OptimizerSpec(lr=1e-3, warmup_steps=3, horizon=40))
    with pytest.raises(ConfigError, match="step 10, beyond the 5"):
        run(5, initial=tmp_path / "ten")


def test_accumulated_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
    """Without dropout, four parts of a batch train as the batch, unequal numbers of masked words included."""
    whole, a = run(dropout=False)
    parts, b = run(dropout=False, accumulate=4)
    assert largest_difference(weights_of(whole), weights_of(parts)) < 2e-5
    np.testing.assert_allclose(a.curve("train", "loss"), b.curve("train", "loss"), rtol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_follows_the_float32_curve(precision: str) -> None:
    """The loss stays within one percent of float32's."""
    _, single = run(20, dropout=False)
    _, half = run(20, dropout=False, precision=precision)
    np.testing.assert_allclose(single.curve("train", "loss"), half.curve("train", "loss"), rtol=0.01)


def test_lamb_trains_and_resumes(tmp_path: Path) -> None:
    """LAMB lowers the loss, and an extended run equals a straight one."""
    optimizer = OptimizerSpec(kind="lamb", lr=0.02, horizon=40)
    straight, result = run(20, optimizer=optimizer)
    losses = [v for _, v in result.curve("train", "loss")]
    assert losses[-1] < losses[0] - 0.1
    run(9, optimizer=optimizer, save_final=tmp_path / "nine")
    extended, _ = run(20, optimizer=optimizer, initial=tmp_path / "nine")
    assert largest_difference(weights_of(straight), weights_of(extended)) == 0.0


def test_a_loss_that_is_no_number_stops_and_keeps_the_batch(tmp_path: Path) -> None:
    """The step is named, the state before it is kept, and the offending batch is on disk."""
    source = shuffled_batches(pretraining_arrays(), 8, seed=3)

    def poisoned(start: int) -> Iterator[Any]:
        for i, batch in enumerate(source(start)):
            if start + i == 6:
                batch = {**batch, "masked_lm_weights": batch["masked_lm_weights"] * np.float32("nan")}
            yield batch

    with pytest.raises(TrainingError, match=r"training step 6: loss nan") as caught:
        run(12, data=poisoned, scratch=tmp_path, checkpoint_every=4)
    assert "step-00000004" in str(caught.value)
    with np.load(tmp_path / "bad-batch-00000006.npz") as bad:
        assert np.isnan(bad["masked_lm_weights"]).all()
    assert [p.name for p in states(tmp_path / "train")] == ["step-00000004"]


def test_exhausted_memory_gives_advice() -> None:
    """Out of memory, the message says the size of the batch and what to try."""
    source = shuffled_batches(pretraining_arrays(), 8, seed=3)

    def greedy(start: int) -> Iterator[Any]:
        for i, batch in enumerate(source(start)):
            if start + i == 2:
                np.empty(1 << 60, np.uint8)
            yield batch

    with pytest.raises(TrainingError, match=r"out of memory.*\n.*batches of 8 sequences.*accumulate=2"):
        run(data=greedy)


def test_data_that_end_are_an_error() -> None:
    """A source must be endless; the message says at which step it ended."""
    batches = list(epoch_batches(pretraining_arrays(16), 8))
    with pytest.raises(DataError, match="ended at step 2 of 12"):
        run(data=lambda start: iter(batches[start:]))


KILLED = """
import signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_bert_train import run
from stagedml.progress import Progress

class Loud(Progress):
    n = 0
    def update(self, n=1):
        self.n += n
        if self.n == 5:
            print("five", flush=True)
            sys.stdin.readline()

run(12, scratch=Path(sys.argv[1]), progress=Loud())
"""


@pytest.mark.slow
def test_sigterm_saves_before_it_ends(tmp_path: Path) -> None:
    """A preempted process leaves a state of the step it was at, ends by the signal, and is continued."""
    whole, _ = run(12)
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    assert p.stdin is not None
    assert p.stdout is not None
    assert p.stdout.readline() == "five\n"
    p.send_signal(signal.SIGTERM)
    p.communicate("go\n", timeout=120)
    assert p.returncode == -signal.SIGTERM
    assert states(tmp_path / "train")
    again, result = run(12, scratch=tmp_path)
    assert result.resumed_at in (5, 6)
    assert largest_difference(weights_of(whole), weights_of(again)) == 0.0


def test_scalars_go_to_tensorboard(tmp_path: Path) -> None:
    """Losses, rates, speed and memory are TensorFlow 2 scalars below logs/train, once a log line."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, result = run(8, logs=tmp_path)
    events = EventAccumulator(str(tmp_path / "train")).Reload()
    found = {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}
    assert {
        "loss",
        "mlm_accuracy",
        "nsp_accuracy",
        "lr",
        "grad_norm",
        "sequences_per_s",
        "tokens_per_s",
    } <= set(found)
    assert {"mfu", "host_memory_mb"} <= set(found)
    logged = [(e.step, e.tensor_proto.float_val[0]) for e in found["loss"]]
    np.testing.assert_allclose(logged, result.curve("train", "loss"), rtol=1e-6)


def labelled(rows: int = 30) -> dict[str, np.ndarray]:
    """Rows whose label is the parity of the second word."""
    arrays = pretraining_arrays(rows)
    parity = arrays["input_ids"][:, 9] % 2
    return {
        **{k: arrays[k] for k in ("input_ids", "input_mask", "segment_ids")},
        "label_ids": parity.astype(np.int32),
        "label_values": parity.astype(np.float32),
        "token_labels": (arrays["input_ids"] % 2).astype(np.int32),
        "token_weights": arrays["input_mask"].astype(np.float32),
    }


def test_task_heads_learn_together() -> None:
    """Pooled, token and regression heads train at once; evaluation over a set with a part batch is exact."""
    arrays = labelled()
    model = BertTasks(small_config(), {"kind": Head(2), "tags": Head(2, "tokens"), "score": Head(1)})
    initialize(model, 2)
    objective = combined_objective(
        kind=classification_objective("kind"),
        tags=token_objective("tags"),
        score=regression_objective("score"),
    )
    before = evaluate(model, objective, epoch_batches(arrays, 8))
    spec = TrainSpec(steps=30, seed=1, optimizer=OptimizerSpec(lr=3e-3, layer_decay=0.9))
    train(model, objective, shuffled_batches(arrays, 8, seed=1), spec=spec)
    after = evaluate(model, objective, epoch_batches(arrays, 8))
    assert after["loss"] < before["loss"]
    whole = evaluate(model, objective, epoch_batches(arrays, 30))
    assert after == pytest.approx(whole, rel=1e-5)
    outputs = predict(model, epoch_batches(arrays, 8))
    assert outputs["tags"].shape == (30, 16, 2)
    right = (outputs["kind"].argmax(-1) == arrays["label_ids"]).mean()
    assert right == pytest.approx(after["kind_accuracy"])


def test_frozen_layers_do_not_move() -> None:
    """A multiplier of 0 leaves a weight as it was, decay included."""
    arrays = labelled()
    model = BertTasks(small_config(), {"kind": Head(2)})
    initialize(model, 2)
    before = weights_of(model)
    spec = TrainSpec(
        steps=3, optimizer=OptimizerSpec(layer_multipliers={"encoder": 0.0, "encoder.pooler": 1.0})
    )
    train(model, classification_objective("kind"), shuffled_batches(arrays, 8, seed=1), spec=spec)
    moved = {k for k, v in weights_of(model).items() if np.abs(v - before[k]).max() > 0}
    assert moved == {"encoder.pooler.kernel", "encoder.pooler.bias", "heads.kind.kernel", "heads.kind.bias"}


def test_a_batch_source_is_a_function_of_the_step() -> None:
    """Started anywhere it gives the batches of a start at 0, every row once an epoch."""
    arrays = {"input_ids": np.arange(10)[:, None]}
    data = shuffled_batches(arrays, 4, seed=1)
    first = [b["input_ids"][:, 0].tolist() for b, _ in zip(data(0), range(5), strict=False)]
    assert sorted(x for batch in first for x in batch) == sorted(list(range(10)) * 2)
    later = [b["input_ids"][:, 0].tolist() for b, _ in zip(data(3), range(2), strict=False)]
    assert later == first[3:]
