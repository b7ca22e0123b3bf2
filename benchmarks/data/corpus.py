"""The text that is measured on: a real dump fragment, repeated until it is large enough."""

from __future__ import annotations

import bz2
import json
import os
from pathlib import Path

from stagedml.stages.text.sentences import split_sentences
from stagedml.stages.text.shards import shard_name, write_shard
from stagedml.stages.wiki.dump import block_pages, parse_page, plan_blocks
from stagedml.stages.wiki.extract import Counts, Extraction, articles, read_site

FRAGMENT = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
STREAM_PAGES = 50  # of a multistream dump


def data_folder() -> Path:
    """The folder of real data. Raises `SystemExit` when it is not there."""
    folder = Path(os.environ.get("STAGEDML_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not (folder / "wikipedia" / FRAGMENT).exists():
        raise SystemExit(f"no dump fragment in {folder}; set STAGEDML_DATA")
    return folder


def make_dumps(folder: Path, copies: int) -> dict[str, float]:
    """Writes single.xml.bz2 and multi.xml.bz2; returns megabytes of XML and articles."""
    source = data_folder() / "wikipedia" / FRAGMENT
    whole = bz2.decompress(source.read_bytes())
    head = whole[: whole.index(b"<page>")]
    (block,) = plan_blocks(source, 1 << 30)
    raw = list(block_pages(block))
    real = sum(1 for p in map(parse_page, raw) if p and p.ns == 0 and not p.redirect)
    pages = [b"  " + page + b"\n" for page in raw] * copies
    end = b"</mediawiki>\n"
    (folder / "single.xml.bz2").write_bytes(bz2.compress(head + b"".join(pages) + end))
    runs = [b"".join(pages[i : i + STREAM_PAGES]) for i in range(0, len(pages), STREAM_PAGES)]
    (folder / "multi.xml.bz2").write_bytes(b"".join(map(bz2.compress, [head, *runs, end])))
    return {"mb": (len(head) + sum(map(len, pages)) + len(end)) / 1e6, "articles": real * copies}


def make_text(folder: Path, megabytes: float) -> dict[str, float]:
    """Writes the same documents as text.txt (a sentence a line) and as a shard; returns their size.

    Prose of the fragment first, then film reviews, so that no sentence is repeated to make the table of known
    words look good.
    """
    source = data_folder() / "wikipedia" / FRAGMENT
    site = read_site(source)
    how = Extraction()
    texts = [a["text"] for b in plan_blocks(source, 1 << 30) for a in articles(b, site, how, Counts())]
    texts += _reviews(int(megabytes * 1e6) - sum(map(len, texts)))
    kept, size = [], 0
    for text in texts:
        if size < megabytes * 1e6:
            kept.append(text)
            size += len(text.encode())
    (folder / "articles").mkdir()
    write_shard(folder / "articles" / shard_name("articles", 0), [{"text": t} for t in kept])
    documents = ["\n".join(split_sentences(t)) for t in kept]
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return {"mb": size / 1e6, "documents": len(kept)}


def _reviews(size: int) -> list[str]:
    import tarfile

    texts: list[str] = []
    with tarfile.open(data_folder() / "imdb" / "aclImdb_v1-labelled.tar.xz") as tar:
        for member in tar:
            if size <= 0:
                break
            file = tar.extractfile(member) if member.name.endswith(".txt") else None
            if file is not None:
                texts.append(file.read().decode("utf-8").replace("<br />", "\n"))
                size -= len(texts[-1])
    return texts


def quality(texts: list[str]) -> dict[str, float]:
    """Words, and characters of left-over markup for each 100,000 characters of text."""
    import re

    marks = re.compile(
        r"\[\[|\]\]|\{\{|\}\}|\{\||\|\}|'''|''|</?(?:ref|br|span|div|small|sub|sup|math|i|b|gallery|nowiki)\b[^>]*>"
        r"|&(?:lt|gt|amp|nbsp|quot|ndash|mdash);|__[A-Z]{3,}__|^\s*[|!].*$|\b(?:thumb|frame)\||^=+.*=+$"
        r"|\(\s*[,;]*\s*\)|\[https?:\S*|<!--",
        re.M,
    )
    chars = sum(map(len, texts))
    left = sum(len(m.group()) for t in texts for m in marks.finditer(t))
    return {"words": sum(len(t.split()) for t in texts), "left": 1e5 * left / max(chars, 1)}


def read_json_lines(path: Path) -> list[dict[str, object]]:
    """The lines of a file of JSON."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_segments(path: Path) -> list[str]:
    """The texts of a file that segment_wiki wrote."""
    texts = []
    for article in read_json_lines(path):
        sections = article["section_texts"]
        assert isinstance(sections, list)
        texts.append("\n".join(map(str, sections)))
    return texts
