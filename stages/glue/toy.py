"""Made-up GLUE: every task in the official layout, small, learnable, and ours to publish.

For trying a pipeline, or a report, without a download. The sentences come from a grammar of a few hundred
words; the labels follow from what they say, so a model that learns scores well above chance. The quirks of
the official files are here too: quotes, ragged rows, a byte-order mark, a file without header.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stagedml import Build, DRef, Manager, build_wrapper, mkdrv, mklens, promise, stage

from .fetch import data_sets
from .tasks import field_name

PEOPLE = ("the baker", "a sailor", "our teacher", "the old painter", "my neighbour", "a young doctor")
VERBS = {"sold": "bought", "opened": "closed", "praised": "blamed", "found": "lost", "built": "broke"}
THINGS = ("a wooden boat", "the blue house", "an honest book", "the iron gate", "a small engine", "the song")
PLACES = ("in the harbour", "near the station", "on the hill", "behind the school", "at the market")
GOOD = ("charming", "gripping", "warm", "clever", "moving", "graceful")
BAD = ("dull", "clumsy", "cold", "tedious", "hollow", "careless")
FILMS = ("the film", "this story", "the second act", 'a "small" comedy', "the cast", "its music")
SYNONYMS = {"wooden": "timber", "small": "little", "old": "elderly", "house": "home", "song": "tune"}


@dataclass(frozen=True)
class Fact:
    """Who did what, where."""

    who: str
    verb: str
    thing: str
    place: str

    def __str__(self) -> str:
        return f"{self.who[0].upper()}{self.who[1:]} {self.verb} {self.thing} {self.place} ."

    def reworded(self) -> str:
        """The same, in other words."""
        words = [SYNONYMS.get(w, w) for w in f"{self.place} {self.who} {self.verb} {self.thing}".split()]
        return " ".join([words[0].capitalize(), *words[1:], "."])


class Maker:
    """Sentences and labels from one random state."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def fact(self) -> Fact:
        """Somebody did something."""
        r = self.rng
        verb = r.choice([*VERBS, *VERBS.values()])
        return Fact(r.choice(PEOPLE), verb, r.choice(THINGS), r.choice(PLACES))

    def opposite(self, f: Fact) -> Fact:
        """What cannot be true as well."""
        both = {**VERBS, **{v: k for k, v in VERBS.items()}}
        return Fact(f.who, both[f.verb], f.thing, f.place)

    def inference(self) -> tuple[str, str, str]:
        """(premise, hypothesis, label) with three labels."""
        f = self.fact()
        label = self.rng.choice(("entailment", "neutral", "contradiction"))
        if label == "entailment":
            return str(f), f"{f.who.capitalize()} {f.verb} {f.thing} .", label
        if label == "contradiction":
            g = self.opposite(f)
            return str(f), f"{g.who.capitalize()} {g.verb} {g.thing} .", label
        g = self.fact()
        return str(f), f"{g.who.capitalize()} {g.verb} {g.thing} .", label

    def paraphrase(self) -> tuple[str, str, str]:
        """(text, text, "1" for the same meaning)."""
        f = self.fact()
        if self.rng.random() < 0.6:
            return str(f), f.reworded(), "1"
        other = self.opposite(f) if self.rng.random() < 0.5 else self.fact()
        return str(f), other.reworded(), "0"

    def two_way(self) -> tuple[str, str, str]:
        """(text, text, entailment or not_entailment)."""
        a, b, label = self.inference()
        return a, b, "entailment" if label == "entailment" else "not_entailment"

    def opinion(self) -> tuple[str, str]:
        """(text, "1" for praise)."""
        good = self.rng.random() < 0.55
        words = self.rng.sample(GOOD if good else BAD, 2)
        return f"{self.rng.choice(FILMS)} is {words[0]} and {words[1]} ", "1" if good else "0"

    def grammatical(self) -> tuple[str, str]:
        """(text, "1" when the words are in order)."""
        words = str(self.fact()).split()
        if self.rng.random() < 0.7:
            return " ".join(words), "1"
        i = self.rng.randrange(1, len(words) - 3)
        words[i], words[i + 1] = words[i + 1], words[i]
        return " ".join(words), "0"

    def similarity(self) -> tuple[str, str, str]:
        """(text, text, 0 to 5: how much they share)."""
        f, g = self.fact(), self.fact()
        keep = self.rng.randint(0, 4)
        parts = [(a if i < keep else b) for i, (a, b) in enumerate(zip(_parts(f), _parts(g), strict=True))]
        h = Fact(*parts)
        shared = sum(a == b for a, b in zip(_parts(f), _parts(h), strict=True))
        return str(f), h.reworded(), f"{shared * 1.25:.3f}"


def _parts(f: Fact) -> tuple[str, str, str, str]:
    return f.who, f.verb, f.thing, f.place


Rows = list[list[str]]


def _pair_rows(make: Callable[[], tuple[str, str, str]], count: int, *, label: bool) -> Rows:
    return [[str(i), a, b, *([c] if label else [])] for i in range(count) for a, b, c in [make()]]


def _single_rows(make: Callable[[], tuple[str, str]], count: int, *, label: bool) -> Rows:
    return [[a, c] if label else [str(i), a] for i in range(count) for a, c in [make()]]


def write_toy(folder: Path, name: str, *, rows: int, dev_rows: int, seed: int) -> None:
    """Writes one data set (a name of `data_sets()`) into `folder`, in its official layout."""
    folder.mkdir(parents=True, exist_ok=True)
    m = Maker(seed)
    sizes = {"train": rows, "dev": dev_rows, "test": dev_rows}
    if name == "MNLI":
        sizes = {"train": rows} | {
            f"{s}_{part}": dev_rows for s in ("dev", "test") for part in ("matched", "mismatched")
        }
    if name == "AX":
        sizes = {"AX": dev_rows}
    for split, count in sizes.items():
        test = split.startswith(("test", "AX"))
        header, body, bom = _table(m, name, count, test=test)
        lines = ["\t".join(row) for row in ([header] if header else []) + body]
        (folder / f"{split}.tsv").write_text(bom + "\n".join(lines) + "\n", encoding="utf-8")


def _table(m: Maker, name: str, count: int, *, test: bool) -> tuple[list[str], Rows, str]:
    """(header, rows, byte-order mark) of one file."""
    if name in ("CoLA", "SST-2"):
        rows = _single_rows(m.grammatical if name == "CoLA" else m.opinion, count, label=not test)
        if test:
            return ["index", "sentence"], rows, ""
        if name == "CoLA":
            return [], [["toy", label, "" if label == "1" else "*", text] for text, label in rows], ""
        return ["sentence", "label"], rows, ""
    makers = {"MRPC": m.paraphrase, "QQP": m.paraphrase, "STS-B": m.similarity}
    three = name in ("MNLI", "SNLI", "AX")
    make = makers.get(name, m.inference if three else m.two_way)
    if name == "WNLI":
        make = m.paraphrase
    rows = _pair_rows(make, count, label=not test)
    tail = [] if test else ["label"]
    if name == "MRPC":
        body = [[r[0], r[0], r[0], *r[1:3]] if test else [r[3], r[0], r[0], *r[1:3]] for r in rows]
        return ["index" if test else "Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"], body, "\ufeff"
    if name == "QQP":
        if test:
            return ["id", "question1", "question2"], rows, ""
        body = [[r[0], r[0], r[0], *r[1:]] for r in rows]
        return ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"], body, ""
    if name == "STS-B":
        return ["index", "sentence1", "sentence2", *(["score"] if not test else [])], rows, ""
    if name in ("MNLI", "SNLI"):
        if test:
            return (
                ["index", "sentence1", "sentence2", *(["gold_label"] if name == "SNLI" else [])],
                [r + (["neutral"] if name == "SNLI" else []) for r in rows],
                "",
            )
        body = [[*r[:3], r[3], *([r[3]] * 2 if i % 7 == 3 else [r[3]])] for i, r in enumerate(rows)]
        return ["index", "sentence1", "sentence2", "label1", "gold_label"], body, ""
    first = ("question", "sentence") if name == "QNLI" else ("sentence1", "sentence2")
    return ["index", *first, *tail], rows, ""


@stage(name="toy-glue")
def toy_set(
    b: Build, task_name: str, rows: int = 256, dev_rows: int = 64, seed: int = 1, out: Path = promise("files")
) -> None:
    """One made-up data set in the official layout."""
    write_toy(out, task_name, rows=rows, dev_rows=dev_rows, seed=seed)


def all_toyglue(m: Manager, *, rows: int = 256, dev_rows: int = 64, seed: int = 1) -> DRef:
    """A collection like `all_fetchglue`, of made-up data: so many examples a task in train, dev and test."""
    config: dict[str, object] = {"name": "toy-glue-collection", "version": 1}
    for name in data_sets():
        config[field_name(name)] = toy_set(m, task_name=name, rows=rows, dev_rows=dev_rows, seed=seed)
    config["index"] = promise("index.txt")
    return mkdrv(m, config, realizer=build_wrapper(_list_names))


def _list_names(b: Build) -> None:
    Path(mklens(b).index.syspath).write_text("\n".join(data_sets()) + "\n", encoding="utf-8")
