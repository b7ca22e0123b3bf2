"""Two made-up Wikipedias, as dumps: what `SCALE=toy` pre-trains on.

The English one is the encyclopedia of `stagedml.stages.text.synthetic`, whose words are those of the made-up
tasks. The Russian one is there for its letters: every article keeps to one person and one place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from stagedml.stages.text.synthetic import Scale
from stagedml.stages.text.synthetic.dump import Page, write_dump
from stagedml.stages.text.synthetic.words import Draw, make_lexicon
from stagedml.stages.text.synthetic.world import Island

HOST = "https://toy.stagedml.example"
DATE = "20200301"
WORKS, VILLAGES, RUSSIAN = 200, 4, 150  # about 800 articles, and the Russian ones
WHEN = ("весной", "в прошлом году", "до полудня")
WHO = ("пекарь", "моряк", "учитель", "старый художник", "сосед", "молодой врач")
DID = ("продал", "открыл", "похвалил", "нашёл", "купил", "закрыл", "поругал", "потерял")
WHAT = ("лодку", "синий дом", "честную книгу", "железные ворота", "песню")
WHERE = ("в порту", "у вокзала", "на холме", "за школой", "на рынке")


def write_corpus(folder: Path) -> dict[str, str]:
    """Writes the dumps into `folder`, as below `HOST`; returns the SHA-1 of each."""
    island = Island(make_lexicon(Scale.seed, villages=VILLAGES), Scale.seed + 1)
    digests = {}
    for wiki, pages in (("enwiki", island.pages(WORKS)), ("ruwiki", list(_russian(RUSSIAN)))):
        here = folder / wiki / DATE
        written, *_ = write_dump(here, pages, dbname=wiki, date=DATE, sitename="Wikipedia")
        dump = written.replace(here / f"{wiki}-{DATE}-pages-articles.xml.bz2")
        digests[wiki] = hashlib.sha1(dump.read_bytes()).hexdigest()
    return digests


def _russian(count: int) -> Iterator[Page]:
    draw = Draw(Scale.seed)
    for number in range(count):
        who, where = draw.pick(WHO), draw.pick(WHERE)
        said = [
            f"{draw.pick(WHEN).capitalize()} {who} {where} {draw.pick(DID)} {draw.pick(WHAT)}."
            for _ in range(12)
        ]
        title = f"Статья {number + 1}"
        parts = " ".join(said[:6]), " ".join(said[6:])
        yield Page(title, f"'''{title}''' {{{{stub}}}}\n\n" + "\n\n== Ещё ==\n\n".join(parts) + "\n")
