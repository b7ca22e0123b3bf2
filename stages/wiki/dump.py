"""Reading MediaWiki dumps: XML, plain or bz2, single-stream or multistream, whole or cut.

Pages are found by searching bytes, not by parsing XML: the export format puts `<page>` and `</page>` on lines
of their own and escapes every `<` in a text, so the search is exact, five times faster than an XML parser,
and a dump that ends in the middle of a page is no error but one unfinished page.

A file is cut into blocks that can be worked on independently. A block owns the pages that begin in it, and
reads past its end to finish the last one. Plain XML is cut anywhere; bz2 between its streams, whose headers
are found by searching the file, so a multistream dump needs no index; a single stream is decompressed by
whoever plans, in order, and its blocks carry their text.
"""

from __future__ import annotations

import bz2
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stagedml.errors import DataError

BZ2_MAGIC = b"1AY&SY"  # begins each block of bz2, so a stream is BZh<1-9> and this
STREAM = re.compile(rb"BZh[1-9]1AY&SY|BZh[1-9]\x17\x72\x45\x38\x50\x90")  # the second is an empty stream
READ = 1 << 20
PAGE, PAGE_END = b"<page>", b"</page>"

_TITLE = re.compile(rb"<title>([^<]*)</title>")
_NS = re.compile(rb"<ns>(-?\d+)</ns>")
_ID = re.compile(rb"<id>(\d+)</id>")
_REVISION = re.compile(rb"<revision>\s*<id>(\d+)</id>")
_REDIRECT = re.compile(rb"<redirect\b")
_MODEL = re.compile(rb"<model>([^<]*)</model>")
_TEXT = re.compile(rb"<text\b[^>]*?(?:/>|>([^<]*)(</text>)?)")


@dataclass(frozen=True)
class Page:
    """One page of a dump, its text with the XML escapes undone (and its wiki markup as it is)."""

    title: str
    ns: int
    page_id: int
    revision: int
    redirect: bool
    model: str
    text: str
    whole: bool = True


@dataclass(frozen=True)
class Site:
    """What the head of a dump says of its wiki."""

    dbname: str = ""
    base: str = ""
    lang: str = ""
    namespaces: tuple[tuple[int, str], ...] = ()

    def names(self, ns: int) -> tuple[str, ...]:
        """The names of a namespace on this wiki."""
        return tuple(name for key, name in self.namespaces if key == ns)


@dataclass(frozen=True)
class Block:
    """A piece of a dump: the pages that begin in bytes [start, end) of the file, or in `data`.

    `read` is how many bytes of the file it stands for: those of all blocks add up to the file's size.
    """

    path: Path
    start: int
    end: int
    read: int
    data: bytes | None = None


def unescape(text: bytes) -> str:
    """UTF-8 text with the five XML escapes undone; broken bytes become U+FFFD."""
    out = text.decode("utf-8", "replace")
    if "&" in out:
        out = out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&#039;", "'")
        out = out.replace("&apos;", "'").replace("&amp;", "&")
    return out


def parse_page(raw: bytes) -> Page | None:
    """The page in `raw` (from `<page>` on), or None when it has no title or no id."""
    title, page_id = _TITLE.search(raw), _ID.search(raw)
    if title is None or page_id is None:
        return None
    ns, revision, model, text = (p.search(raw) for p in (_NS, _REVISION, _MODEL, _TEXT))
    body = text.group(1) if text is not None else None
    head = raw[: text.start()] if text is not None else raw
    return Page(
        title=unescape(title.group(1)),
        ns=int(ns.group(1)) if ns else 0,
        page_id=int(page_id.group(1)),
        revision=int(revision.group(1)) if revision else 0,
        redirect=_REDIRECT.search(head) is not None,
        model=model.group(1).decode() if model else "wikitext",
        text=unescape(body) if body else "",
        whole=raw.endswith(PAGE_END),
    )


def parse_site(head: bytes) -> Site:
    """The wiki's name, language and namespaces from the first bytes of a dump; empty when it has none."""

    def first(pattern: bytes) -> str:
        found = re.search(pattern, head)
        return unescape(found.group(1)) if found else ""

    spaces = re.findall(rb'<namespace key="(-?\d+)"[^>]*?(?:/>|>([^<]*)</namespace>)', head)
    return Site(
        dbname=first(rb"<dbname>([^<]*)</dbname>"),
        base=first(rb"<base>([^<]*)</base>"),
        lang=first(rb'<mediawiki\b[^>]*\bxml:lang="([^"]*)"'),
        namespaces=tuple((int(k), unescape(v)) for k, v in spaces),
    )


class _Cut(Exception):
    """The compressed data ends early."""


def _bz2_chunks(path: Path, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Decompressed pieces from the stream at `start` on: where their stream begins, how far was read, data.

    Raises `_Cut` where the file ends within a stream, `DataError` where the data is not bz2.
    """
    with path.open("rb") as f:
        f.seek(start)
        stream, at, left = start, start, b""
        decoder = bz2.BZ2Decompressor()
        fresh = True
        while True:
            data = left or f.read(READ)
            at += 0 if left else len(data)
            left = b""
            if not data:
                break
            if fresh and not data.strip(b"\0"):
                break  # padding after the last stream
            try:
                out = decoder.decompress(data)
            except OSError as e:
                raise DataError(
                    f"not bz2 data near byte {at}: {e}", where=str(path), hint="fetch the dump again"
                ) from e
            fresh = False
            if out:
                yield stream, at, out
            if decoder.eof:
                left = decoder.unused_data
                stream = at - len(left)
                decoder, fresh = bz2.BZ2Decompressor(), True
        if not fresh:
            raise _Cut(str(path))


def is_bz2(path: Path) -> bool:
    """Whether a file starts as bz2 does."""
    with path.open("rb") as f:
        return f.read(3) == b"BZh"


def stream_offsets(path: Path) -> list[int]:
    """Where the bz2 streams of a file begin, by their 80-bit header."""
    if path.stat().st_size == 0:
        return []
    with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return [m.start() for m in STREAM.finditer(data)]


def read_site(path: Path) -> Site:
    """The head of a dump. Raises `DataError` for an empty file."""
    head = b""
    for _, data in _open(path, 0):
        head += data
        if b"</siteinfo>" in head or b"<page>" in head or len(head) > 1 << 22:
            break
    if not head:
        raise DataError("the dump is empty", where=str(path), hint="fetch it again")
    return parse_site(head.split(PAGE, 1)[0])


def _open(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """Pieces of XML from `start` on; a cut bz2 just ends (its last page will be unfinished)."""
    if is_bz2(path):
        try:
            for stream, _, data in _bz2_chunks(path, start):
                yield stream, data
        except _Cut:
            return
    else:
        with path.open("rb") as f:
            f.seek(start)
            while data := f.read(READ):
                yield start, data
                start += len(data)


def plan_blocks(path: Path, block_bytes: int, *, ratio: int = 4) -> Iterator[Block]:
    """Cuts a dump into blocks of about `block_bytes` of XML (`ratio` times the bz2 bytes)."""
    size = path.stat().st_size
    if not is_bz2(path):
        for at in range(0, size, block_bytes):
            end = min(at + block_bytes, size)
            yield Block(path, at, end, end - at)
        return
    offsets = stream_offsets(path)
    if len(offsets) < 3:
        yield from _stream_blocks(path, block_bytes)
        return
    start = offsets[0]
    for at in [*offsets[1:], size]:
        if at == size or (at - start) * ratio >= block_bytes:
            yield Block(path, start, at, at - start)
            start = at


def _reached(path: Path) -> Iterator[tuple[int, bytes]]:
    """Pieces of XML of a bz2 file, each with how far the file was read for it; a cut one just ends."""
    try:
        for _, at, data in _bz2_chunks(path, 0):
            yield at, data
    except _Cut:
        return


def _stream_blocks(path: Path, block_bytes: int) -> Iterator[Block]:
    """Decompresses one stream, and cuts it after the page that reaches each `block_bytes`."""
    parts: list[bytes] = []
    size = start = told = 0
    for position, data in _reached(path):
        parts.append(data)
        size += len(data)
        if size < block_bytes:
            continue
        joined, at = b"".join(parts), 0
        while (cut := joined.find(PAGE_END, at + block_bytes - len(PAGE_END))) >= 0:
            cut += len(PAGE_END)
            yield Block(path, start, start + cut - at, position - told, joined[at:cut])
            start, at, told = start + cut - at, cut, position
        parts, size = [joined[at:]], len(joined) - at
    if size:
        yield Block(path, start, start + size, path.stat().st_size - told, b"".join(parts))


def block_pages(block: Block) -> Iterator[bytes]:
    """The raw pages that begin in a block; the last may lack its end when the dump does."""
    if block.data is not None:
        return _split(iter([(block.data, len(block.data))]))
    whole = is_bz2(block.path)  # a stream is owned as a whole, plain XML by the byte

    def pieces() -> Iterator[tuple[bytes, int]]:
        for at, data in _open(block.path, block.start):
            yield data, max(0, min(block.end - at, len(data))) if not whole or at >= block.end else len(data)

    return _split(pieces())


def _split(pieces: Iterator[tuple[bytes, int]]) -> Iterator[bytes]:
    """Raw pages out of pieces of XML; only those that begin in the first n bytes of a piece (data, n)."""
    buffer, ours, last = b"", 0, False
    for data, owned in pieces:
        if not last:
            ours, last = len(buffer) + owned, owned < len(data)
        buffer += data
        begin = 0
        while True:
            start = buffer.find(PAGE, begin)
            if start < 0:  # the tag itself may be cut in two
                begin = max(begin, len(buffer) - len(PAGE) + 1)
                break
            if start >= ours:
                return
            end = buffer.find(PAGE_END, start)
            if end < 0:
                begin = start
                break
            begin = end + len(PAGE_END)
            yield buffer[start:begin]
        if last and begin >= ours:
            return
        buffer, ours = buffer[begin:], ours - begin
    start = buffer.find(PAGE)
    if 0 <= start < ours:
        yield buffer[start:]
