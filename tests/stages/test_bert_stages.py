"""Pre-training and import as stages: from text in a store to a model that others open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bert_tools import pretraining_arrays, small_config, write_vocab

from stagedml import Build, DRef, Manager, Store, instantiate, mklens, promise, realize, redefine, stage
from stagedml.errors import ConfigError, DataError
from stagedml.stages.bert.stages import bert_import, bert_pretrain, minibert_pretrain_wiki
from stagedml.stages.wiki.stages import bert_pretrain_tfrecords

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
}
FAST: dict[str, Any] = {
    "bert_config_template": SIZES,
    "train_batch_size": 8,
    "train_steps_per_epoch": 3,
    "lr": 1e-3,
    "warmup_steps": 2,
    "log_every": 2,
}


@stage(version=1)
def small_corpus(
    b: Build,
    first: int = 0,
    documents: int = 12,
    size: int = 60,
    articles: Path = promise("articles"),
    vocab: Path = promise("vocab.txt"),
) -> None:
    """Documents of made-up sentences, with a vocabulary for them."""
    from stagedml.stages.text.shards import shard_name, write_shard

    write_vocab(vocab, size)
    articles.mkdir()
    rng = np.random.default_rng(first)
    texts = []
    for _ in range(documents):
        words = rng.integers(0, size - 5, (6, 9))
        texts.append("\n".join(" ".join(f"word{w}" for w in sentence) + " ." for sentence in words))
    write_shard(articles / shard_name("articles", 0), ({"text": t} for t in texts))


def records(m: Manager, first: int = 0, size: int = 60) -> DRef:
    """Records of the small corpus."""
    corpus = small_corpus(m, first=first, size=size)
    vocab = mklens(corpus).vocab.refpath
    fields = {"max_seq_length": 24, "max_predictions_per_seq": 4, "dupe_factor": 2}
    return bert_pretrain_tfrecords(m, wikiref=corpus, bert_vocab=vocab, lower_case=True, **fields)


def pretrained(m: Manager, epoches: int, resume_rref: Any = None, **fields: Any) -> DRef:
    """A short pre-training."""
    given = {**FAST, "heldout": records(m, first=1), **fields}
    return minibert_pretrain_wiki(
        m, tfrecs=records(m), train_epoches=epoches, resume_rref=resume_rref, **given
    )


def weights(rref: str) -> dict[str, np.ndarray]:
    """The tensors of a realization's model."""
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = load_file(Path(mklens(rref).model.syspath) / "model.safetensors")
    return found


def test_an_extension_by_stages_equals_a_straight_run(store: Store, tmp_path: Path) -> None:
    """Two epochs from the realization at one give the weights and the protocol of two in a row."""
    one = realize(instantiate(pretrained, 1))
    two = realize(instantiate(pretrained, 2, resume_rref=one))
    [said] = store.provenance(two)["resumes"]
    assert said.startswith("step 3 of ")
    with_protocol = json.loads(Path(mklens(two).protocol.syspath).read_text())
    from stagedml.store import using

    with using(Store(tmp_path / "another")):
        straight = realize(instantiate(pretrained, 2))
        assert json.loads(Path(mklens(straight).protocol.syspath).read_text()) == with_protocol
        expected = weights(straight)
    for name, value in weights(two).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    measured = {op: set(values) for op, values in with_protocol}
    assert {"loss", "mlm_accuracy", "steps"} <= measured["train"]
    assert {"perplexity", "mlm_loss", "nsp_accuracy"} <= measured["evaluate"]
    assert float(Path(mklens(two).traintime.syspath).read_text()) > 0


def test_the_result_is_a_refbert(store: Store) -> None:
    """Vocabulary, case and sizes are found through the lens, and the folder is Hugging Face's."""
    rref = realize(instantiate(pretrained, 1))
    lens = mklens(rref)
    assert lens.cased.val is False
    assert lens.bert_config_template.num_hidden_layers.val == 2
    folder = Path(lens.model.syspath)
    config = json.loads((folder / "config.json").read_text())
    assert (config["architectures"], config["vocab_size"]) == (["BertForPreTraining"], 60)
    assert (folder / "vocab.txt").read_bytes() == Path(lens.bert_vocab.syspath).read_bytes()
    for name in ("bert_config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"):
        assert (folder / name).is_file()


def test_variants_are_made_by_redefine(store: Store) -> None:
    """The report's way: another name, depth and batch size, in one function."""

    def change(c: dict[str, Any]) -> None:
        mklens(c).name.val += "-3L"
        mklens(c).bert_config_template.num_hidden_layers.val = 3
        mklens(c).train_batch_size.val = 128

    closure = instantiate(redefine(minibert_pretrain_wiki, new_config=change), tfrecs=records)
    lens = mklens(closure)
    assert lens.name.val == "minibert-pretrain-wiki-3L"
    assert lens.bert_config_template.num_hidden_layers.val == 3
    assert lens.bert_config_template.hidden_size.val == 256
    assert lens.tfrecs.max_seq_length.val == 24


def test_a_vocabulary_that_does_not_match_is_refused(store: Store) -> None:
    """Records of 60 words with a vocabulary of 50: both numbers and the remedy are named."""

    def mismatched(m: Manager) -> DRef:
        vocab = mklens(small_corpus(m, size=50)).vocab.refpath
        return bert_pretrain(m, tfrecs=records(m), bert_vocab=vocab, cased=False, **FAST)

    with pytest.raises(DataError, match="made with 60 words, the vocabulary has 50"):
        realize(instantiate(mismatched))


def test_sequences_longer_than_the_positions_are_refused(store: Store) -> None:
    """The lengths are compared when the stage is instantiated, and again where a config was redefined."""
    with pytest.raises(ConfigError, match="sequences of 24 tokens, but 16 positions"):
        instantiate(pretrained, 1, bert_config_template={**SIZES, "max_position_embeddings": 16})

    def shorten(c: dict[str, Any]) -> None:
        mklens(c).bert_config_template.max_position_embeddings.val = 16

    with pytest.raises(ConfigError, match="sequences of 24 tokens, but 16 positions"):
        realize(instantiate(redefine(pretrained, new_config=shorten), 1))


def test_a_truncated_record_file_is_named(store: Store, tmp_path: Path) -> None:
    """Cutting a TFRecord file stops the training with the file and the record."""
    from stagedml.stages.bert.pretrain import open_records

    rref = realize(instantiate(records))
    folder = tmp_path / "cut"
    shutil.copytree(mklens(rref).tfrecords.syspath, folder)
    file = next(p for p in folder.iterdir() if p.suffix != ".json")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DataError, match=f"{file.name}.*record"):
        open_records(folder, Path(mklens(rref).bert_vocab.syspath), batch_size=4, seed=0).batch(0)


def google_zip(folder: Path) -> Path:
    """A checkpoint as Google published them, by TensorFlow 1 names, with Adam's moments left in."""
    import zipfile

    import tensorflow as tf

    from stagedml.stages.bert.checkpoint import tensors_of
    from stagedml.stages.bert.model import BertPretraining, initialize
    from stagedml.stages.bert.names import tf1_map

    config = small_config()
    model = BertPretraining(config)
    initialize(model, 7)
    tensors = tensors_of(model)
    inside = folder / "uncased_L-2_H-32_A-4"
    inside.mkdir(parents=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = []
        for name, (target, convert) in tf1_map(2).items():
            variables.append(tf.compat.v1.Variable(convert(tensors[target]), name=name))
        for beside in ("bert/pooler/dense/kernel/adam_m", "global_step"):
            variables.append(tf.compat.v1.Variable(np.zeros((2,), np.float32), name=beside))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(variables).save(
            session, str(inside / "bert_model.ckpt"), write_meta_graph=False
        )
    (inside / "checkpoint").unlink()
    (inside / "bert_config.json").write_text(json.dumps({**config.to_dict(), "hidden_act": "gelu"}))
    write_vocab(inside / "vocab.txt")
    target = folder / "uncased_L-2_H-32_A-4.zip"
    with zipfile.ZipFile(target, "w") as z:
        for p in sorted(inside.iterdir()):
            z.write(p, f"{inside.name}/{p.name}")
    return target


def test_googles_zip_is_imported_whole(store: Store, tmp_path: Path) -> None:
    """Every tensor of a TF1 checkpoint arrives; moments are named as ignored; gelu is the tanh form."""
    from stagedml.fetch import fetchlocal
    from stagedml.stages.bert.checkpoint import load_pretraining
    from stagedml.stages.bert.model import BertPretraining, initialize

    path = google_zip(tmp_path / "zip")

    def imported(m: Manager) -> DRef:
        return bert_import(m, archive=fetchlocal(m, path=str(path)), url=f"file:{path.name}", cased=False)

    rref = realize(instantiate(imported))
    lens = mklens(rref)
    [[_, said]] = json.loads(Path(lens.protocol.syspath).read_text())
    assert said["ignored"] == "bert/pooler/dense/kernel/adam_m global_step"
    assert (said["kind"], said["heads"]) == ("tf1", "mlm nsp")
    assert json.loads((Path(lens.model.syspath) / "config.json").read_text())["hidden_act"] == "gelu_new"
    assert Path(lens.bert_vocab.syspath).is_file()
    model = BertPretraining(small_config())
    initialize(model, 7)
    batch = pretraining_arrays(4)
    np.testing.assert_array_equal(
        load_pretraining(Path(lens.model.syspath))(batch)["mlm_logits"], model(batch)["mlm_logits"]
    )


def test_the_published_models_have_their_addresses(store: Store) -> None:
    """Each fetched model pins Google's URL and, where published, its sha256."""
    from stagedml.stages.bert.fetch import (
        all_fetch_largebert,
        all_fetch_multibert,
        all_fetchbert,
        all_fetchminibert,
    )

    base = "https://storage.googleapis.com/bert_models"
    wanted = {
        all_fetchminibert: f"{base}/2020_02_20/uncased_L-4_H-256_A-4.zip",
        all_fetchbert: f"{base}/2020_02_20/uncased_L-12_H-768_A-12.zip",
        all_fetch_largebert: f"{base}/2018_10_18/uncased_L-24_H-1024_A-16.zip",
        all_fetch_multibert: f"{base}/2018_11_23/multi_cased_L-12_H-768_A-12.zip",
    }
    for fetch, url in wanted.items():
        lens = mklens(instantiate(fetch))
        assert lens.url.val == lens.archive.url.val == url
        assert lens.archive.checksum.val
    assert mklens(instantiate(all_fetch_multibert)).cased.val is True


def test_stages_need_no_framework() -> None:
    """Importing the stages of BERT imports neither TensorFlow, Keras nor numpy."""
    import subprocess
    import sys

    probe = (
        "import sys, stagedml.stages.bert.stages, stagedml.stages.bert.fetch, stagedml.stages.bert.wiki;"
        "print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd'"),
        ({"precision": "int8"}, "unknown precision 'int8'"),
        ({"init": "zeros"}, "unknown init 'zeros'"),
        ({"train_steps_per_epoch": -1}, "steps is -"),
        ({"train_batch_size": 0}, "a batch of 0"),
        ({"train_batch_size": 8, "accumulate": 3}, "a batch of 8 cannot be cut into 3"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"lr": 0.0}, "lr is 0.0"),
    ],
)
def test_settings_that_cannot_be_fail_when_the_stage_is_called(
    store: Store, fields: dict[str, Any], message: str
) -> None:
    """Nothing is built for a config that no training can have."""
    with pytest.raises(ConfigError, match=message):
        instantiate(lambda m: minibert_pretrain_wiki(m, tfrecs=records(m), **{**FAST, **fields}))
