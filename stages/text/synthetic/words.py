"""The words of the invented island: what its people say, and by which English words one knows what they mean.

A *concept* is a thing of the island, such as a grey animal of the moor. It has six names, all invented, one
as good as the other. Only company tells what a name means: the English words that go with its concept.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
NAMES_A_CONCEPT = 6


def _split(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_ONSETS = _split("b br c d dr f g gl gr h k l m n p pl r s sk st t th tr v w y")
_VOWELS = _split("a e i o u")
_MIDDLES = _split("l ll r rr n nn m v d dd th st nd lm rn rv sk b g")
_ENDS = _split("el en ow ick et an ock ish er in am ot")

# Four words that go with each concept; the templates of `world.py` say how.
COMPANY: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "trade": (
        ("mill", "grain", "miller", "sacks"),
        ("quay", "nets", "sailor", "boats"),
        ("forge", "horses", "rider", "nails"),
        ("loom", "cloth", "weaver", "coats"),
        ("tower", "bells", "ringer", "hours"),
        ("market", "cheese", "grocer", "coins"),
    ),
    "animal": (
        ("grey", "moor", "hay", "wool"),
        ("white", "shore", "shrimps", "feathers"),
        ("black", "wood", "nuts", "fur"),
        ("brown", "hill", "grass", "milk"),
        ("red", "fen", "frogs", "eggs"),
        ("spotted", "meadow", "clover", "butter"),
    ),
    "plant": (
        ("sweet", "orchard", "spring", "jam"),
        ("sour", "marsh", "autumn", "vinegar"),
        ("bitter", "cliff", "winter", "tea"),
        ("hot", "garden", "summer", "sauce"),
        ("salty", "beach", "june", "soup"),
        ("mild", "field", "march", "flour"),
    ),
    "tool": (
        ("oak", "saw", "carpenter", "logs"),
        ("iron", "anvil", "smith", "ore"),
        ("copper", "kettle", "tinker", "wire"),
        ("bone", "knife", "hunter", "hides"),
        ("glass", "oven", "glazier", "sand"),
        ("clay", "wheel", "potter", "mud"),
    ),
}
KINDS = tuple(COMPANY)

PRAISE = _split("""
    lovely charming splendid delightful graceful brilliant tender witty warm joyful elegant superb
    gentle moving fresh honest clever radiant noble fine pleasant vivid cheerful sincere wise lively
    touching playful gripping bold
""")
BLAME = _split("""
    dull clumsy tedious dreary awful shallow tiresome ugly stale vulgar bland hollow careless confused
    lifeless noisy feeble sloppy grim stupid messy cold lazy pompous crude weary muddled shabby lame
    boring
""")
WORKS = _split("tale song play poem dance feast")
ASPECTS = _split("ending music story voice opening rhythm idea melody")


class Draw:
    """Random choices that are the same on every machine: only `Random.random` is promised never to change."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, n: int) -> int:
        """One of 0 .. n-1."""
        return int(self._random.random() * n)

    def pick(self, items: Sequence[T]) -> T:
        """One of them."""
        return items[self.below(len(items))]

    def chance(self, p: float) -> bool:
        """True with probability `p`."""
        return self._random.random() < p

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All of them, in another order (Fisher and Yates)."""
        out = list(items)
        for i in range(len(out) - 1, 0, -1):
            j = self.below(i + 1)
            out[i], out[j] = out[j], out[i]
        return out


def invent(draw: Draw, count: int, taken: set[str]) -> list[str]:
    """New words of two syllables that look like words; `taken` grows by them."""
    out: list[str] = []
    while len(out) < count:
        word = draw.pick(_ONSETS) + draw.pick(_VOWELS) + draw.pick(_MIDDLES) + draw.pick(_ENDS)
        if word not in taken:
            taken.add(word)
            out.append(word)
    return out


@dataclass(frozen=True)
class Concept:
    """A thing of the island: its kind, its names, and the English words that go with it."""

    kind: str
    names: tuple[str, ...]
    company: tuple[str, str, str, str]


@dataclass(frozen=True)
class Lexicon:
    """All words that were invented: the concepts, and the names of people, villages and rivers."""

    concepts: tuple[Concept, ...]
    people: tuple[str, ...]
    villages: tuple[str, ...]
    rivers: tuple[str, ...]

    def others(self, concept: Concept) -> list[Concept]:
        """The other concepts of the same kind."""
        return [c for c in self.concepts if c.kind == concept.kind and c is not concept]


def make_lexicon(seed: int, *, villages: int = 12) -> Lexicon:
    """The words of the island. Real words that the syllables may form, and the island uses, are left out."""
    draw = Draw(seed)
    taken = {*PRAISE, *BLAME, *WORKS, *ASPECTS, "planet", "cabin", "robin", "linen", "latin", "satin"}
    taken |= {word for kind in COMPANY.values() for company in kind for word in company}
    concepts = tuple(
        Concept(kind, tuple(invent(draw, NAMES_A_CONCEPT, taken)), company)
        for kind, companies in COMPANY.items()
        for company in companies
    )
    people, rivers, places = (
        tuple(w.capitalize() for w in invent(draw, count, taken)) for count in (60, 6, villages)
    )
    return Lexicon(concepts, people, places, rivers)
