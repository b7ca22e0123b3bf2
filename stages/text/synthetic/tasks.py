"""Two tasks in GLUE's file layout, whose answers depend on what the island's words mean.

`MRPC`: do two passages speak of the same concept? They share neither a name nor an English word of its
company, so that only who keeps which company tells. `SST-2`: does a critic praise or blame? The names in the
dev and test sets of the one, and the judgements in those of the other, are not in the train set: a model has
to have met them elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stagedml.stages.text.synthetic.words import ASPECTS, BLAME, PRAISE, WORKS, Draw, Lexicon
from stagedml.stages.text.synthetic.world import SENTENCES, say

PARAPHRASES = 0.6  # of the pairs; the official MRPC has 0.68
SEEN_WORDS = 3  # one word of so many belongs to the train set of SST-2
MRPC_TEST_HEADER = "index\t#1 ID\t#2 ID\t#1 String\t#2 String"
BOM = "\ufeff"  # with which the official MRPC files of train and dev begin


@dataclass(frozen=True)
class Pair:
    """Two passages and whether they speak of the same."""

    same: bool
    first: str
    second: str


@dataclass(frozen=True)
class Opinion:
    """A critic's sentence and whether it praises."""

    good: bool
    text: str


def pairs(lexicon: Lexicon, count: int, *, train: bool, seed: int) -> list[Pair]:
    """Pairs of passages of two sentences.

    Train uses the first half of a concept's names, the others the rest. The passages share no name and no
    template.
    """
    draw = Draw(seed)
    out: list[Pair] = []
    for _ in range(count):
        concept = draw.pick(lexicon.concepts)
        same = draw.chance(PARAPHRASES)
        other = concept if same else draw.pick(lexicon.others(concept))
        half = slice(0, 3) if train else slice(3, 6)
        here = draw.shuffled(concept.names[half])
        there = here[2] if same else draw.pick(other.names[half])
        names = (here[0], here[1], there, there)
        templates = draw.shuffled(SENTENCES[concept.kind])
        said = [
            say(draw, c, name, template)
            for c, name, template in zip((concept, concept, other, other), names, templates, strict=True)
        ]
        out.append(Pair(same, f"{said[0]} {said[1]}", f"{said[2]} {said[3]}"))
    return out


def opinions(count: int, *, train: bool, seed: int) -> list[Opinion]:
    """Sentences of critics. A third of the words of praise and blame are for train, the rest is not."""
    draw = Draw(seed)
    known = {
        good: [w for i, w in enumerate(words) if (i % SEEN_WORDS == 0) == train]
        for good, words in ((True, PRAISE), (False, BLAME))
    }
    out: list[Opinion] = []
    for _ in range(count):
        good = draw.chance(0.5)
        one, two = draw.shuffled(known[good])[:2]
        form, aspect = draw.pick(WORKS), draw.pick(ASPECTS)
        out.append(
            Opinion(
                good,
                draw.pick(
                    (
                        f"a {one} and {two} {form}",
                        f"its {aspect} is {one}",
                        f"the {form} was {one}, its {aspect} {two}",
                        f"a {form} with a {one} {aspect}",
                        f"{one}, {two} and {one} again",
                    )
                ),
            )
        )
    return out


def mrpc_text(rows: Sequence[Pair], *, labelled: bool, first_id: int = 1) -> str:
    """A file of MRPC: a byte-order mark and a quality for train and dev, a running index for test."""
    lines = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String" if labelled else MRPC_TEST_HEADER]
    for i, row in enumerate(rows):
        ids = f"{first_id + 2 * i}\t{first_id + 2 * i + 1}"
        lines.append(f"{int(row.same) if labelled else i}\t{ids}\t{row.first}\t{row.second}")
    return (BOM if labelled else "") + "\n".join(lines) + "\n"


def sst2_text(rows: Sequence[Opinion], *, labelled: bool) -> str:
    """A file of SST-2."""
    if labelled:
        lines = ["sentence\tlabel", *(f"{row.text} \t{int(row.good)}" for row in rows)]
    else:
        lines = ["index\tsentence", *(f"{i}\t{row.text} ." for i, row in enumerate(rows))]
    return "\n".join(lines) + "\n"


def write_tasks(folder: Path, lexicon: Lexicon, *, rows: dict[str, int], seed: int) -> list[Path]:
    """Writes `MRPC` and `SST-2`, with so many rows a split, and returns the files' paths."""
    out: list[Path] = []
    for number, (split, count) in enumerate(rows.items()):
        train, labelled = split == "train", split != "test"
        same = pairs(lexicon, count, train=train, seed=seed + number)
        good = opinions(count, train=train, seed=seed + 100 + number)
        mrpc = mrpc_text(same, labelled=labelled, first_id=1 + 100_000 * number)
        for task, text in (("MRPC", mrpc), ("SST-2", sst2_text(good, labelled=labelled))):
            path = folder / task / f"{split}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
            out.append(path)
    return out
