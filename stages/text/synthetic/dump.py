"""Writing pages as Wikipedia publishes them: export XML 0.11 in a multistream bz2 file, with its index.

A multistream dump is many bz2 streams one after the other: one for the site's description, one for each
hundred pages, one for the closing tag. The index (`offset:page id:title` a line) says where the stream of a
page begins. Reference: https://www.mediawiki.org/xml/export-0.11.xsd and the dumps of Wikimedia.
"""

from __future__ import annotations

import bz2
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

SCHEMA = "http://www.mediawiki.org/xml/export-0.11/"
PAGES_A_STREAM = 100
NAMESPACES = {
    -2: "Media",
    -1: "Special",
    0: "",
    1: "Talk",
    2: "User",
    3: "User talk",
    4: "Wikisle",
    5: "Wikisle talk",
    6: "File",
    7: "File talk",
    8: "MediaWiki",
    9: "MediaWiki talk",
    10: "Template",
    11: "Template talk",
    12: "Help",
    13: "Help talk",
    14: "Category",
    15: "Category talk",
    828: "Module",
    829: "Module talk",
}


@dataclass(frozen=True)
class Page:
    """One page: its full title (with the namespace before a colon), its wikitext, where it redirects to."""

    title: str
    text: str
    redirect: str = ""
    model: str = "wikitext"

    @property
    def namespace(self) -> int:
        """The number of the namespace that the title names."""
        prefix = self.title.partition(":")[0] if ":" in self.title else ""
        return next((key for key, name in NAMESPACES.items() if name and name == prefix), 0)


def site_info(sitename: str, dbname: str) -> str:
    """The head of a dump, up to its first page."""
    names = "".join(
        f'      <namespace key="{key}" case="first-letter"{f">{name}</namespace>" if name else " />"}\n'
        for key, name in NAMESPACES.items()
    )
    return (
        f'<mediawiki xmlns="{SCHEMA}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xsi:schemaLocation="{SCHEMA} http://www.mediawiki.org/xml/export-0.11.xsd"'
        ' version="0.11" xml:lang="en">\n'
        "  <siteinfo>\n"
        f"    <sitename>{sitename}</sitename>\n    <dbname>{dbname}</dbname>\n"
        f"    <base>https://{dbname}.example/wiki/Main_Page</base>\n"
        "    <generator>MediaWiki 1.43.0</generator>\n    <case>first-letter</case>\n"
        f"    <namespaces>\n{names}    </namespaces>\n"
        "  </siteinfo>\n"
    )


def page_xml(page: Page, page_id: int) -> str:
    """One `<page>`; revision ids and times are functions of the page id."""
    data = page.text.encode()
    digest = base36(int.from_bytes(hashlib.sha1(data).digest(), "big")).zfill(31)
    redirect = f"    <redirect title={quoteattr(page.redirect)} />\n" if page.redirect else ""
    time = f"2026-01-{1 + page_id % 28:02}T{page_id % 24:02}:{page_id % 60:02}:00Z"
    media = "text/x-wiki" if page.model == "wikitext" else "text/plain"
    return (
        f"  <page>\n    <title>{escape(page.title)}</title>\n    <ns>{page.namespace}</ns>\n"
        f"    <id>{page_id}</id>\n{redirect}"
        f"    <revision>\n      <id>{100_000 + 7 * page_id}</id>\n"
        f"      <parentid>{100_000 + 7 * page_id - 3}</parentid>\n"
        f"      <timestamp>{time}</timestamp>\n"
        "      <contributor>\n        <username>Scribe</username>\n        <id>1</id>\n      </contributor>\n"
        f"      <model>{page.model}</model>\n      <format>{media}</format>\n"
        f'      <text bytes="{len(data)}" sha1="{digest}" xml:space="preserve">{escape(page.text)}</text>\n'
        f"      <sha1>{digest}</sha1>\n    </revision>\n  </page>\n"
    )


def base36(number: int) -> str:
    """A number in MediaWiki's notation of hashes."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    out = ""
    while number:
        number, rest = divmod(number, 36)
        out = digits[rest] + out
    return out or "0"


def write_dump(folder: Path, pages: Sequence[Page], *, dbname: str, date: str, sitename: str) -> list[Path]:
    """Writes the multistream dump of `pages`, its index and its sums file, and returns their paths.

    The bytes depend on the arguments only.
    """
    stem = f"{dbname}-{date}-pages-articles-multistream"
    dump, index = folder / f"{stem}.xml.bz2", folder / f"{stem}-index.txt.bz2"
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with dump.open("wb") as out:
        out.write(bz2.compress(site_info(sitename, dbname).encode()))
        for start in range(0, len(pages), PAGES_A_STREAM):
            offset = out.tell()
            numbered = list(enumerate(pages[start : start + PAGES_A_STREAM], start + 1))
            out.write(bz2.compress("".join(page_xml(page, i) for i, page in numbered).encode()))
            lines += [f"{offset}:{i}:{escape(page.title)}\n" for i, page in numbered]
        out.write(bz2.compress(b"</mediawiki>\n"))
    index.write_bytes(bz2.compress("".join(lines).encode()))
    sums = folder / f"{dbname}-{date}-sha1sums.txt"
    text = "".join(f"{hashlib.sha1(p.read_bytes()).hexdigest()}  {p.name}\n" for p in (dump, index))
    sums.write_text(text, encoding="utf-8")
    return [dump, index, sums]
