"""From a dump to sharded prose: blocks of the dump are worked on in parallel, one shard each.

A block that is done leaves its shard and its counts in the scratch folder, whole; a run that was killed goes
on with the blocks that are missing, and the result is the same, as is that of any number of workers.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stagedml.errors import DataError
from stagedml.progress import Progress
from stagedml.stages.text.parallel import Workers
from stagedml.stages.text.shards import SUFFIX, read_texts, shard_name, shard_paths, write_shard, write_whole
from stagedml.stages.wiki.dump import Block, Site, block_pages, parse_page, plan_blocks, read_site
from stagedml.stages.wiki.markup import Cleaner, Options

STEM = "articles"
BLOCK_BYTES = 1 << 25  # of XML
DISAMBIGUATION = re.compile(  # case is ignored within the group only, so that "{{" is found at full speed
    r"\{\{\s*(?i:disambig\w*|dab|hndis|geodis|surname|given name|неоднозначность|многозначность|"
    r"aimai|曖昧さ回避|消歧義|消歧义|disambigua|homonymie|begriffsklärung|desambiguação|desambiguación)\s*[|}]"
)
SWITCH = "__DISAMBIG__"


@dataclass(frozen=True)
class Extraction:
    """What is kept of a dump."""

    headings: bool = False
    lists: bool = False
    templates: bool = True
    disambiguation: bool = False
    min_chars: int = 1
    block_bytes: int = BLOCK_BYTES


@dataclass
class Counts:
    """What a block, or a whole dump, held: articles and their size, and the other pages by reason."""

    articles: int = 0
    words: int = 0
    chars: int = 0
    utf8_bytes: int = 0
    xml_bytes: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)  # "title (id): reason", of pages that could not be read

    def skip(self, reason: str) -> None:
        """Counts a page that is not extracted."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def add(self, other: Counts) -> None:
        """Adds the counts of another block."""
        for name in ("articles", "words", "chars", "utf8_bytes", "xml_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.skipped = dict(sorted((Counter(self.skipped) + Counter(other.skipped)).items()))
        self.failed += other.failed


@dataclass(frozen=True)
class _Task:
    index: int
    block: Block
    site: Site
    how: Extraction
    out: Path


def make_cleaner(site: Site, how: Extraction) -> Cleaner:
    """The cleaner for a wiki."""
    return Cleaner(
        options=Options(headings=how.headings, lists=how.lists, templates=how.templates),
        file_names=site.names(6) + site.names(-2),
        category_names=site.names(14),
        other_names=[name for key, name in site.namespaces if key not in (0, 6, -2, 14)],
        lang=site.lang or "en",
    )


def articles(block: Block, site: Site, how: Extraction, counts: Counts) -> Iterator[dict[str, Any]]:
    """The articles of a block as records of id, revid, url, title and text; all else is counted."""
    cleaner = make_cleaner(site, how)
    root = site.base.rsplit("/wiki/", 1)[0] if "/wiki/" in site.base else ""
    for raw in block_pages(block):
        page = parse_page(raw)
        counts.xml_bytes += len(raw)
        if page is None:
            counts.skip("broken")
            counts.failed.append(f"page without title or id: {raw[:60]!r}")
            continue
        if page.ns != 0:
            counts.skip("namespace")
            continue
        if page.redirect:
            counts.skip("redirect")
            continue
        if page.model not in ("wikitext", ""):
            counts.skip("model")
            continue
        if not page.whole:  # the dump is cut here; the text up to the cut is as good as any
            counts.failed.append(f"{page.title} ({page.page_id}): the dump ends within this page")
        if not how.disambiguation and (SWITCH in page.text or DISAMBIGUATION.search(page.text)):
            counts.skip("disambiguation")
            continue
        try:
            text = cleaner.clean(page.text, page.title)
        except Exception as e:  # noqa: BLE001 - one page must not fail a dump; it is counted and named
            counts.skip("broken")
            counts.failed.append(f"{page.title} ({page.page_id}): {type(e).__name__}: {e}")
            continue
        if len(text) < how.min_chars:
            counts.skip("empty")
            continue
        counts.articles += 1
        counts.words += len(text.split())
        counts.chars += len(text)
        counts.utf8_bytes += len(text.encode("utf-8", "replace"))
        yield {
            "id": str(page.page_id),
            "revid": str(page.revision),
            "url": f"{root}/wiki?curid={page.page_id}",
            "title": page.title,
            "text": text,
        }


def _extract_block(task: _Task) -> Counts:
    counts = Counts()
    records = list(articles(task.block, task.site, task.how, counts))
    if records:
        write_shard(task.out / shard_name(STEM, task.index), records)
    write_whole(_done(task.out, task.index), json.dumps(asdict(counts), ensure_ascii=False).encode())
    return counts


def _done(folder: Path, index: int) -> Path:
    return folder / f"counts-{index:06d}.json"


def extract(
    dumps: list[Path],
    out: Path,
    *,
    how: Extraction = Extraction(),
    workers: int = 1,
    progress: Progress | None = None,
) -> tuple[Counts, int]:
    """Writes shards of articles to `out`; a second call goes on where a killed one stopped.

    Returns the counts, and how many blocks were found done. Progress is in bytes of the dumps. Raises
    `DataError` for dumps that hold no article, and for damaged compressed data.
    """
    progress = progress or Progress()
    total, reused = Counts(), 0
    site = read_site(dumps[0])

    def tasks() -> Iterator[_Task]:
        nonlocal reused
        index = 0
        for dump in dumps:
            for block in plan_blocks(dump, how.block_bytes):
                done = _done(out, index)
                if done.exists():
                    reused += 1
                    progress.update(block.read)
                    found[index] = Counts(**json.loads(done.read_text(encoding="utf-8")))
                else:
                    pending.append((index, block.read))
                    yield _Task(index, block, site, how, out)
                index += 1

    found: dict[int, Counts] = {}
    pending: list[tuple[int, int]] = []
    with Workers(workers) as pool:
        for position, counts in enumerate(pool.map(_extract_block, tasks())):
            index, read = pending[position]
            found[index] = counts
            for line in counts.failed:
                print(line)
            progress.update(read)
            progress.note(articles=sum(c.articles for c in found.values()))
    for index in sorted(found):
        total.add(found[index])
    if not total.articles:
        raise DataError(
            "no article in the dump",
            where=", ".join(map(str, dumps)),
            hint=f"pages skipped: {total.skipped or 'none'}; is this a pages-articles dump?",
        )
    return total, reused


def dump_files(source: Path) -> list[Path]:
    """The parts of a dump, in order: a file is its only part, of a folder those that hold pages."""
    if source.is_file():
        return [source]
    files = [p for p in source.rglob("*") if p.is_file() and re.search(r"\.xml(?:$|[.-])|\.bz2$", p.name)]
    files = [p for p in files if not re.search(r"index\d*\.txt|sums\.txt", p.name)]
    if not files:
        raise DataError("no dump file (*.xml, *.bz2)", where=str(source), hint="see `fetchwiki`")
    return sorted(files, key=lambda p: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", p.name)])


def publish(scratch: Path, articles: Path) -> None:
    """Moves the shards to where they are wanted; an interrupted run may have moved some already."""
    articles.mkdir(exist_ok=True)
    for path in sorted(scratch.glob(f"{STEM}-*{SUFFIX}")):
        shutil.move(path, articles / path.name)


def _measure_shard(path: Path) -> tuple[int, int, int, int]:
    documents = words = chars = size = 0
    for text in read_texts(path):
        documents += 1
        words += len(text.split())
        chars += len(text)
        size += len(text.encode("utf-8", "replace"))
    return documents, words, chars, size


def measure(folder: Path, *, workers: int = 1) -> dict[str, Any]:
    """How much text a folder of shards holds: documents, words (by white space), chars, bytes."""
    names = ("num_documents", "num_words", "num_chars", "num_bytes")
    with Workers(workers) as pool:
        rows = list(pool.map(_measure_shard, shard_paths(folder)))
    return {name: sum(row[i] for row in rows) for i, name in enumerate(names)}
