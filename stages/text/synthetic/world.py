"""The encyclopedia of the island: sentences, articles, and what else a wiki holds.

Most articles are about a concept in one village (`Giram of Tolm`): each sentence calls the concept by any of
its names, and puts it beside one of its English words. So names of one concept keep the same company. The
others are about works of art, which their critics all praise or all blame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stagedml.stages.text.synthetic.dump import Page
from stagedml.stages.text.synthetic.words import (
    ASPECTS,
    BLAME,
    KINDS,
    PRAISE,
    WORKS,
    Concept,
    Draw,
    Lexicon,
)

# {S}: she or he; {O}: her or him; {X}: a name of the concept; {0} .. {3}: the words of its company.
SENTENCES: dict[str, tuple[str, ...]] = {
    "trade": (
        "{S} is a {X} at the {0}",
        "as a {X} {S} knows all about {1}",
        "a {2} taught {O} to be a {X}",
        "{S} counts {3} as a {X}",
    ),
    "animal": (
        "{S} keeps a {0} {X}",
        "a {X} from the {1} follows {O}",
        "{S} feeds {2} to a {X}",
        "{S} sells the {3} of a {X}",
    ),
    "plant": (
        "{S} likes the {0} {X}",
        "{S} picks {X} near the {1}",
        "in {2} {S} eats {X}",
        "{S} makes {3} of {X}",
    ),
    "tool": (
        "{S} has a {X} of {0}",
        "{S} uses a {X} with the {1}",
        "{S} bought a {X} from a {2}",
        "{S} turns {3} with a {X}",
    ),
}
OPENINGS = {
    "trade": "the {X} of {V} is a trade",
    "animal": "the {X} of {V} is an animal",
    "plant": "the {X} of {V} is a plant",
    "tool": "the {X} of {V} is a tool",
}
PRONOUNS = (("she", "her"), ("he", "him"))
LIKED = ("praised", "loved", "admired", "enjoyed")
DISLIKED = ("mocked", "hated", "scorned", "regretted")
SENTENCES_A_CONCEPT, SENTENCES_A_WORK = 10, 10


@dataclass(frozen=True)
class Work:
    """A work of art and what everybody thinks of it."""

    form: str
    good: bool
    author: str
    village: str


def sentence(text: str) -> str:
    """A sentence of some words: a capital letter, a full stop."""
    return text[0].upper() + text[1:] + "."


def say(draw: Draw, concept: Concept, name: str, template: str | None = None) -> str:
    """One sentence on a concept that is called `name`."""
    subject, object_ = draw.pick(PRONOUNS)
    pattern = template if template is not None else draw.pick(SENTENCES[concept.kind])
    return sentence(pattern.format(*concept.company, S=subject, O=object_, X=name))


def review(draw: Draw, work: Work) -> str:
    """One sentence of a critic, by whom all say the same with other words."""
    words = PRAISE if work.good else BLAME
    one, two, three = draw.shuffled(words)[:3]
    aspect = draw.pick(ASPECTS)
    verb, who = draw.pick(LIKED if work.good else DISLIKED), draw.pick(PRONOUNS)[0]
    left, hall, face = ("asked for more", "full", "smile") if work.good else ("left early", "empty", "frown")
    return sentence(
        draw.pick(
            (
                f"{who} {verb} the {work.form} as {one}, {two} and {three}",
                f"{who} {verb} its {one} and {two} {aspect}",
                f"a {one}, {two} {work.form}, said {who} with a {face}",
                f"people {left} because its {aspect} was {one} and {two}",
                f"the hall was {hall}, the {aspect} was {one} and {two}",
                f"its {aspect} is {one}, {two} and {three}",
            )
        )
    )


@dataclass(frozen=True)
class Island:
    """The island as its encyclopedia has it; every page is a function of the lexicon and the seed."""

    lexicon: Lexicon
    seed: int

    def pages(self, works: int) -> list[Page]:
        """All pages, shuffled as pages of a real wiki are: by when they were begun."""
        draw = Draw(self.seed)
        pages = [
            *self._concepts(draw),
            *self._works(draw, works),
            *self._villages(draw),
            *self._redirects(),
            *_machinery(),
        ]
        return draw.shuffled(pages)

    def _concepts(self, draw: Draw) -> Iterator[Page]:
        for concept in self.lexicon.concepts:
            for title in concept.names:
                for village in self.lexicon.villages:
                    yield Page(f"{title.capitalize()} of {village}", self._concept(draw, concept, village))

    def _concept(self, draw: Draw, concept: Concept, village: str) -> str:
        name = draw.pick(concept.names)
        opening = OPENINGS[concept.kind].format(X=f"'''{name}'''", V=f"[[{village}]]")
        facts = [say(draw, concept, draw.pick(concept.names)) for _ in range(SENTENCES_A_CONCEPT)]
        facts = [_mark(draw, fact, concept) for fact in facts]
        half = len(facts) // 2
        return (
            f"{{{{Infobox {concept.kind}\n| name = {name.capitalize()}\n| village = [[{village}]]\n}}}}\n"
            f"{sentence(opening)}{_reference(draw, self.lexicon)} {' '.join(facts[:half])}\n\n"
            f"== In {village} ==\n[[File:{name.capitalize()}.jpg|thumb|right|A {name} in {village}]]\n"
            f"{' '.join(facts[half:])}\n\n"
            f"[[Category:{concept.kind.capitalize()}s of the island]]\n"
        )

    def _works(self, draw: Draw, count: int) -> Iterator[Page]:
        people, villages = self.lexicon.people, self.lexicon.villages
        for i in range(count):
            work = Work(WORKS[i % len(WORKS)], draw.chance(0.5), draw.pick(people), draw.pick(villages))
            said = [review(draw, work) for _ in range(SENTENCES_A_WORK)]
            half = len(said) // 2
            title = f"{work.form.capitalize()} {i + 1} of {work.author}"
            yield Page(
                title,
                f"<!-- the page of one work -->\n'''{title}''' was first heard in [[{work.village}]]."
                f"{_reference(draw, self.lexicon)} {' '.join(said[:half])}\n\n"
                f"== Reception ==\n{{{{Main|Works of {work.author}}}}}\n{' '.join(said[half:])}\n\n"
                f"== See also ==\n* [[{work.village}]]\n\n[[Category:Works]]\n",
            )

    def _villages(self, draw: Draw) -> Iterator[Page]:
        for i, village in enumerate(self.lexicon.villages):
            river = self.lexicon.rivers[i % len(self.lexicon.rivers)]
            rows = "".join(
                f"|-\n| {draw.pick(self.lexicon.people)} || {draw.pick(c.names)} || {1 + draw.below(40)}\n"
                for c in draw.shuffled(self.lexicon.concepts)[:8]
            )
            market = [say(draw, c, draw.pick(c.names)) for c in draw.shuffled(self.lexicon.concepts)[:6]]
            yield Page(
                village,
                f"'''{village}''' is a village on the river [[{river}]]. {' '.join(market)}\n\n"
                '{| class="wikitable sortable"\n|+ Market day\n! Seller !! Ware !! Price\n'
                f"{rows}|}}\n\n* [http://{village.lower()}.example Home page]\n[[Category:Villages]]\n",
            )

    def _redirects(self) -> Iterator[Page]:
        first = self.lexicon.villages[0]
        for concept in self.lexicon.concepts:
            for name in concept.names:
                target = f"{name.capitalize()} of {first}"
                yield Page(name.capitalize(), f"#REDIRECT [[{target}]]\n", redirect=target)
        for river in self.lexicon.rivers:
            yield Page(
                river,
                f"'''{river}''' may refer to:\n* [[{river} (river)]]\n* [[{river} (song)]]\n"
                "{{disambiguation}}\n",
            )


def _mark(draw: Draw, fact: str, concept: Concept) -> str:
    """Now and then a link on the concept, as wikis have it."""
    if draw.chance(0.8):
        return fact
    for name in concept.names:
        if f" {name}" in fact:
            return fact.replace(f" {name}", f" [[{name.capitalize()}|{name}]]", 1)
    return fact


def _reference(draw: Draw, lexicon: Lexicon) -> str:
    year, who = 200 + draw.below(150), draw.pick(lexicon.people)
    return f"<ref>{{{{cite book |last={who} |title=Chronicle of the year {year} |year={year}}}}}</ref>"


def _machinery() -> Iterator[Page]:
    """Pages of the other namespaces, which are no articles."""
    yield Page("Main Page", "{{Welcome}}\n__NOTOC__\nThis is the encyclopedia of the island.\n")
    yield Page("Template:Welcome", "<div>'''Welcome'''</div><noinclude>[[Category:Templates]]</noinclude>\n")
    for kind in KINDS:
        yield Page(f"Template:Infobox {kind}", '{| class="infobox"\n! {{{name}}}\n|-\n| {{{village}}}\n|}\n')
        yield Page(f"Category:{kind.capitalize()}s of the island", "[[Category:The island]]\n")
        yield Page(f"Talk:{kind.capitalize()}", "Which of the six names should the title be? ~~~~\n")
    yield Page("User:Scribe", "I write down what people say.\n")
    yield Page("Wikisle:Six names", "All names of a thing are welcome.\n")
    yield Page("Module:Names", "local p = {}\nreturn p\n", model="Scribunto")
