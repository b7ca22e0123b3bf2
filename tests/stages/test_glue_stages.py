"""The stages of GLUE from end to end, on made-up data and a BERT of two layers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stagedml import DRef, Manager, instantiate, mklens, realize
from stagedml.errors import ConfigError, DataError
from stagedml.protocol import read_protocol
from stagedml.stages.glue.fetch import GLUE_URL, SENTEVAL_URL, all_fetchglue
from stagedml.stages.glue.predict import predict_texts
from stagedml.stages.glue.stages import bert_finetune_glue, glue_submission, glue_tfrecords
from stagedml.stages.glue.study import realize_study
from stagedml.stages.glue.tasks import find_task, glue_tasks
from stagedml.stages.glue.toy import all_toyglue
from stagedml.stages.glue.toybert import all_toybert
from stagedml.stages.text.synthetic.glue import write_set
from stagedml.stages.text.synthetic.words import make_lexicon
from stagedml.store import Store, using

DATA = Path(os.environ.get("STAGEDML_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of its own."""
    with using(Store(tmp_path / "store")) as s:
        yield s


def records(m: Manager, task_name: str, **fields: Any) -> DRef:
    """Records of a made-up task with the toy vocabulary."""
    return glue_tfrecords(
        m,
        task_name,
        bert_vocab=mklens(all_toybert(m)).bert_vocab.refpath,
        lower_case=True,
        refdataset=all_toyglue(m, rows=96, dev_rows=24, held_out=False),
        max_seq_length=32,
        **fields,
    )


def tuned(m: Manager, task_name: str = "SST-2", **fields: Any) -> DRef:
    """A fine-tuning that takes seconds."""
    settings = {"train_epoches": 2, "train_batch_size": 16, "lr": 3e-3, **fields}
    return bert_finetune_glue(m, all_toybert(m), records(m, task_name), **settings)


def test_instantiating_loads_nothing_heavy() -> None:
    """The whole graph of a fine-tuning is described without TensorFlow, Keras or numpy."""
    code = (
        "import sys; from stagedml import *; from stagedml.stages.glue.stages import *;"
        "from stagedml.stages.glue.toybert import *; from stagedml.stages.glue.toy import *;"
        "f = lambda m: bert_finetune_glue(m, all_toybert(m), glue_tfrecords(m, 'QQP', lower_case=True,"
        "bert_vocab=mklens(all_toybert(m)).bert_vocab.refpath));"
        "instantiate(f); print(sorted({'tensorflow', 'keras', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_task_depends_on_its_own_data_only(store: Store) -> None:
    """The closure of MRPC's records holds MRPC's three files and no other download."""

    def stage(m: Manager) -> DRef:
        refglue = all_fetchglue(m)
        vocab = mklens(all_toybert(m)).bert_vocab.refpath
        return glue_tfrecords(m, "MRPC", bert_vocab=vocab, lower_case=True, refdataset=refglue)

    closure = instantiate(stage)
    urls = {d.config.peek().get("url") for d in closure.derivations} - {None}
    assert {str(u).rsplit("/", 1)[1] for u in urls} == {
        "mrpc_dev_ids.tsv",
        "msr_paraphrase_train.txt",
        "msr_paraphrase_test.txt",
    }
    assert mklens(closure.dref).refdataset.files.val.keys() == {str(u).rsplit("/", 1)[1] for u in urls}


def test_a_single_task_has_its_url_and_checksum(store: Store) -> None:
    """`mklens(records).refdataset.url` says where the data come from."""
    closure = instantiate(
        lambda m: glue_tfrecords(
            m, "cola", bert_vocab=mklens(all_toybert(m)).bert_vocab.refpath, lower_case=True
        )
    )
    assert mklens(closure.dref).refdataset.url.val == "https://dl.fbaipublicfiles.com/glue/data/CoLA.zip"
    assert "f212fcd832b8f7" in mklens(closure.dref).refdataset.checksum.val
    assert mklens(closure.dref).task_name.val == "CoLA"


def test_the_collection_has_a_field_a_data_set(store: Store) -> None:
    """Every task finds its field, and both MNLI share one; a part of it can be asked for."""
    dref = instantiate(all_fetchglue).dref
    assert all(mklens(dref)[find_task(t).archive].optval for t in [*glue_tasks(), "AX"])
    part = instantiate(all_fetchglue, tasks=["MNLI-mm", "MNLI-m", "rte"]).dref
    assert set(mklens(part).val) == {"name", "version", "mnli", "rte", "index"}
    with pytest.raises(ConfigError, match="no GLUE task 'nope'"):
        instantiate(all_fetchglue, tasks=["nope"])
    with pytest.raises(ConfigError, match=r"no data of SST-2\n.*it holds: MNLI, RTE"):
        instantiate(
            lambda m: glue_tfrecords(
                m,
                "SST-2",
                bert_vocab=mklens(all_toybert(m)).bert_vocab.refpath,
                lower_case=True,
                refdataset=all_fetchglue(m, tasks=["MNLI-m", "RTE"]),
            )
        )


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"accumulate": 5}, {"flags": ["+fast"]}, {"patience": 1}])
def test_settings_that_cannot_be_fail_when_the_stage_is_called(store: Store, wrong: dict[str, Any]) -> None:
    """Nothing is built for a negative rate, an unknown flag and the like: they are refused at once."""
    with pytest.raises(ConfigError, match=rf"{next(iter(wrong))}"):
        instantiate(tuned, **wrong)


def test_data_from_a_folder_of_ones_own(store: Store, tmp_path: Path) -> None:
    """Loose folders are found by name, missing tasks are left out, an empty folder is refused."""
    for name in ("RTE", "STS-B"):
        write_set(tmp_path / "mine" / name, name, make_lexicon(1), rows=9, dev_rows=5, seed=3)
    rref = realize(instantiate(all_fetchglue, folder=str(tmp_path / "mine")))
    rows = json.loads(Path(mklens(rref).index.syspath).read_text())
    assert rows == {name: {"train": 9, "dev": 5, "test": 5} for name in ("STS-B", "RTE")}
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no GLUE data"):
        instantiate(all_fetchglue, folder=str(tmp_path / "empty"))


@pytest.mark.slow
def test_a_fine_tuning_learns_and_leaves_what_it_promises(store: Store) -> None:
    """Records, training, metrics, predictions, logs and a model that answers one's own sentences."""
    rref = realize(instantiate(tuned, train_epoches=8))
    lens = mklens(rref)
    assert lens.refbert.bert_config_template.num_hidden_layers.val == 2
    (_, trained), (_, metrics) = read_protocol(Path(lens.protocol.syspath))
    assert trained["steps"] == 48
    assert metrics["examples"] == 24
    assert float(metrics["eval_accuracy"] or 0) > 0.9
    folder = Path(lens.predictions.syspath)
    assert len((folder / "dev.tsv").read_text().splitlines()) == 25
    confusion = json.loads((folder / "dev_confusion.json").read_text())
    assert sum(map(sum, confusion["confusion"])) == 24
    assert {p.name for p in Path(lens.logs.syspath).iterdir()} == {"train", "valid", "eval"}
    assert float(Path(lens.traintime.syspath).read_text()) > 0
    good, bad = predict_texts(rref, ["a lovely and tender song", "a dull and dreary song"])
    assert (good.label, bad.label) == ("1", "0")
    assert good.probability == max(good.probabilities.values())
    with pytest.raises(DataError, match=r"SST-2 is about single texts\n.*without a tab"):
        predict_texts(rref, ["a lovely song"], ["a dull song"])


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import stagedml.stages.bert.train as training
from stagedml import Store, instantiate, realize
from stagedml.progress import BarProgress
from stagedml.store import using
from test_glue_stages import CHOSEN, tuned

class Doomed(BarProgress):
    def update(self, n=1):
        super().update(n)
        if self._unit == "step" and self._n >= 9:
            os.kill(os.getpid(), signal.SIGKILL)

training.CHECKPOINT_PAUSE_S, training.CHECKPOINT_SHARE = 0.0, 1e9
sys.modules["stagedml.progress"].BarProgress = Doomed
with using(Store(sys.argv[1])):
    realize(instantiate(tuned, "MRPC", **CHOSEN))
"""
CHOSEN: dict[str, Any] = {"best_by": "glue_score", "evals_per_epoch": 2, "patience": 9}


@pytest.mark.slow
def test_a_killed_fine_tuning_goes_on_and_ends_the_same(store: Store, tmp_path: Path) -> None:
    """Killed after an evaluation and checkpoints, it resumes, and gives the undisturbed reference."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "store"), str(Path(__file__).parent)]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    rref = realize(instantiate(tuned, "MRPC", **CHOSEN))
    [where] = store.provenance(rref)["resumes"]
    assert int(where.split()[-1]) >= 8
    with using(Store(tmp_path / "undisturbed")):
        assert realize(instantiate(tuned, "MRPC", **CHOSEN)) == rref


SETTINGS: list[dict[str, Any]] = [
    {
        "accumulate": 2,
        "class_weights": "balanced",
        "focal_gamma": 1.0,
        "layer_decay": 0.9,
        "reinit_layers": 1,
    },
    {"precision": "bfloat16", "best_by": "glue_score", "patience": 1, "evals_per_epoch": 2, "dropout": 0.2},
    {
        "flags": ["+f1v2"],
        "accumulate": 4,
        "schedule": "cosine",
        "class_weights": [1.0, 2.0],
        "clip_norm": 0.0,
    },
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings))
def test_every_setting_trains_on_batches_of_several_lengths(store: Store, settings: dict[str, Any]) -> None:
    """Each field of the recipe away from its default, in a training with buckets of several lengths."""
    rref = realize(instantiate(tuned, "MRPC", **settings))
    metrics = dict(read_protocol(Path(mklens(rref).protocol.syspath)))["evaluate"]
    assert np.isfinite(metrics["eval_loss"])
    assert metrics["examples"] == 24


@pytest.mark.slow
def test_accumulation_does_not_change_the_result(store: Store) -> None:
    """Two halves of each batch, one after the other, train a BERT without dropout like the whole batch."""

    def without_dropout(m: Manager, parts: int) -> DRef:
        bert = all_toybert(m, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        settings = {"train_epoches": 1, "train_batch_size": 16, "lr": 3e-3, "accumulate": parts}
        return bert_finetune_glue(m, bert, records(m, "MRPC"), **settings)

    losses = []
    for parts in (1, 2):
        rref = realize(instantiate(without_dropout, parts))
        metrics = dict(read_protocol(Path(mklens(rref).protocol.syspath)))["evaluate"]
        losses.append(metrics["eval_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("task_name", ["STS-B", "MNLI-mm"])
def test_regression_and_three_classes_are_scored_by_their_own_metrics(store: Store, task_name: str) -> None:
    """STS-B reports correlations, MNLI its accuracy; both have a submission with the right columns."""
    dref = lambda m: glue_submission(m, finetuned=[tuned(m, task_name, train_epoches=1)])  # noqa: E731
    rref = realize(instantiate(dref))
    with zipfile.ZipFile(mklens(rref).submission.syspath) as archive:
        [name] = archive.namelist()
        head, *rows = archive.read(name).decode().splitlines()
    assert name == f"{task_name}.tsv"
    assert head == "index\tprediction"
    assert [row.split("\t")[0] for row in rows] == [str(i) for i in range(24)]
    model = realize(instantiate(tuned, task_name, train_epoches=1))
    metrics = dict(read_protocol(Path(mklens(model).protocol.syspath)))["evaluate"]
    key = "spearman" if task_name == "STS-B" else "eval_accuracy"
    assert metrics[key] == metrics[key]


def test_a_wrong_vocabulary_is_named_before_training(store: Store, tmp_path: Path) -> None:
    """Records of another vocabulary or case than the checkpoint's are refused, naming the line."""

    def stage(m: Manager) -> DRef:
        from stagedml.fetch import fetchlocal

        own = fetchlocal(m, vocab, mode="asis")
        recs = glue_tfrecords(
            m,
            "RTE",
            bert_vocab=mklens(own).out.refpath,
            lower_case=True,
            refdataset=all_toyglue(m, rows=9, dev_rows=5),
            max_seq_length=32,
        )
        return bert_finetune_glue(m, all_toybert(m), recs)

    from stagedml.stages.glue.toybert import toy_words

    words = toy_words()
    words[7], words[8] = words[8], words[7]
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(words) + "\n")
    with pytest.raises(DataError, match=rf"{len(words)} tokens, not {len(words)}; line 8 differs"):
        realize(instantiate(stage))


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "glue").is_dir(), reason="no real data ($STAGEDML_DATA)")
def test_the_published_addresses_and_checksums_hold(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a mirror, the official files are fetched by their addresses, and their checksums are right."""
    glue = DATA / "glue"
    mirror = {
        GLUE_URL: str(glue / "zips"),
        GLUE_URL + "mrpc_dev_ids.tsv": str(glue / "MRPC" / "dev_ids.tsv"),
        GLUE_URL + "SST-2.zip": str(glue / "SST-2"),
        SENTEVAL_URL: str(glue / "MRPC"),
    }
    (tmp_path / "mirror.json").write_text(json.dumps(mirror))
    monkeypatch.setenv("STAGEDML_MIRROR", str(tmp_path / "mirror.json"))
    rref = realize(instantiate(all_fetchglue, tasks=["CoLA", "RTE", "WNLI", "MRPC", "SST-2"]))
    rows = json.loads(Path(mklens(rref).index.syspath).read_text())
    for name, counts in rows.items():
        for split, official in find_task(name).rows.items():
            assert counts[split] == official, (name, split)
    assert len(rows) == 5


@pytest.mark.slow
def test_a_study_builds_its_sample_in_one_go(store: Store) -> None:
    """Two settings with two runs each: four realizations with seeds of their own, and none built twice."""
    runs = {lr: partial(tuned, task_name="SST-2", lr=lr, train_epoches=1) for lr in (1e-3, 3e-3)}
    results = realize_study(runs, num_instances=2)
    assert {lr: len(rrefs) for lr, rrefs in results.items()} == {1e-3: 2, 3e-3: 2}
    assert len({rref for rrefs in results.values() for rref in rrefs}) == 4
    assert realize_study(runs, num_instances=2) == results


@pytest.mark.slow
def test_a_submission_holds_several_tasks_and_the_diagnostic_set(store: Store) -> None:
    """One file a task, AX from the model of MNLI-m; a task twice is refused before anything is built."""

    def stage(m: Manager) -> DRef:
        models = [tuned(m, name, train_epoches=1) for name in ("MNLI-m", "RTE")]
        return glue_submission(m, models, diagnostic=records(m, "AX"))

    rref = realize(instantiate(stage))
    with zipfile.ZipFile(mklens(rref).submission.syspath) as archive:
        assert archive.namelist() == ["MNLI-m.tsv", "RTE.tsv", "AX.tsv"]
    with pytest.raises(ConfigError, match="two models for RTE"):
        instantiate(lambda m: glue_submission(m, [tuned(m, "RTE"), tuned(m, "RTE", lr=1e-3)]))


@pytest.mark.slow
def test_one_seed_gives_one_model(store: Store) -> None:
    """A fine-tuning that is built again from its config and seed has the same bytes, hence the same name."""
    first = realize(instantiate(tuned, train_epoches=1))
    assert realize(instantiate(tuned, train_epoches=1), rebuild=["bert-finetune-sst-2"]) == first
