"""Pre-training by TF-Models' own task and trainer on our records: the extra `stagedml[official]`.

`official_minibert_pretrain` takes the fields of `minibert_pretrain_wiki` that both have, so that one report
can set the two side by side; its checkpoint is imported into our folder format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagedml import Build, DRef, Manager, mklens, promise, stage
from stagedml.stages.bert.config import bert_template, model_config


@dataclass(frozen=True)
class OfficialConfig:
    """The fields of `official_minibert_pretrain`, as those of `PretrainConfig`."""

    tfrecs: Any
    bert_config_template: dict[str, Any]
    bert_vocab: Any
    cased: bool
    train_batch_size: int = 64
    train_steps_per_epoch: int = 10_000
    train_epoches: int = 100
    lr: float = 1e-4
    schedule_steps: int = 1_000_000
    warmup_steps: int = 10_000
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    log_every: int = 100
    seed: int = 0
    model: Path = promise("model")
    protocol: Path = promise("protocol.json")
    logs: Path = promise("logs", volatile=True)
    traintime: Path = promise("traintime.txt", volatile=True)


TOY = {
    "train_steps_per_epoch": 2,
    "train_epoches": 1,
    "warmup_steps": 1,
    "train_batch_size": 2,
    "log_every": 1,
}


@stage(name="official-minibert-pretrain", version=1, toy=TOY)
def official_pretrain(b: Build, c: OfficialConfig) -> None:
    """The realizer of `official_minibert_pretrain`."""
    import time

    from stagedml.protocol import append_protocol
    from stagedml.stages.bert.checkpoint import read_vocab, save_checkpoint
    from stagedml.stages.bert.readers import read_tfmodels
    from stagedml.stages.bert.tblog import TensorBoard

    records = Path(c.tfrecs.tfrecords.syspath)
    words = len(read_vocab(Path(c.bert_vocab)))
    sizes = model_config(c.bert_config_template, words, c.tfrecs.max_seq_length.val)
    trainer = _trainer(c, records, sizes.to_dict(), seed=b.seed)
    board, began, values = TensorBoard(c.logs), time.perf_counter(), {}
    steps = c.train_steps_per_epoch * c.train_epoches
    with b.progress(total=steps, unit="step", desc=b.config.name) as bar:
        for step in range(0, steps, c.log_every):
            count, since = min(c.log_every, steps - step), time.perf_counter()
            values = _train(trainer, count)
            rate = count * c.train_batch_size / (time.perf_counter() - since)
            board.add("train", step + count, {**values, "sequences_per_s": rate})
            bar.update(count)
            bar.note(loss=values["loss"])
    board.close()
    found = read_tfmodels(_save(trainer, b.scratch))
    save_checkpoint(found, c.model, vocab=Path(c.bert_vocab), lower_case=not c.cased)
    append_protocol(c.protocol, "train", steps=steps, **values)
    c.traintime.write_text(f"{time.perf_counter() - began:.3f}", encoding="utf-8")


def _encoder(sizes: dict[str, Any]) -> Any:
    """Our sizes as TF-Models' encoder has them."""
    from official.nlp.configs import encoders

    encoder = encoders.BertEncoderConfig(
        vocab_size=sizes["vocab_size"],
        hidden_size=sizes["hidden_size"],
        num_layers=sizes["num_hidden_layers"],
        num_attention_heads=sizes["num_attention_heads"],
        intermediate_size=sizes["intermediate_size"],
        dropout_rate=sizes["hidden_dropout_prob"],
        attention_dropout_rate=sizes["attention_probs_dropout_prob"],
        max_position_embeddings=sizes["max_position_embeddings"],
        type_vocab_size=sizes["type_vocab_size"],
        initializer_range=sizes["initializer_range"],
    )
    return encoders.EncoderConfig(type="bert_v2", bert_v2=encoder)


def _optimizer(c: OfficialConfig) -> Any:
    """AdamW, clipped, with linear decay after a linear warm-up."""
    from official.modeling import optimization

    decay = {
        "weight_decay_rate": c.weight_decay,
        "exclude_from_weight_decay": ["LayerNorm", "layer_norm", "bias"],
        "gradient_clip_norm": c.clip_norm,
        "epsilon": 1e-6,
    }
    rate = {
        "initial_learning_rate": c.lr,
        "end_learning_rate": 0.0,
        "decay_steps": c.schedule_steps,
        "power": 1.0,
    }
    return optimization.OptimizationConfig(
        {
            "optimizer": {"type": "adamw", "adamw": decay},
            "learning_rate": {"type": "polynomial", "polynomial": rate},
            "warmup": {"type": "polynomial", "polynomial": {"warmup_steps": c.warmup_steps, "power": 1.0}},
        }
    )


def _trainer(c: OfficialConfig, records: Path, sizes: dict[str, Any], *, seed: int) -> Any:
    """TF-Models' masked-LM task in its trainer; AdamW with linear decay after a warm-up."""
    import tf_keras
    from official.core import base_trainer, config_definitions
    from official.nlp.configs import bert
    from official.nlp.data import pretrain_dataloader
    from official.nlp.tasks import masked_lm

    tf_keras.utils.set_random_seed(seed)
    head = bert.ClsHeadConfig(
        inner_dim=sizes["hidden_size"], num_classes=2, dropout_rate=0.0, name="next_sentence"
    )
    data = pretrain_dataloader.BertPretrainDataConfig(
        input_path=str(records / "*.tfrecord*"),
        global_batch_size=c.train_batch_size,
        seq_length=c.tfrecs.max_seq_length.val,
        max_predictions_per_seq=c.tfrecs.max_predictions_per_seq.val,
        is_training=True,
        seed=seed,
    )
    model = bert.PretrainerConfig(
        encoder=_encoder(sizes),
        cls_heads=[head],
        mlm_activation="gelu",
    )
    task = masked_lm.MaskedLMTask(masked_lm.MaskedLMConfig(model=model, train_data=data))
    optimizer = _optimizer(c)
    config = config_definitions.ExperimentConfig(
        task=task.task_config,
        trainer=config_definitions.TrainerConfig(
            optimizer_config=optimizer, train_steps=c.train_steps_per_epoch
        ),
    )
    made = task.build_model()
    return base_trainer.Trainer(
        config, task, model=made, optimizer=task.create_optimizer(optimizer), train=True, evaluate=False
    )


def _train(trainer: Any, steps: int) -> dict[str, float]:
    """Some steps of TF-Models' trainer; its means, by our names."""
    import tensorflow as tf

    logs = trainer.train(tf.constant(steps))
    names = {"training_loss": "loss", "lm_example_loss": "mlm_loss", "next_sentence_loss": "nsp_loss"}
    names |= {"masked_lm_accuracy": "mlm_accuracy", "next_sentence_accuracy": "nsp_accuracy"}
    return {ours: float(logs[theirs]) for theirs, ours in names.items() if theirs in logs}


def _save(trainer: Any, folder: Path) -> Path:
    """The model as a checkpoint of TF-Models."""
    import tensorflow as tf

    return Path(tf.train.Checkpoint(model=trainer.model).write(str(folder / "official")))


def official_minibert_pretrain(m: Manager, tfrecs: Any, **fields: Any) -> DRef:
    """What `minibert_pretrain_wiki` does, done by TF-Models; needs `pip install stagedml[official]`."""
    ref = tfrecs(m) if callable(tfrecs) else getattr(tfrecs, "dref", tfrecs)
    lens = mklens(ref)
    given = {"bert_config_template": bert_template("mini", num_hidden_layers=6), **fields}
    model_config(given["bert_config_template"], 1, lens.max_seq_length.val)
    return official_pretrain(m, tfrecs=ref, bert_vocab=lens.bert_vocab.refpath, cased=lens.cased.val, **given)
