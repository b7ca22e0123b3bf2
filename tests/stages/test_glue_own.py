"""Tasks from one's own tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagedml import DRef, Manager, instantiate, mklens, realize
from stagedml.errors import DataError
from stagedml.fetch import fetchlocal
from stagedml.stages.glue.own import read_table, split_rows, table_tfrecords
from stagedml.stages.glue.predict import predict_texts
from stagedml.stages.glue.records import read_meta, read_records
from stagedml.stages.glue.stages import bert_finetune_glue
from stagedml.stages.glue.toybert import all_toybert
from stagedml.store import Store, using


def test_csv_has_quotes_and_tsv_has_none(tmp_path: Path) -> None:
    """A quoted field with a line break is one row of a CSV; in a TSV a quote is text."""
    (tmp_path / "a.csv").write_bytes('\ufefftext,label\n"one, ""two""\nthree",x\nfour,y\n'.encode())
    rows = list(read_table(tmp_path / "a.csv", ["text", "label"]))
    assert rows == [(3, ['one, "two"\nthree', "x"]), (4, ["four", "y"])]
    (tmp_path / "a.tsv").write_text('label\ttext\nx\t"one\ny\ttwo"\n')
    assert list(read_table(tmp_path / "a.tsv", ["text", "label"])) == [(2, ['"one', "x"]), (3, ['two"', "y"])]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", r"t\.csv:1: the file is empty"),
        ("text,label\n", r"t\.csv:1: no rows below the header"),
        ("a,b\n1,2\n", r"t\.csv:1: no column 'text'"),
        ("text,label\n1\n", r"t\.csv:2: 1 columns, not 2"),
    ],
)
def test_a_bad_table_is_named_with_its_line(body: str, message: str, tmp_path: Path) -> None:
    """What is wrong, in which line."""
    (tmp_path / "t.csv").write_text(body)
    with pytest.raises(DataError, match=message):
        list(read_table(tmp_path / "t.csv", ["text", "label"]))


def test_a_split_keeps_every_row_once() -> None:
    """Train and dev share nothing, keep the file's order and depend on the seed only."""
    rows = [(i, [str(i)]) for i in range(20)]
    train, dev = split_rows(rows, 0.25, seed=3, where="x")
    assert len(dev) == 5
    assert sorted(train + dev) == rows
    assert dev == sorted(dev)
    assert split_rows(rows, 0.25, seed=3, where="x") == (train, dev)
    with pytest.raises(DataError, match="leaves an empty set"):
        split_rows(rows, 0.0, seed=3, where="x")


@pytest.mark.slow
def test_ten_lines_make_a_task(tmp_path: Path) -> None:
    """A CSV of moods becomes records, a fine-tuned model and answers with its own labels."""
    path = tmp_path / "reviews.csv"
    words = {"good": ("warm", "clever", "moving"), "bad": ("dull", "cold", "hollow")}
    lines = [f'"the film is {w}, {v}",{mood}' for mood, ws in words.items() for w in ws for v in ws] * 6
    path.write_text("review,mood\n" + "\n".join(lines) + "\n")

    def my_task(m: Manager) -> DRef:
        table = fetchlocal(m, path, mode="asis")
        bert = all_toybert(m)
        records = table_tfrecords(
            m, table=mklens(table).out.refpath, text="review", label="mood", max_seq_length=32,
            bert_vocab=mklens(bert).bert_vocab.refpath, lower_case=True,
        )  # fmt: skip
        return bert_finetune_glue(m, bert, records, train_epoches=8, train_batch_size=16, lr=3e-3)

    with using(Store(tmp_path / "store")):
        rref = realize(instantiate(my_task))
        folder = Path(mklens(rref).tfrecs.tfrecords.syspath)
        assert read_meta(folder).labels == ("bad", "good")
        assert len(read_records(folder, "train")) + len(read_records(folder, "dev")) == len(lines)
        answers = predict_texts(rref, ["The film is moving, warm", "the film is cold, dull"])
        assert [a.label for a in answers] == ["good", "bad"]


def test_an_unknown_label_of_ones_own_is_named(tmp_path: Path) -> None:
    """With fixed labels, another one in the table is an error before anything is trained."""
    path = tmp_path / "t.tsv"
    path.write_text("text\tlabel\n" + "a\tx\n" * 20 + "b\tz\n")

    def task(m: Manager) -> DRef:
        table = fetchlocal(m, path, mode="asis")
        vocab = mklens(all_toybert(m)).bert_vocab.refpath
        return table_tfrecords(
            m, table=mklens(table).out.refpath, text="text", label="label", labels=["x", "y"],
            bert_vocab=vocab, lower_case=True,
        )  # fmt: skip

    with using(Store(tmp_path / "store")), pytest.raises(DataError, match=r"t\.tsv:22: unknown label 'z'"):
        realize(instantiate(task))
