"""Every data set of GLUE, SNLI and the diagnostic set, about the island: small, in the official layouts.

`tasks.py` says what MRPC and SST-2 ask. The others ask the same of a model: do two passages speak of one
concept (entailment, a duplicate), of two of one kind (contradiction), or of different kinds (neutral)? CoLA
asks whether the words of a sentence are in order, STS-B how much two passages share.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from stagedml.stages.text.synthetic.tasks import mrpc_text, opinions, pairs, sst2_text
from stagedml.stages.text.synthetic.words import Concept, Draw, Lexicon
from stagedml.stages.text.synthetic.world import SENTENCES, say

Row = tuple[str, str, str]  # two texts (the second may be empty) and a label
_MNLI = "index promptID pairID genre"
_PARSES = "sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 sentence2"
_NLI = ("index sentence1 sentence2 label", "index sentence1 sentence2")
# the columns of train and dev, and of test
COLUMNS = {
    "CoLA": ("source label star sentence", "index sentence"),
    "STS-B": ("index genre filename year old_index source1 source2 sentence1 sentence2 score",
              "index genre filename year old_index source1 source2 sentence1 sentence2"),
    "QQP": ("id qid1 qid2 question1 question2 is_duplicate", "id question1 question2"),
    "MNLI": (f"{_MNLI} {_PARSES} label1 gold_label", f"{_MNLI} {_PARSES}"),
    "SNLI": (f"index captionID pairID {_PARSES} label1 gold_label",) * 2,
    "QNLI": ("index question sentence label", "index question sentence"),
    "RTE": _NLI,
    "WNLI": _NLI,
    "AX": ("", "index sentence1 sentence2"),
}  # fmt: skip
TWO = {
    "QQP": "01",
    "WNLI": "01",
    "RTE": ("not_entailment", "entailment"),
    "QNLI": ("not_entailment", "entailment"),
}
SCORES = {
    "entailment": 5.0,
    "contradiction": 2.0,
    "neutral": 0.0,
}  # of STS-B, by what two sentences have in common


def relative(draw: Draw, lexicon: Lexicon, concept: Concept) -> tuple[str, Concept]:
    """What a second text is about, and what follows: the concept itself, one of its kind, one of another."""
    label = draw.pick(tuple(SCORES))
    if label == "entailment":
        return label, concept
    if label == "contradiction":
        return label, draw.pick(lexicon.others(concept))
    return label, draw.pick([c for c in lexicon.concepts if c.kind != concept.kind])


def inferences(lexicon: Lexicon, count: int, *, train: bool, seed: int) -> Iterator[Row]:
    """Premises and hypotheses of one sentence, with three labels; names as in `tasks.pairs`."""
    draw, half = Draw(seed), slice(0, 3) if train else slice(3, 6)
    for _ in range(count):
        concept = draw.pick(lexicon.concepts)
        label, other = relative(draw, lexicon, concept)
        here, there = draw.shuffled(concept.names[half])[:2], draw.pick(other.names[half])
        one, two = draw.shuffled(range(4))[:2]
        first = say(draw, concept, here[0], SENTENCES[concept.kind][one])
        name = here[1] if label == "entailment" else there
        yield first, say(draw, other, name, SENTENCES[other.kind][two]), label


def similarities(lexicon: Lexicon, count: int, *, train: bool, seed: int) -> Iterator[Row]:
    """Passages of two sentences, with the mean of what their sentences have in common: 0 to 5."""
    parts = inferences(lexicon, 2 * count, train=train, seed=seed)
    for (a, b, one), (c, d, two) in zip(parts, parts, strict=True):
        yield f"{a} {c}", f"{b} {d}", f"{(SCORES[one] + SCORES[two]) / 2:.3f}"


def judgements(lexicon: Lexicon, count: int, *, train: bool, seed: int) -> Iterator[Row]:
    """Sentences, three in ten of them with two neighbouring words exchanged."""
    draw, half = Draw(seed), slice(0, 3) if train else slice(3, 6)
    for _ in range(count):
        concept = draw.pick(lexicon.concepts)
        words = say(draw, concept, draw.pick(concept.names[half])).split()
        good = draw.chance(0.7)
        if not good:
            i = 1 + draw.below(len(words) - 2)
            words[i], words[i + 1] = words[i + 1], words[i]
        yield " ".join(words), "", str(int(good))


def rows_of(name: str, lexicon: Lexicon, count: int, *, train: bool, seed: int) -> Iterator[Row]:
    """The rows of one file of a set other than MRPC and SST-2."""
    if name in TWO:
        same = pairs(lexicon, count, train=train, seed=seed)
        return ((p.first, p.second, TWO[name][p.same]) for p in same)
    kinds: dict[str, Callable[..., Iterator[Row]]] = {"CoLA": judgements, "STS-B": similarities}
    return kinds.get(name, inferences)(lexicon, count, train=train, seed=seed)


def set_text(name: str, lexicon: Lexicon, count: int, *, split: str, train: bool, seed: int) -> str:
    """One file of a set. Some rows of SNLI and MNLI are longer than the header, as in the official ones."""
    test = split.startswith(("test", "AX"))
    if name == "MRPC":
        return mrpc_text(pairs(lexicon, count, train=train, seed=seed), labelled=not test)
    if name == "SST-2":
        return sst2_text(opinions(count, train=train, seed=seed), labelled=not test)
    columns = COLUMNS[name][test].split()
    lines = [] if name == "CoLA" and not test else ["\t".join(columns)]
    for i, (a, b, label) in enumerate(rows_of(name, lexicon, count, train=train, seed=seed)):
        known = dict.fromkeys(("sentence1", "question1", "question"), a)
        known |= dict.fromkeys(("sentence2", "question2"), b)
        known |= dict.fromkeys(("label", "gold_label", "label1", "score", "is_duplicate"), label)
        known |= {"index": str(i), "id": str(i), "sentence": b or a, "star": "" if label == "1" else "*"}
        row = [known.get(column, f"{column}-{i}") for column in columns]
        if columns[-1] == "gold_label" and i % 7 == 3:
            row[-1:] = [label, label]
        lines.append("\t".join(row))
    return "\n".join(lines) + "\n"


def write_set(
    folder: Path, name: str, lexicon: Lexicon, *, rows: int, dev_rows: int, seed: int, held_out: bool = True
) -> list[Path]:
    """Writes a set (MNLI is one) into `folder`: so many rows of train, and of dev and test.

    With `held_out=False` dev and test have the names and the words of train: a model can learn them there.
    """
    sizes = {"train": rows, "dev": dev_rows, "test": dev_rows}
    if name == "MNLI":
        parts = {
            f"{split}_{part}": dev_rows for split in ("dev", "test") for part in ("matched", "mismatched")
        }
        sizes = {"train": rows} | parts
    elif name == "AX":
        sizes = {"AX": dev_rows}
    folder.mkdir(parents=True, exist_ok=True)
    seed += zlib.crc32(name.encode()) % 1_000_000  # QQP is not MRPC
    out = []
    for number, (split, count) in enumerate(sizes.items()):
        train = split == "train" or not held_out
        text = set_text(name, lexicon, count, split=split, train=train, seed=seed + number)
        out.append(folder / f"{split}.tsv")
        out[-1].write_text(text, encoding="utf-8", newline="")
    return out
