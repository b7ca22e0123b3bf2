"""Two made-up Wikipedias, as dumps: what `SCALE=toy` pre-trains on.

The English one is about the people and things of `stagedml.stages.glue.toy`, so that its words are
those of the made-up tasks. Every article keeps to one person, one place and one view of things: the
words around a masked one tell it, and two halves of an article belong together.
"""

from __future__ import annotations

import bz2
import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from stagedml.stages.glue import toy

HOST = "https://toy.stagedml.example"
DATE = "20200301"
PAGES_PER_STREAM = 50
SIZES = {"enwiki": 600, "ruwiki": 150}
WHEN = {"en": ("in spring", "last year", "before noon"), "ru": ("весной", "в прошлом году", "до полудня")}
RU_WHO = ("пекарь", "моряк", "учитель", "старый художник", "сосед", "молодой врач")
RU_DID = {"продал": "купил", "открыл": "закрыл", "похвалил": "поругал", "нашёл": "потерял"}
RU_WHAT = ("лодку", "синий дом", "честную книгу", "железные ворота", "песню")
RU_WHERE = ("в порту", "у вокзала", "на холме", "за школой", "на рынке")

HEADER = """\
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="{language}">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <dbname>{wiki}</dbname>
    <base>https://{language}.wikipedia.org/wiki/</base>
    <namespaces><namespace key="0" case="first-letter" /></namespaces>
  </siteinfo>
"""


def write_corpus(folder: Path) -> dict[str, str]:
    """Writes the dumps into `folder`, as below `HOST`; returns the SHA-1 of each."""
    digests = {}
    for wiki, pages in SIZES.items():
        path = folder / wiki / DATE / f"{wiki}-{DATE}-pages-articles.xml.bz2"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = b"".join(_streams(wiki, pages))
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
        digests[wiki] = hashlib.sha1(data).hexdigest()
    return digests


def _streams(wiki: str, pages: int) -> Iterator[bytes]:
    """A multistream dump: the header, groups of pages and the end are bz2 streams of their own."""
    language = wiki[:2]
    rng = random.Random(wiki)
    sentence = _english if language == "en" else _russian
    yield bz2.compress(HEADER.format(language=language, wiki=wiki).encode())
    for first in range(0, pages, PAGES_PER_STREAM):
        group = [_page(i, rng, sentence) for i in range(first, min(first + PAGES_PER_STREAM, pages))]
        yield bz2.compress("".join(group).encode())
    yield bz2.compress(b"</mediawiki>\n")


def _page(number: int, rng: random.Random, sentence: Callable[[random.Random], Iterator[str]]) -> str:
    sentences = sentence(rng)
    paragraphs = [
        " ".join(next(sentences) for _ in range(rng.randint(3, 6))) for _ in range(rng.randint(2, 4))
    ]
    title = f"Topic {number}"
    text = f"'''{title}''' {{{{stub}}}}\n\n" + "\n\n== More ==\n\n".join(paragraphs) + "\n\n[[Category:Toy]]"
    return (
        f"  <page>\n    <title>{title}</title>\n    <ns>0</ns>\n    <id>{number + 1}</id>\n    <revision>\n"
        f"      <id>{number + 1000}</id>\n      <timestamp>2020-03-01T00:00:00Z</timestamp>\n"
        f'      <text xml:space="preserve">{escape(text)}</text>\n    </revision>\n  </page>\n'
    )


def _english(rng: random.Random) -> Iterator[str]:
    """Sentences of one article."""
    who, place, kind = rng.choice(toy.PEOPLE), rng.choice(toy.PLACES), rng.random() < 0.5
    verbs, words = list(toy.VERBS if kind else toy.VERBS.values()), toy.GOOD if kind else toy.BAD
    while True:
        if rng.random() < 0.7:
            end = f"[[{place}]]" if rng.random() < 0.2 else place
            yield f"{who.capitalize()} {rng.choice(verbs)} {rng.choice(toy.THINGS)} {end}."
        else:
            film, (a, b) = rng.choice(toy.FILMS), rng.sample(words, 2)
            yield f"{film.capitalize()} is {a} and {b}, said {who} {rng.choice(WHEN['en'])}."


def _russian(rng: random.Random) -> Iterator[str]:
    who, place, kind = rng.choice(RU_WHO), rng.choice(RU_WHERE), rng.random() < 0.5
    verbs = list(RU_DID if kind else RU_DID.values())
    while True:
        when = rng.choice(WHEN["ru"])
        yield f"{when.capitalize()} {who} {place} {rng.choice(verbs)} {rng.choice(RU_WHAT)}."
