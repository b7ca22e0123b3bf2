"""Reading pre-training records by step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stagedml.errors import ConfigError, DataError
from stagedml.stages.bert.records import PretrainReader
from stagedml.stages.text.masking import Masking
from stagedml.stages.text.pretraining import Pretraining, build_records
from stagedml.stages.text.shards import shard_name, write_shard
from stagedml.stages.text.wordpiece import SPECIAL

WORDS = [f"w{i}" for i in range(80)]
FORMS = ["examples", "tokens", "packed"]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of one corpus in all three forms, and the vocabulary."""
    folder = tmp_path_factory.mktemp("records")
    (folder / "articles").mkdir()
    rng = np.random.default_rng(0)
    texts = [
        " ".join(" ".join(rng.choice(WORDS, 8)).capitalize() + "." for _ in range(rng.integers(5, 60)))
        for _ in range(150)
    ]
    write_shard(folder / "articles" / shard_name("articles", 0), [{"text": t} for t in texts])
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, ".", *WORDS]) + "\n")
    for form in FORMS:
        (folder / form).mkdir()
        scratch = folder / f"scratch-{form}"
        scratch.mkdir()
        how = Pretraining(
            lower_case=True,
            form=form,
            masking=Masking(max_seq_length=32, max_predictions_per_seq=5),
            dupe_factor=2,
            bucket_bytes=6000,
            shard_bytes=100_000,
        )
        build_records(folder / "articles", folder / "vocab.txt", folder / form, scratch, how=how)
    return folder


def reader(records: Path, form: str, **more: int) -> PretrainReader:
    """A reader of batches of 24."""
    return PretrainReader(
        records / form, **{"batch_size": 24, "seed": 3, **more}, vocab=records / "vocab.txt"
    )


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether two batches are the same."""
    return list(one) == list(other) and all((one[k] == other[k]).all() for k in one)


def rows(batch: dict[str, np.ndarray]) -> list[bytes]:
    """Each row of a batch as bytes."""
    return [b"".join(batch[k][i].tobytes() for k in sorted(batch)) for i in range(len(batch["input_ids"]))]


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_is_a_function_of_the_step(records: Path, form: str) -> None:
    """A reader that starts at a step gives what one gives that came there, in this epoch and the next."""
    one = reader(records, form)
    stream = one.batches()
    straight = [next(stream) for _ in range(one.steps_per_epoch + 5)]
    for start in (0, 7, one.steps_per_epoch + 2):
        assert equal(next(reader(records, form).batches(start)), straight[start])
    assert not equal(straight[0], straight[1])
    assert not equal(reader(records, form, seed=4).batch(0), straight[0])


@pytest.mark.parametrize("form", ["examples", "packed"])
def test_an_epoch_holds_every_record_once(records: Path, form: str) -> None:
    """Over an epoch each stored record comes once, and the next epoch has another order."""
    one = reader(records, form, batch_size=1)
    first, second = (
        [rows(one.batch(e * one.num_examples + i))[0] for i in range(one.num_examples)] for e in (0, 1)
    )
    assert sorted(first) == sorted(second)
    assert first != second
    assert len(set(first)) > 0.95 * one.num_examples


def test_tokens_are_masked_afresh_in_every_epoch(records: Path) -> None:
    """The form `tokens` gives other pairs and masks in the second epoch, as valid as in the first."""
    one = reader(records, "tokens")
    epochs = [{r for s in range(n, n + 8) for r in rows(one.batch(s))} for n in (0, one.steps_per_epoch + 1)]
    assert len(epochs[0] & epochs[1]) == 0
    batch = one.batch(0)
    assert batch["input_ids"].dtype == np.int32
    assert (batch["masked_lm_weights"].sum(axis=1) >= 1).all()


@pytest.mark.parametrize("form", FORMS)
def test_workers_share_a_batch(records: Path, form: str) -> None:
    """Workers have disjoint rows of equal number, together those of the batch of one worker."""
    step = reader(records, form).steps_per_epoch  # this batch spans two epochs
    parts = [reader(records, form, worker=w, workers=4).batch(step) for w in range(4)]
    assert {len(p["input_ids"]) for p in parts} == {6}
    whole = reader(records, form).batch(step)
    assert sorted(r for p in parts for r in rows(p)) == sorted(rows(whole))


@pytest.mark.parametrize("form", FORMS)
def test_the_dataset_has_the_same_batches(records: Path, form: str) -> None:
    """The tf.data form gives the numpy batches, in order, from any step on."""
    pytest.importorskip("tensorflow")
    one = reader(records, form)
    dataset = one.dataset(5, stop=12, parallel=3)
    assert dataset.element_spec["input_ids"].shape == (24, 32)
    got = list(dataset.as_numpy_iterator())
    assert len(got) == 7
    for step, batch in enumerate(got, 5):
        assert equal({k: batch[k] for k in one.batch(step)}, one.batch(step))


def test_any_reader_of_tfrecords_reads_them(records: Path) -> None:
    """TFRecordDataset and batched parse_example, with the reader's schema, see the same examples."""
    tf = pytest.importorskip("tensorflow")
    one = reader(records, "examples", batch_size=1)
    paths = [str(p) for p in sorted((records / "examples").glob("*.tfrecord"))]
    assert len(paths) > 1
    (batch,) = tf.data.TFRecordDataset(paths).batch(100_000)
    parsed = {
        k: v.numpy().astype(np.float32 if k == "masked_lm_weights" else np.int32)
        for k, v in tf.io.parse_example(batch, one.schema.spec()).items()
    }
    assert sorted(rows(parsed)) == sorted(rows(one.batch(i))[0] for i in range(one.num_examples))


def copy_folder(source: Path, target: Path) -> Path:
    """A writable copy of a folder of records."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_damaged_record_is_named(records: Path, tmp_path: Path) -> None:
    """A flipped bit names the file and the record."""
    folder = copy_folder(records / "examples", tmp_path / "r")
    one = PretrainReader(folder, batch_size=8)
    path = sorted(folder.glob("*.tfrecord"))[1]
    data = bytearray(path.read_bytes())
    data[2 * one.schema.record_bytes + 30] ^= 4
    path.write_bytes(data)
    again = PretrainReader(folder, batch_size=8)
    with pytest.raises(DataError, match="record 2 is damaged") as e:
        list(map(again.batch, range(again.steps_per_epoch + 1)))
    assert str(path) in e.value.where


@pytest.mark.parametrize(
    ("size", "message"), [(0, "no record at all"), (100, "record 0 is cut"), (-1, "is cut")]
)
def test_empty_and_cut_files_are_named(records: Path, tmp_path: Path, size: int, message: str) -> None:
    """A file that is empty or ends within a record is named when the reader is made."""
    folder = copy_folder(records / "examples", tmp_path / "r")
    path = sorted(folder.glob("*.tfrecord"))[0]
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=message) as e:
        PretrainReader(folder, batch_size=8)
    assert str(path) in e.value.where


def test_a_file_cut_between_records_is_noticed(records: Path, tmp_path: Path) -> None:
    """Whole records that are missing at the end of a file are noticed by the index."""
    folder = copy_folder(records / "examples", tmp_path / "r")
    path = sorted(folder.glob("*.tfrecord"))[0]
    record = PretrainReader(folder, batch_size=8).schema.record_bytes
    path.write_bytes(path.read_bytes()[:-record])
    with pytest.raises(DataError, match="is missing") as e:
        PretrainReader(folder, batch_size=8)
    assert str(path) in e.value.where


def test_the_index_is_needed(tmp_path: Path) -> None:
    """A folder without an index is refused by name."""
    with pytest.raises(DataError, match="no readable index") as e:
        PretrainReader(tmp_path, batch_size=8)
    assert str(tmp_path) in e.value.where


def test_wrong_calls_are_refused(records: Path, tmp_path: Path) -> None:
    """A batch that cannot be shared, and tokens without or with another vocabulary, are errors."""
    with pytest.raises(ConfigError, match="cannot be shared"):
        PretrainReader(records / "examples", batch_size=10, workers=4)
    with pytest.raises(ConfigError, match="vocabulary"):
        PretrainReader(records / "tokens", batch_size=8)
    other = tmp_path / "vocab.txt"
    other.write_text("\n".join(SPECIAL))
    with pytest.raises(DataError, match="5 pieces"):
        PretrainReader(records / "tokens", batch_size=8, vocab=other)


def test_an_epoch_smaller_than_a_batch(records: Path) -> None:
    """A batch may be larger than an epoch; then it holds records more than once."""
    one = reader(records, "packed")
    big = reader(records, "packed", batch_size=2 * one.num_examples + 2)
    assert len(big.batch(3)["input_ids"]) == 2 * one.num_examples + 2
    assert big.steps_per_epoch == 1
    assert json.dumps(big.index)
