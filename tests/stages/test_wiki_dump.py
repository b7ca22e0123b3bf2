"""Finding pages in dumps."""

from __future__ import annotations

import bz2
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wiki_tools import HEAD, page

from stagedml.errors import DataError
from stagedml.stages.wiki.dump import (
    block_pages,
    parse_page,
    plan_blocks,
    read_site,
    stream_offsets,
    unescape,
)


def dump(count: int, size: int = 300) -> bytes:
    """A dump of `count` pages of different sizes."""
    pages = (page(i, "word " * (i * 37 % size)) for i in range(count))
    return (HEAD + "".join(pages) + "</mediawiki>\n").encode()


def titles(path: Path, block_bytes: int) -> list[str]:
    """The titles of all pages, block by block."""
    pages = [parse_page(raw) for block in plan_blocks(path, block_bytes) for raw in block_pages(block)]
    return [p.title if p else "?" for p in pages]


def test_a_page_is_parsed() -> None:
    """Title, ids, namespace, redirect and text are those of the page and not of its contributor."""
    raw = page(12, "&lt;b&gt; &amp;amp; &quot;x&quot; Ω", ns=4, redirect=True).strip().encode()
    got = parse_page(raw)
    assert got is not None
    assert (got.title, got.page_id, got.revision, got.ns, got.redirect) == ("Page 12", 12, 1012, 4, True)
    assert got.text == '<b> &amp; "x" Ω'
    assert got.whole


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"<page><title>A</title><id>1</id><text>cut her", "cut her"),
        (b"<page><title>A</title><id>1</id><text bytes='0' />", ""),
        (b"<page><title>A</title><id>1</id>", ""),
    ],
)
def test_an_unfinished_page_is_what_there_is(raw: bytes, text: str) -> None:
    """A page without its end has the text up to the cut."""
    got = parse_page(raw)
    assert got is not None
    assert (got.text, got.whole) == (text, False)


def test_a_page_without_title_is_none() -> None:
    """What cannot be named cannot be extracted."""
    assert parse_page(b"<page><id>1</id></page>") is None


def test_broken_bytes_are_replaced() -> None:
    """Bytes that are not UTF-8 become U+FFFD."""
    assert unescape(b"a\xff&lt;") == "a\ufffd<"


def test_the_head_names_wiki_and_namespaces(tmp_path: Path) -> None:
    """Language and local namespace names come from the dump itself."""
    path = tmp_path / "x.xml"
    path.write_bytes(dump(1))
    site = read_site(path)
    assert (site.dbname, site.lang, site.names(6)) == ("ruwiki", "ru", ("Файл",))


def test_an_empty_dump_is_an_error(tmp_path: Path) -> None:
    """An empty file is named."""
    path = tmp_path / "x.xml"
    path.touch()
    with pytest.raises(DataError, match="empty") as e:
        read_site(path)
    assert str(path) in e.value.where


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 25), st.integers(20, 4000))
def test_plain_xml_is_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, count: int, block: int) -> None:
    """However plain XML is cut into blocks, each page is found once and whole."""
    path = tmp_path_factory.mktemp("d") / "x.xml"
    path.write_bytes(dump(count))
    assert titles(path, block) == [f"Page {i}" for i in range(count)]


@pytest.mark.parametrize("block", [100, 3000, 1 << 20])
def test_one_bz2_stream(tmp_path: Path, block: int) -> None:
    """A single stream is cut between pages."""
    path = tmp_path / "x.xml.bz2"
    path.write_bytes(bz2.compress(dump(40)))
    assert titles(path, block) == [f"Page {i}" for i in range(40)]


@pytest.mark.parametrize("chunk", [137, 1000, 5003])
@pytest.mark.parametrize("block", [1, 700, 1 << 20])
def test_many_bz2_streams(tmp_path: Path, chunk: int, block: int) -> None:
    """Streams are worked on apart, wherever their borders fall: between pages, within one, within a tag."""
    data = dump(40)
    path = tmp_path / "x.xml.bz2"
    path.write_bytes(b"".join(bz2.compress(data[i : i + chunk]) for i in range(0, len(data), chunk)))
    assert len(stream_offsets(path)) == -(-len(data) // chunk)
    assert titles(path, block) == [f"Page {i}" for i in range(40)]


@pytest.mark.parametrize("cut", [0.3, 0.55, 0.9])
def test_cut_dumps_give_what_is_there(tmp_path: Path, cut: float) -> None:
    """Dumps that end early, plain or compressed, give the pages before the cut and the start of one."""
    data = dump(3000)
    plain, single, multi = (tmp_path / n for n in ("x.xml", "y.xml.bz2", "z.xml.bz2"))
    plain.write_bytes(data[: int(len(data) * cut)])
    assert titles(plain, 1 << 20) == [f"Page {i}" for i in range(len(titles(plain, 1 << 20)))]
    *_, last = block_pages(next(iter(plan_blocks(plain, 1 << 30))))
    unfinished = parse_page(last)
    assert unfinished is None or not unfinished.whole
    for path, streams in (
        (single, [data]),
        (multi, [data[i : i + 99_999] for i in range(0, len(data), 99_999)]),
    ):
        whole = b"".join(map(bz2.compress, streams))
        path.write_bytes(whole[: int(len(whole) * cut)])
        found = titles(path, 200_000)
        if found and found[-1] == "?":  # the cut is before its title
            found.pop()
        assert found == [f"Page {i}" for i in range(len(found))]
        assert len(found) <= 3000 * cut + 500
    assert titles(multi, 200_000)


def test_damaged_bz2_is_an_error(tmp_path: Path) -> None:
    """Compressed data that is damaged in the middle is named; it is not taken for a cut."""
    path = tmp_path / "x.xml.bz2"
    data = bytearray(bz2.compress(dump(3000)))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match="not bz2") as e:
        titles(path, 1 << 20)
    assert str(path) in e.value.where


def test_the_real_dumps(real_data: Path) -> None:
    """The pages of the real fragments are all found, by the counts of their README."""
    folder = real_data / "wikipedia"
    counts = {"enwiki-l*.bz2": 206, "enwiki-t*.bz2": 5, "smallwiki*.xml": 2004, "dbpedia*.bz2": 1}
    for pattern, count in counts.items():
        (path,) = folder.glob(pattern)
        assert len(titles(path, 1 << 19)) == count
