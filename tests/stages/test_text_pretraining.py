"""Pre-training records of a corpus: three passes, any number of workers, killed and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stagedml.errors import ConfigError, DataError
from stagedml.progress import Progress
from stagedml.stages.text.documents import join, select
from stagedml.stages.text.masking import Masking
from stagedml.stages.text.pretraining import Pretraining, build_records, read_index, schema_of
from stagedml.stages.text.shards import shard_name, write_shard
from stagedml.stages.text.tfrecord import map_records
from stagedml.stages.text.wordpiece import SPECIAL, WordPieceTokenizer

WORDS = [f"w{i}" for i in range(60)]
HOW = Pretraining(
    lower_case=True,
    masking=Masking(max_seq_length=32, max_predictions_per_seq=5),
    dupe_factor=2,
    bucket_bytes=2500,
    shard_bytes=40_000,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards of random documents, and a vocabulary beside."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "articles").mkdir()
    rng = np.random.default_rng(0)
    for shard in range(3):
        texts = [
            " ".join(
                " ".join(rng.choice(WORDS, rng.integers(2, 12))).capitalize() + "."
                for _ in range(rng.integers(1, 30))
            )
            for _ in range(20)
        ]
        write_shard(folder / "articles" / shard_name("articles", shard), [{"text": t} for t in [*texts, ""]])
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, ".", *WORDS]) + "\n")
    return folder


def build(corpus: Path, folder: Path, how: Pretraining = HOW, workers: int = 1) -> dict[str, bytes]:
    """Builds records in `folder`; returns its files."""
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    build_records(
        corpus / "articles",
        corpus / "vocab.txt",
        folder / "out",
        folder / "scratch",
        how=how,
        workers=workers,
    )
    return {p.name: p.read_bytes() for p in sorted((folder / "out").iterdir())}


@pytest.mark.parametrize("form", ["examples", "tokens", "packed"])
def test_the_number_of_workers_changes_nothing(corpus: Path, tmp_path: Path, form: str) -> None:
    """One process and three give the same files, byte for byte; another seed gives others."""
    how = replace(HOW, form=form)
    one, three = (build(corpus, tmp_path / str(n), how, n) for n in (1, 3))
    assert one == three
    assert len(one) > 2  # several shards or buckets, and the index
    assert build(corpus, tmp_path / "other", replace(how, seed=1)) != one


def test_the_index_tells_the_truth(corpus: Path, tmp_path: Path) -> None:
    """The index counts tokens, sentences, documents and the examples of each shard."""
    build(corpus, tmp_path)
    index = read_index(tmp_path / "out")
    assert index["documents"] == 60
    assert index["vocab_size"] == len(WORDS) + 6
    schema = schema_of(index)
    counts = [len(map_records(tmp_path / "out" / s["name"], schema)) for s in index["shards"]]
    assert counts == [s["examples"] for s in index["shards"]]
    assert sum(counts) == index["examples"]
    assert index["record_bytes"] == schema.record_bytes


def test_examples_are_shuffled_across_documents_and_shards(corpus: Path, tmp_path: Path) -> None:
    """Neighbouring records are not of one document: next-sentence labels and lengths show no order."""
    build(corpus, tmp_path)
    index = read_index(tmp_path / "out")
    schema = schema_of(index)
    for shard in index["shards"]:
        arrays = schema.decode(np.asarray(map_records(tmp_path / "out" / shard["name"], schema)))
        first, second = (arrays["next_sentence_labels"][i::2] for i in (0, 1))
        n = len(second)
        agree = (first[:n] == second).mean()
        p = arrays["next_sentence_labels"].mean()
        assert abs(agree - (p * p + (1 - p) ** 2)) < 5 * np.sqrt(0.25 / n)


def test_copies_differ(corpus: Path, tmp_path: Path) -> None:
    """`dupe_factor` copies have other masks and pairs, and there are as many times more examples."""
    once = build(corpus, tmp_path / "1", replace(HOW, dupe_factor=1))
    build(corpus, tmp_path / "4", replace(HOW, dupe_factor=4))
    one, four = (read_index(tmp_path / n / "out")["examples"] for n in "14")
    assert four == pytest.approx(4 * one, rel=0.1)
    assert once
    index = read_index(tmp_path / "4" / "out")
    schema = schema_of(index)
    rows = np.concatenate(
        [np.asarray(map_records(tmp_path / "4" / "out" / s["name"], schema)) for s in index["shards"]]
    )
    assert len(np.unique(rows, axis=0)) > 0.99 * len(rows)


class _Killer(Progress):
    """Ends the process, as a power cut would, after some pieces of work."""

    def __init__(self, after: int) -> None:
        self.left = after

    def update(self, n: float = 1) -> None:
        self.left -= int(n)
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def run_and_kill(corpus: str, folder: str, after: str, form: str) -> None:
    """Builds until killed; called in a process of its own."""
    build_records(
        Path(corpus, "articles"),
        Path(corpus, "vocab.txt"),
        Path(folder, "out"),
        Path(folder, "scratch"),
        how=replace(HOW, form=form),
        progress=_Killer(int(after)),
    )


@pytest.mark.parametrize("form", ["examples", "tokens"])
def test_a_killed_build_goes_on(corpus: Path, tmp_path: Path, form: str) -> None:
    """A build killed after each of some pieces of work ends with the same files, and none is made twice."""
    expected = build(corpus, tmp_path / "straight", replace(HOW, form=form))
    folder = tmp_path / "killed"
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True)
    code = "import sys; sys.path.insert(0, sys.argv[1])\n"
    code += "import test_text_pretraining as t; t.run_and_kill(*sys.argv[2:])"
    for after in (2, 5):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                code,
                str(Path(__file__).parent),
                str(corpus),
                str(folder),
                str(after),
                form,
            ],
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
    built = build_records(
        corpus / "articles",
        corpus / "vocab.txt",
        folder / "out",
        folder / "scratch",
        how=replace(HOW, form=form),
    )
    assert built.reused >= 5
    assert {p.name: p.read_bytes() for p in sorted((folder / "out").iterdir())} == expected


def test_documents_can_be_chosen_and_joined() -> None:
    """`select` and `join` keep every document's sentences and tokens."""
    tokenizer = WordPieceTokenizer([*SPECIAL, ".", *WORDS], lower_case=True)
    text = tokenizer.encode_documents(["w1 w2. W3.", "w4.", "w5 w6 w7. W8. W9."])
    twice = join([select(text, np.array([2, 0])), select(text, np.array([1]))])
    assert " ".join(tokenizer.pieces[i] for i in twice.ids) == "w5 w6 w7 . w8 . w9 . w1 w2 . w3 . w4 ."
    assert np.diff(twice.sentences).tolist() == [4, 2, 2, 3, 2, 2]
    assert np.diff(twice.documents).tolist() == [3, 2, 1]


def test_settings_that_cannot_work_are_refused() -> None:
    """A wrong form or length fails before anything is read."""
    with pytest.raises(ConfigError, match="unknown form"):
        replace(HOW, form="example").check()
    with pytest.raises(ConfigError, match="max_seq_length"):
        replace(HOW, masking=Masking(max_seq_length=4)).check()


def test_a_corpus_without_text_is_an_error(corpus: Path, tmp_path: Path) -> None:
    """Shards that hold no word are named."""
    (tmp_path / "articles").mkdir()
    write_shard(tmp_path / "articles" / shard_name("articles", 0), [{"text": " \n"}])
    (tmp_path / "vocab.txt").write_bytes((corpus / "vocab.txt").read_bytes())
    with pytest.raises(DataError, match="no document with text"):
        build(tmp_path, tmp_path / "x")
