"""Pre-training records of a corpus of any size: tokenize, deal out, make examples, shuffle, each in parallel.

The reference script holds the corpus and all instances in memory to shuffle them. Here three passes over
files do the same in bounded memory:

1. each shard of documents is tokenized, and its documents are dealt at random to buckets;
2. each bucket, a random sample of the corpus that fits in memory, makes its examples `dupe_factor` times, the
   sentences of "another document" coming from the same bucket, and deals them at random to output shards;
3. each output shard gathers what it was dealt, and shuffles it.

Every piece of work writes one file, whole, and draws from a random stream of its own: `seed`, the pass, and
the number of the piece. So the number of processes changes nothing, and a killed run goes on with the missing
files.

Three forms: `examples` is that; `tokens` stops after the first pass, and pairs and masks are drawn afresh in
every epoch by the reader; `packed` fills each sequence with several documents, without pairs.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stagedml.errors import ConfigError, DataError
from stagedml.progress import Progress
from stagedml.stages.text.documents import join, save_arrays, select
from stagedml.stages.text.masking import Ids, Masking, examples, pretrain_schema
from stagedml.stages.text.packing import pack_examples, packed_schema
from stagedml.stages.text.pairs import Draws, make_pairs
from stagedml.stages.text.parallel import Workers
from stagedml.stages.text.shards import read_texts, shard_paths, write_whole
from stagedml.stages.text.tfrecord import CHUNK, Schema
from stagedml.stages.text.wordpiece import Encoded, WordPieceTokenizer, load_vocab

FORMS = ("examples", "tokens", "packed")
INDEX = "index.json"
DEAL, MAKE, MIX = 1, 2, 3  # the random streams of the passes
BATCH_CHARS = 4_000_000  # text tokenized at once


@dataclass(frozen=True)
class Pretraining:
    """How records are made of text. The sizes bound memory and files; they are part of what is built."""

    lower_case: bool
    form: str = "examples"
    masking: Masking = field(default_factory=Masking)
    dupe_factor: int = 10
    seed: int = 12345
    bucket_bytes: int = 24 << 20  # of compressed text: 15 to 20 million tokens
    shard_bytes: int = 128 << 20

    def check(self) -> None:
        """Raises `ConfigError` for settings that cannot work."""
        if self.form not in FORMS:
            raise ConfigError(f"unknown form {self.form!r}", hint=f"one of {', '.join(FORMS)}")
        if self.masking.max_seq_length < 8 or self.masking.max_seq_length > 4096:
            raise ConfigError(f"max_seq_length {self.masking.max_seq_length} is not within 8..4096")
        if self.dupe_factor < 1 or self.masking.max_predictions_per_seq < 1:
            raise ConfigError("dupe_factor and max_predictions_per_seq must be at least 1")


def schema_of(index: dict[str, Any]) -> Schema:
    """The schema of a folder's records, from its index."""
    make = packed_schema if index["form"] == "packed" else pretrain_schema
    return make(index["max_seq_length"], index["max_predictions_per_seq"], index["vocab_size"])


def read_index(folder: Path) -> dict[str, Any]:
    """What a folder of records says of itself. Raises `DataError`."""
    path = folder / INDEX
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise DataError(
            f"no readable index: {e}", where=str(path), hint="build the stage that wrote the folder again"
        ) from e
    return index


@dataclass(frozen=True)
class _Job:
    """What every piece of work knows."""

    how: Pretraining
    vocab: Path
    scratch: Path
    buckets: int = 1
    shards: int = 1
    pieces: int = 0


@functools.lru_cache(maxsize=2)
def _tokenizer(vocab: Path, lower_case: bool) -> WordPieceTokenizer:
    return WordPieceTokenizer(vocab, lower_case=lower_case)


def _tokens_path(job: _Job, i: int) -> Path:
    return job.scratch / f"tokens-{i:06d}.npz"


def _examples_path(job: _Job, bucket: int, dupe: int) -> Path:
    return job.scratch / f"examples-{bucket:06d}-{dupe:04d}.bin"


def tokenize_shard(path: Path, tokenizer: WordPieceTokenizer) -> Encoded:
    """The documents of a shard as ids; texts are handled some megabytes at a time."""
    parts, batch, chars = [], [], 0
    for text in read_texts(path):
        batch.append(text)
        chars += len(text)
        if chars >= BATCH_CHARS:
            parts.append(tokenizer.encode_documents(batch))
            batch, chars = [], 0
    parts.append(tokenizer.encode_documents(batch))
    return join(parts)


def _deal(work: tuple[_Job, int, Path]) -> tuple[int, int, int]:
    """Pass 1: a shard's documents as ids, ordered by the bucket they are dealt to."""
    job, i, path = work
    target = _tokens_path(job, i)
    text = tokenize_shard(path, _tokenizer(job.vocab, job.how.lower_case))
    count = len(text.documents) - 1
    bucket = Draws(job.how.seed, DEAL, i).below(np.full(count, job.buckets))
    order = np.argsort(bucket, kind="stable")
    text = select(text, order)
    small = np.uint16 if len(_tokenizer(job.vocab, job.how.lower_case).pieces) <= 1 << 16 else np.uint32
    borders = np.searchsorted(bucket[order], np.arange(job.buckets + 1))
    save_arrays(
        target,
        ids=text.ids.astype(small),
        sentences=text.sentences,
        documents=text.documents,
        borders=borders,
    )
    return len(text.ids), len(text.sentences) - 1, count


def load_bucket(job: _Job, bucket: int) -> Encoded:
    """The documents dealt to a bucket, from all shards."""
    parts = []
    for i in range(job.pieces):
        with np.load(_tokens_path(job, i)) as a:
            borders, documents, sentences = a["borders"], a["documents"], a["sentences"]
            first, last = int(borders[bucket]), int(borders[bucket + 1])
            if first == last:
                continue
            s0, s1 = int(documents[first]), int(documents[last])
            t0, t1 = int(sentences[s0]), int(sentences[s1])
            parts.append(
                Encoded(
                    a["ids"][t0:t1].astype(np.int32),
                    sentences[s0 : s1 + 1] - t0,
                    documents[first : last + 1] - s0,
                )
            )
    return join(parts)


def _make(work: tuple[_Job, int, int]) -> int:
    """Pass 2: the examples of a bucket, once, ordered by the output shard they are dealt to."""
    job, bucket, dupe = work
    how, draws = job.how, Draws(job.how.seed, MAKE, bucket, dupe)
    text, ids = load_bucket(job, bucket), Ids(_tokenizer(job.vocab, job.how.lower_case).pieces)
    if how.form == "packed":
        schema = packed_schema(how.masking.max_seq_length, how.masking.max_predictions_per_seq, ids.size)
        count, chunks = pack_examples(text, ids, how.masking, draws)
    else:
        schema = pretrain_schema(how.masking.max_seq_length, how.masking.max_predictions_per_seq, ids.size)
        pairs = make_pairs(
            text, draws, max_tokens=how.masking.max_tokens, short_seq_prob=how.masking.short_seq_prob
        )
        count = len(pairs)
        chunks = examples(text, pairs.take(draws.permutation(count)), ids, how.masking, draws)
    shard = np.sort(draws.below(np.full(count, job.shards)))  # the examples are in random order already
    target = _examples_path(job, bucket, dupe)
    part = target.with_name(f".{target.name}.part")
    with part.open("wb") as f:
        for arrays in chunks:
            f.write(schema.encode(arrays).tobytes())
    save_arrays(target.with_suffix(".npz"), borders=np.searchsorted(shard, np.arange(job.shards + 1)))
    part.replace(target)
    return count


def _mix(work: tuple[_Job, int, int, int]) -> int:
    """Pass 3: an output shard, gathered from all buckets and shuffled."""
    job, shard, buckets, record = work
    slices = []
    for bucket in range(buckets):
        for dupe in range(job.how.dupe_factor):
            path = _examples_path(job, bucket, dupe)
            with np.load(path.with_suffix(".npz")) as a:
                first, last = int(a["borders"][shard]), int(a["borders"][shard + 1])
            slices.append((path, first, last - first))
    rows = np.empty((sum(count for _, _, count in slices), record), np.uint8)
    at = 0
    for path, first, count in slices:
        with path.open("rb") as f:
            rows[at : at + count] = np.fromfile(f, np.uint8, count * record, offset=first * record).reshape(
                -1, record
            )
        at += count
    order = Draws(job.how.seed, MIX, shard).permutation(len(rows))
    if len(rows):
        target = job.scratch / _record_name(shard)
        part = target.with_name(f".{target.name}.part")
        with part.open("wb") as f:
            for start in range(0, len(rows), CHUNK):
                f.write(rows[order[start : start + CHUNK]].tobytes())
        part.replace(target)
    write_whole(job.scratch / f"mixed-{shard:06d}", str(len(rows)).encode())
    return len(rows)


def _record_name(shard: int) -> str:
    return f"examples-{shard:06d}.tfrecord"


class _Passes:
    """Runs the pieces of work whose files are not there yet."""

    def __init__(self, pool: Workers, bar: Progress) -> None:
        self.pool, self.bar, self.reused = pool, bar, 0

    def run(self, f: Callable[[Any], Any], works: list[Any], done: list[Path]) -> None:
        """Runs `f` over `works`; `done` are the files that show which are finished."""
        for _ in self.pool.map(f, self._missing(works, done)):
            self.bar.update()

    def _missing(self, works: list[Any], done: list[Path]) -> Iterator[Any]:
        for work, path in zip(works, done, strict=True):
            if path.exists():
                self.reused += 1
                self.bar.update()
            else:
                yield work


@dataclass
class Built:
    """What `build_records` did: the index it wrote, and how many files of an earlier run it went on from."""

    index: dict[str, Any]
    reused: int


def build_records(
    documents: Path,
    vocab: Path,
    out: Path,
    scratch: Path,
    *,
    how: Pretraining,
    workers: int = 1,
    progress: Progress | None = None,
) -> Built:
    """Records in `out`, with an index, of the shards of documents in a folder.

    `scratch` holds what a killed run has finished; it needs about the size of the result. Progress counts
    pieces of work. Raises `DataError` for a corpus without text, `ConfigError` for settings that cannot work.
    """
    how.check()
    bar = progress or Progress()
    shards = shard_paths(documents)
    buckets = max(1, -(-sum(p.stat().st_size for p in shards) // how.bucket_bytes))
    job = _Job(how, vocab, scratch, buckets=buckets, pieces=len(shards))
    bar.expect(len(shards) + buckets * (1 if how.form == "tokens" else 2 * how.dupe_factor))
    with Workers(workers) as pool:
        passes = _Passes(pool, bar)
        tokens = [_tokens_path(job, i) for i in range(len(shards))]
        passes.run(_deal, [(job, i, p) for i, p in enumerate(shards)], tokens)
        size = len(load_vocab(vocab))
        index = {"form": how.form, "vocab_size": size, **asdict(how.masking), **_totals(job)}
        if not index["documents"]:
            raise DataError("no document with text", where=str(documents))
        if how.form == "tokens":
            index |= _write_buckets(job, out, passes)
        else:
            index |= _write_examples(job, index, out, passes)
    write_whole(out / INDEX, (json.dumps(index, indent=1) + "\n").encode())
    return Built(index, passes.reused)


def _totals(job: _Job) -> dict[str, int]:
    totals = {"tokens": 0, "sentences": 0, "documents": 0}
    for i in range(job.pieces):
        with np.load(_tokens_path(job, i)) as a:
            totals["sentences"] += len(a["sentences"]) - 1
            totals["documents"] += len(a["documents"]) - 1
            totals["tokens"] += int(a["sentences"][-1])
    return totals


def _bucket_file(work: tuple[_Job, int]) -> None:
    """The `tokens` form: the documents of a bucket, and how many pairs they give."""
    job, bucket = work
    how = job.how
    text = load_bucket(job, bucket)
    draws = Draws(how.seed, MAKE, bucket, 0)
    pairs = make_pairs(
        text, draws, max_tokens=how.masking.max_tokens, short_seq_prob=how.masking.short_seq_prob
    )
    entry = {"tokens": len(text.ids), "documents": len(text.documents) - 1, "examples": len(pairs)}
    small = np.uint16 if text.ids.max(initial=0) < 1 << 16 else np.uint32
    save_arrays(
        job.scratch / _bucket_name(bucket),
        ids=text.ids.astype(small),
        sentences=text.sentences,
        documents=text.documents,
    )
    write_whole(job.scratch / f"bucket-{bucket:06d}.json", json.dumps(entry).encode())


def _bucket_name(bucket: int) -> str:
    return f"bucket-{bucket:06d}.npz"


def _write_buckets(job: _Job, out: Path, passes: _Passes) -> dict[str, Any]:
    """The form `tokens`: one file a bucket; the part of the index that lists them."""
    entries = [job.scratch / f"bucket-{b:06d}.json" for b in range(job.buckets)]
    passes.run(_bucket_file, [(job, b) for b in range(job.buckets)], entries)
    buckets = []
    for b, path in enumerate(entries):
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["documents"]:
            _move(job.scratch / _bucket_name(b), out / _bucket_name(b))
            buckets.append({"name": _bucket_name(b), **entry})
    return {"examples": sum(b["examples"] for b in buckets), "buckets": buckets}


def _move(path: Path, target: Path) -> None:
    """Moves a finished file; an interrupted run may have moved it already."""
    if not target.exists():
        shutil.move(path, target)


def _write_examples(job: _Job, index: dict[str, Any], out: Path, passes: _Passes) -> dict[str, Any]:
    """Passes 2 and 3; the part of the index that lists the shards."""
    how, record = job.how, schema_of(index).record_bytes
    expected = index["tokens"] * how.dupe_factor / (0.7 * how.masking.max_tokens)
    job = _Job(
        how,
        job.vocab,
        job.scratch,
        job.buckets,
        max(1, round(expected * record / how.shard_bytes)),
        job.pieces,
    )
    passes.bar.expect(job.pieces + job.buckets * how.dupe_factor + job.shards)
    works = [(job, b, d) for b in range(job.buckets) for d in range(how.dupe_factor)]
    passes.run(_make, works, [_examples_path(job, b, d) for _, b, d in works])
    passes.run(
        _mix,
        [(job, s, job.buckets, record) for s in range(job.shards)],
        [job.scratch / f"mixed-{s:06d}" for s in range(job.shards)],
    )
    shards = []
    for s in range(job.shards):
        count = int((job.scratch / f"mixed-{s:06d}").read_bytes())
        if count:
            _move(job.scratch / _record_name(s), out / _record_name(s))
            shards.append({"name": _record_name(s), "examples": count})
    return {
        "record_bytes": record,
        "dupe_factor": how.dupe_factor,
        "examples": sum(s["examples"] for s in shards),
        "shards": shards,
    }
