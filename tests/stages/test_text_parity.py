"""Our tokens and examples against TF-Models' `create_pretraining_data`, on real text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stagedml.stages.text.masking import Ids, Masking, assemble, pretrain_schema, replace_tokens
from stagedml.stages.text.pairs import Draws, make_pairs
from stagedml.stages.text.sentences import split_sentences
from stagedml.stages.text.tfrecord import map_records
from stagedml.stages.text.wordpiece import Encoded, WordPieceTokenizer
from stagedml.stages.wiki.dump import block_pages, parse_page, plan_blocks, read_site
from stagedml.stages.wiki.extract import Counts, Extraction, articles

pytestmark = [pytest.mark.parity, pytest.mark.data, pytest.mark.filterwarnings("ignore")]
HOW = Masking()
SCRIPTS = {
    "Latin": "A-Za-z", "Cyrillic": "\u0400-\u04ff", "Greek": "\u0370-\u03ff", "Arabic": "\u0600-\u06ff",
    "Hebrew": "\u0590-\u05ff", "Han": "\u4e00-\u9fff", "kana": "\u3040-\u30ff", "Hangul": "\uac00-\ud7af",
    "Devanagari": "\u0900-\u097f", "Thai": "\u0e00-\u0e7f",
}  # fmt: skip
VOCABS = [
    ("bert-base-uncased-vocab.txt", True),
    ("bert-base-cased-vocab.txt", False),
    ("bert-base-multilingual-cased-vocab.txt", False),
    ("bert-base-multilingual-cased-vocab.txt", True),
]


@pytest.fixture(scope="module")
def reference() -> Any:
    """TF-Models' script as a module."""
    pytest.importorskip("official", reason="needs the parity environment: tf-models-official")
    from official.nlp.data import create_pretraining_data

    return create_pretraining_data


@pytest.fixture(scope="module")
def raw_lines(real_data: Path) -> list[str]:
    """All lines of wiki markup of the real dumps: text in many scripts, with every kind of mark."""
    lines = []
    for path in sorted((real_data / "wikipedia").iterdir()):
        pages = [parse_page(raw) for block in plan_blocks(path, 1 << 30) for raw in block_pages(block)]
        lines += [line for p in pages if p for line in p.text.split("\n") if line.strip()]
    return lines


@pytest.mark.parametrize(("vocab", "lower_case"), VOCABS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_ids_equal_full_tokenizer(
    reference: Any, raw_lines: list[str], real_data: Path, script: str, vocab: str, lower_case: bool
) -> None:
    """Ids are those of Google's FullTokenizer on real lines of ten scripts, cased and not."""
    path = real_data / "bert-vocab" / vocab
    theirs = reference.tokenization.FullTokenizer(str(path), do_lower_case=lower_case)
    ours = WordPieceTokenizer(path, lower_case=lower_case)
    lines = [line for line in raw_lines if re.search(f"[{SCRIPTS[script]}]", line)]
    lines = random.Random(0).sample(lines, min(300, len(lines)))
    assert len(lines) >= 5
    encoded = ours.encode_lines([[line] for line in lines])
    expected = [theirs.convert_tokens_to_ids(theirs.tokenize(line)) for line in lines]
    assert encoded.ids.tolist() == [i for ids in expected for i in ids]
    assert [ours.encode(line) for line in lines] == expected


@pytest.mark.parametrize("lower_case", [False, True])
def test_every_character_is_treated_alike(reference: Any, lower_case: bool) -> None:
    """Each code point, within, before and after a word, gives the words of BasicTokenizer."""
    theirs = reference.tokenization.BasicTokenizer(do_lower_case=lower_case)
    ours = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lower_case=lower_case)
    for start in range(0, 0x30000, 512):
        points = [c for c in range(start, start + 512) if not 0xD800 <= c < 0xE000]
        text = " ".join(f"a{chr(c)}b {chr(c)}C D{chr(c)}" for c in points)
        assert ours.words(text) == theirs.tokenize(text), hex(start)


@dataclass
class Sample:
    """What is compared of a set of examples."""

    count: int
    length: np.ndarray
    a_length: np.ndarray
    b_length: np.ndarray
    predicted: np.ndarray
    relative_position: np.ndarray
    random_next: float
    masked: float
    kept: float
    replaced: float
    labels: np.ndarray

    def differences(self, other: Sample) -> dict[str, float]:
        """Each figure's distance from another sample's, in units of what chance allows (1: p about 0.001)."""
        n, m = self.count, other.count
        out = {"count": abs(n - m) / (6 * np.sqrt(n + m))}
        for name in ("length", "a_length", "b_length", "predicted", "relative_position"):
            one, two = np.sort(getattr(self, name)), np.sort(getattr(other, name))
            grid = np.union1d(one, two)
            share = [np.searchsorted(x, grid, side="right") / len(x) for x in (one, two)]
            gap = share[0] - share[1]
            out[name] = np.abs(gap).max() / (1.95 * np.sqrt(1 / len(one) + 1 / len(two)))
        for name, size in (("random_next", 1), ("masked", 9), ("kept", 9), ("replaced", 9)):
            one, two = getattr(self, name), getattr(other, name)
            p = (one + two) / 2
            out[name] = abs(one - two) / (3.3 * np.sqrt(p * (1 - p) * (1 / n + 1 / m) / size))
        return out


def sample(rows: list[tuple[list[int], int, list[int], list[int], bool]], mask_id: int) -> Sample:
    """A sample of examples given as (ids, length of segment A, positions, labels, random_next)."""
    positions = [
        (p / len(ids), ids[p], label)
        for ids, _, at, labels, _ in rows
        for p, label in zip(at, labels, strict=True)
    ]
    after, before = np.array([p[1] for p in positions]), np.array([p[2] for p in positions])
    return Sample(
        count=len(rows),
        length=np.array([len(r[0]) for r in rows]),
        a_length=np.array([r[1] for r in rows]),
        b_length=np.array([len(r[0]) - 3 - r[1] for r in rows]),
        predicted=np.array([len(r[2]) for r in rows]),
        relative_position=np.array([p[0] for p in positions]),
        random_next=float(np.mean([r[4] for r in rows])),
        masked=float((after == mask_id).mean()),
        kept=float((after == before).mean()),
        replaced=float(((after != before) & (after != mask_id)).mean()),
        labels=np.sort(before),
    )


@pytest.fixture(scope="module")
def documents(real_data: Path) -> list[list[str]]:
    """Pieces of real articles as lists of sentences.

    Short ones, because the length that a document's examples aim at is drawn once a document: of a hundred
    long articles no two draws look alike.
    """
    (path,) = (real_data / "wikipedia").glob("enwiki-l*.bz2")
    site = read_site(path)
    how = Extraction()
    texts = [a["text"] for block in plan_blocks(path, 1 << 30) for a in articles(block, site, how, Counts())]
    sentences = [split_sentences(text) for text in texts]
    return [s[i : i + 12] for s in sentences for i in range(0, len(s), 12)]


@pytest.fixture(scope="module")
def vocab(real_data: Path) -> Path:
    """The uncased English vocabulary."""
    return real_data / "bert-vocab" / "bert-base-uncased-vocab.txt"


@pytest.fixture(scope="module")
def corpus(documents: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents as the script reads them: a sentence a line, an empty line between documents."""
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("\n\n".join("\n".join(d) for d in documents) + "\n")
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["tokens", "whole words"])
def theirs(
    request: pytest.FixtureRequest, reference: Any, corpus: Path, vocab: Path
) -> tuple[bool, list[Any], Sample]:
    """The script's instances, twice the corpus, and their sample."""
    tokenizer = reference.tokenization.FullTokenizer(str(vocab))
    instances = reference.create_training_instances(
        [str(corpus)], tokenizer, str_strip, 128, 2, 0.1, 0.15, 20, random.Random(1), request.param
    )
    ids = tokenizer.convert_tokens_to_ids
    rows = [
        (
            ids(i.tokens),
            i.tokens.index("[SEP]") - 1,
            i.masked_lm_positions,
            ids(i.masked_lm_labels),
            i.is_random_next,
        )
        for i in instances
    ]
    return request.param, instances, sample(rows, tokenizer.vocab["[MASK]"])


def str_strip(line: bytes) -> str:
    """What the script does with a line before it tokenizes it."""
    return line.decode().strip()


def our_sample(text: Encoded, how: Masking, ids: Ids, dupes: int = 2) -> Sample:
    """The sample of our examples of the same text."""
    rows: list[tuple[list[int], int, list[int], list[int], bool]] = []
    for dupe in range(dupes):
        pairs = make_pairs(text, Draws(7, dupe), max_tokens=how.max_tokens, short_seq_prob=how.short_seq_prob)
        plain, candidates = assemble(text, pairs, ids, how)
        a = replace_tokens(plain, candidates, ids, how, Draws(8, dupe))
        length, count = a["input_mask"].sum(axis=1), a["masked_lm_weights"].sum(axis=1).astype(int)
        for i in range(len(pairs)):
            rows.append(
                (
                    a["input_ids"][i, : length[i]].tolist(),
                    int(pairs.a_len[i]),
                    a["masked_lm_positions"][i, : count[i]].tolist(),
                    a["masked_lm_ids"][i, : count[i]].tolist(),
                    bool(pairs.random_next[i]),
                )
            )
    return sample(rows, ids.mask)


@pytest.fixture(scope="module")
def ours(documents: list[list[str]], vocab: Path) -> tuple[WordPieceTokenizer, Encoded]:
    """The same documents, tokenized by us."""
    tokenizer = WordPieceTokenizer(vocab, lower_case=True)
    return tokenizer, tokenizer.encode_lines(documents)


def test_tokens_before_masking_are_the_same(theirs: Any, ours: Any) -> None:
    """Each segment of the script's instances, labels put back, is a run of our tokens of one document."""
    tokenizer, text = ours
    borders = text.sentences[text.documents]
    found = " ".join(map(str, text.ids.tolist()))
    for instance in theirs[1][::150]:
        tokens = list(instance.tokens)
        for p, label in zip(instance.masked_lm_positions, instance.masked_lm_labels, strict=True):
            tokens[p] = label
        middle = tokens.index("[SEP]")
        for segment in (tokens[1:middle], tokens[middle + 1 : -1]):
            run = " ".join(str(tokenizer.vocab[t]) for t in segment)
            at = f" {found} ".find(f" {run} ")
            assert at >= 0
            first = found[:at].count(" ")
            assert len(borders) > 1
            if len(segment) > 40:  # long enough to occur once
                assert np.searchsorted(borders, first, side="right") == np.searchsorted(
                    borders, first + len(segment) - 1, side="right"
                )


def test_distributions_are_those_of_the_script(theirs: Any, ours: Any) -> None:
    """Counts, lengths, predictions, positions, labels and replacements agree within chance."""
    whole_word, _, expected = theirs
    tokenizer, text = ours
    got = our_sample(text, replace(HOW, whole_word=whole_word), Ids(tokenizer.pieces))
    differences = got.differences(expected)
    assert max(differences.values()) < 1.3, differences


BROKEN: dict[str, Callable[[Masking], Masking]] = {
    "no short sequences": lambda how: replace(how, short_seq_prob=0.0),
    "one token less": lambda how: replace(how, max_seq_length=127),
    "fewer predictions": lambda how: replace(how, masked_lm_prob=0.14),
    "a lower maximum": lambda how: replace(how, max_predictions_per_seq=18),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_the_bounds_would_notice(theirs: Any, ours: Any, defect: str) -> None:
    """The same comparison fails for implementations that are slightly wrong."""
    whole_word, _, expected = theirs
    tokenizer, text = ours
    got = our_sample(text, BROKEN[defect](replace(HOW, whole_word=whole_word)), Ids(tokenizer.pieces))
    assert max(got.differences(expected).values()) > 2


@pytest.mark.parametrize("defect", ["always [MASK]", "never kept", "labels turned"])
def test_the_bounds_would_notice_wrong_values(theirs: Any, ours: Any, defect: str) -> None:
    """Wrong shares of replacements and of next-sentence labels are noticed as well."""
    tokenizer, text = ours
    got = our_sample(text, replace(HOW, whole_word=theirs[0]), Ids(tokenizer.pieces))
    if defect == "always [MASK]":
        got = replace(got, masked=0.9, replaced=0.0)
    elif defect == "never kept":
        got = replace(got, kept=0.08, masked=0.82)
    else:
        got = replace(got, random_next=1 - got.random_next)
    assert max(got.differences(theirs[2]).values()) > 2


def test_their_records_have_our_features(reference: Any, theirs: Any, vocab: Path, tmp_path: Path) -> None:
    """Records that the script wrote parse with our schema, and to what the script had."""
    tf = pytest.importorskip("tensorflow")
    instances = theirs[1][:50]
    tokenizer = reference.tokenization.FullTokenizer(str(vocab))
    path = str(tmp_path / "x.tfrecord")
    reference.write_instance_to_example_files(instances, tokenizer, 128, 20, [path], False, False)
    schema = pretrain_schema(128, 20, len(tokenizer.vocab))
    (batch,) = tf.data.TFRecordDataset(path).batch(50)
    parsed = {k: v.numpy() for k, v in tf.io.parse_example(batch, schema.spec()).items()}
    assert (parsed["next_sentence_labels"] == [i.is_random_next for i in instances]).all()
    again = tmp_path / "again.tfrecord"
    again.write_bytes(schema.encode(parsed).tobytes())
    back = schema.decode(np.asarray(map_records(again, schema)))
    for name, values in parsed.items():
        np.testing.assert_array_equal(back[name], values)


def test_their_loader_reads_our_records(reference: Any, ours: Any, tmp_path: Path) -> None:
    """TF-Models' own loader of pre-training data reads what we write."""
    tf = pytest.importorskip("tensorflow")
    from official.nlp.data import pretrain_dataloader

    tokenizer, text = ours
    ids = Ids(tokenizer.pieces)
    pairs = make_pairs(text, Draws(1), max_tokens=125, short_seq_prob=0.1).take(slice(0, 64))
    plain, candidates = assemble(text, pairs, ids, HOW)
    arrays = replace_tokens(plain, candidates, ids, HOW, Draws(2))
    path = tmp_path / "ours.tfrecord"
    path.write_bytes(pretrain_schema(128, 20, ids.size).encode(arrays).tobytes())
    config = pretrain_dataloader.BertPretrainDataConfig(
        input_path=str(path), global_batch_size=64, is_training=False, seq_length=128,
        max_predictions_per_seq=20, use_next_sentence_label=True,
    )  # fmt: skip
    (batch,) = pretrain_dataloader.BertPretrainDataLoader(config).load()
    np.testing.assert_array_equal(batch["input_word_ids"].numpy(), arrays["input_ids"])
    np.testing.assert_array_equal(batch["input_type_ids"].numpy(), arrays["segment_ids"])
    np.testing.assert_array_equal(batch["masked_lm_ids"].numpy(), arrays["masked_lm_ids"])
    np.testing.assert_array_equal(
        batch["next_sentence_labels"].numpy().ravel(), arrays["next_sentence_labels"]
    )
    assert tf.executing_eagerly()
