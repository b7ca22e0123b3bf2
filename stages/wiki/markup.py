"""Wiki markup to prose, in passes of the regular-expression engine over the whole page.

A parser that builds a tree (mwparserfromhell, 1.2 MB/s) gives more than prose needs. Here each construct
is removed or unwrapped from the inside out: a pattern that matches only the innermost `{{...}}` or `[[...]]`
is applied until nothing matches. Every pattern is possessive, so that no page, however broken, takes more
than a few passes of linear time. The order matters: references first (they hold most templates), templates
before tables (they hide table marks), tables before links, entities last (an escaped bracket is text).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from stagedml.stages.wiki.templates import Templates

MAX_PASSES = 30  # deeper nesting than that is vandalism

# Elements whose content is no prose, and elements whose tags go and whose content stays.
_DROPPED = """
    ref references gallery timeline math chem ce score syntaxhighlight source imagemap table graph hiero
    mapframe maplink templatedata inputbox categorytree pre includeonly chart css style script
    templatestyles indicator phonos"""
_UNWRAPPED = """
    a abbr b bdi bdo big blockquote br caption center cite code data dd del dfn div dl dt em font h1 h2 h3 h4
    h5 h6 hr i ins kbd langconvert li mark nobr noinclude nowiki ol onlyinclude p poem q rb rp rt rtc ruby s
    samp section small span strike strong sub sup td th time tr tt u ul var wbr"""
DROPPED, UNWRAPPED = _DROPPED.split(), _UNWRAPPED.split()

COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
NOWIKI = re.compile(r"<(?i:nowiki)\s*>(.*?)</(?i:nowiki)\s*>", re.S)
MARKS = re.compile(r"[\[\]{}|'<>=*#:;_]")
# Case is ignored within groups only: a pattern that begins with a plain "<" is searched for ten times faster.
ELEMENT = re.compile(rf"<(/?)((?i:{'|'.join(DROPPED)}))(?![\w-])([^<>]*)>")
TAG = re.compile(rf"<(?i:/?(?:{'|'.join(UNWRAPPED + DROPPED)}))(?![\w-])[^<>]*>")
BREAK = re.compile(r"<(?i:br)\b[^<>]*>")
TEMPLATE = re.compile(r"\{\{((?:[^{}]++|\{(?!\{)|\}(?!\}))*+)\}\}")
PARAMETER = re.compile(r"\{\{\{[^{}|]*+(?:\|([^{}]*+))?\}\}\}")
TABLE_MARK = re.compile(r"^[ \t:*#]*\{\||^[ \t]*\|\}", re.M)
LINK = re.compile(r"\[\[((?:[^\[\]]++|\[(?!\[)[^\[\]\n]*+\]|\[(?!\[)|\](?!\]))*+)\]\]")
EXTERNAL = re.compile(
    r"\[(?i:(?:https?|ftp|irc|news|git|svn)://|//|mailto:)[^\s\[\]<>]*+[ \t\u00a0]*+([^\[\]\n]*+)\]"
)
BARE_URL = re.compile(r"(?:https?|ftp)://[^\s<>\[\]|{}]+")
PLAIN_LINK = re.compile(r"\[\[([^\[\]|:#]+)\]\]")
LABELLED_LINK = re.compile(r"\[\[[^\[\]|:]+\|([^\[\]|]*)\]\]")
QUOTES = re.compile("'''''|'''|''")
SWITCH = re.compile(r"__[^\W_a-z]+(?:_[^\W_a-z]+)*__")
VARIANT = re.compile(r"-\{(?:[^{}|]*\|)?([^{}]*?)\}-")
VARIANT_RULE = re.compile(r"^\s*(?:[a-z-]+\s*:\s*)?([^;:]*)(?:;.*)?$", re.S)
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,8})*$")
MEDIA = re.compile(r"\.(?:jpe?g|png|gif|svg|tiff?|webm|og[gva]|pdf|djvu|mp3|wav|midi?)\s*$", re.I)
HEADING = re.compile(r"^(={1,6})\s*(.+?)\s*=+\s*$")
SPACES = re.compile(" {2,}")
INVISIBLE = (
    "\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"  # soft hyphens, direction marks
)
OTHER_SPACES = "\t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000"
PAREN_START = re.compile(r"([(（])[\s,;:·•/、，；]+")
PAREN_END = re.compile(r"[\s,;·、，；]+([)）])")
PAREN_EMPTY = re.compile(r" ?(?:\(\s*\)|（\s*）)")
BEFORE_STOP = re.compile(r" +([,.;])(?=\s|$)")
DOUBLE_COMMA = re.compile(r",(?:\s*,)+")

# Names of the file and category namespaces that a dump's own list does not mention: English names work on
# every wiki, and these are old local names that still do.
_FILES = """
    file image media файл изображение ファイル 画像 文件 图像 圖像 檔案 datei bild fichier archivo imagen"""
_CATEGORIES = "category категория カテゴリ 分类 分類 kategorie catégorie categoría"
_INTERWIKI = "w wikt wiktionary s wikisource q wikiquote b n v d commons c m meta species voy mw"
FILE_NAMES, CATEGORY_NAMES = _FILES.split(), _CATEGORIES.split()
INTERWIKI = frozenset(_INTERWIKI.split())


@dataclass(frozen=True)
class Options:
    """What of a page besides its paragraphs is kept."""

    headings: bool = False
    lists: bool = False
    templates: bool = True


@dataclass
class Cleaner:
    """Turns the markup of one wiki into prose; knows the wiki's names of namespaces."""

    options: Options = field(default_factory=Options)
    file_names: Iterable[str] = ()
    category_names: Iterable[str] = ()
    other_names: Iterable[str] = ()
    lang: str = "en"

    def __post_init__(self) -> None:
        def lowered(names: Iterable[str], more: Iterable[str] = ()) -> frozenset[str]:
            return frozenset(n.lower().replace("_", " ") for n in [*names, *more] if n)

        self._dropped = lowered(self.file_names, FILE_NAMES) | lowered(self.category_names, CATEGORY_NAMES)
        self._spaces = lowered(self.other_names)
        self._templates = Templates(lang=self.lang) if self.options.templates else None

    def clean(self, text: str, title: str = "") -> str:
        """The prose of a page: paragraphs, one a line."""
        text = hide(text)
        text = drop_elements(text)
        text = self._drop_templates(text, title)
        text = drop_tables(text)
        text = self._unwrap_links(text)
        if "://" in text or "[//" in text or "mailto:" in text:
            text = BARE_URL.sub(" ", EXTERNAL.sub(r"\1", text)).replace("[[", "")
        if "''" in text:
            text = QUOTES.sub("", text)
        if "<" in text:
            text = TAG.sub("", BREAK.sub(" ", text))
        if "__" in text:
            text = SWITCH.sub("", text)
        if "&" in text:
            text = html.unescape(text)
            if "&" in text and "&nbsp;" in text:  # escaped twice, a frequent slip
                text = text.replace("&nbsp;", " ")
        for character in INVISIBLE:
            if character in text:
                text = text.replace(character, "")
        for character in OTHER_SPACES:
            if character in text:
                text = text.replace(character, " ")
        return self._lines(text)

    def _drop_templates(self, text: str, title: str) -> str:
        if "{{" not in text:
            return text
        if "{{{" in text:
            text = PARAMETER.sub(r"\1", text)
        render: Callable[[re.Match[str]], str] | str = ""
        if self._templates is not None:
            templates = self._templates

            def render(found: re.Match[str]) -> str:
                return templates.render(found.group(1), title)

        text = _until_stable(TEMPLATE, render, text)
        return re.sub(r"\{\{[^\n]*", "", text) if "{{" in text else text

    def _unwrap_links(self, text: str) -> str:
        if "-{" in text:
            text = VARIANT.sub(lambda m: VARIANT_RULE.sub(r"\1", m.group(1)), text)
        if "[[" not in text:
            return text
        # nine links of ten have no colon; a constant replacement costs no call of Python
        text = LABELLED_LINK.sub(r"\1", PLAIN_LINK.sub(r"\1", text))
        text = _until_stable(LINK, lambda m: self._link(m.group(1)), text)
        if "[[" in text:  # never closed: a file's line goes, of another link only the brackets
            text = re.sub(
                rf"\[\[\s*(?:{'|'.join(map(re.escape, self._dropped))})\s*:[^\n]*", "", text, flags=re.I
            )
            text = text.replace("[[", "").replace("]]", "")
        return text

    def _link(self, content: str) -> str:
        """What a reader sees of `[[content]]`."""
        target, bar, label = content.partition("|")
        if ":" not in target:
            if bar:
                return label
            return "" if target.startswith("#") else target
        prefix, _, rest = target.partition(":")
        prefix = prefix.strip().lower().replace("_", " ")
        if not prefix:  # [[:Category:X]] is a plain link
            return label if bar else rest
        if prefix in self._dropped or MEDIA.search(target):
            return ""
        if prefix in INTERWIKI:
            return label if bar else rest.rpartition(":")[2]
        if not bar and prefix not in self._spaces and target[0].islower() and LANGUAGE.match(prefix):
            return ""  # a link to the article in another language
        return label if bar else target

    def _lines(self, text: str) -> str:
        """Drops lists, headings and remains of tables; tidies what dropped templates leave behind."""
        options, out = self.options, []
        for raw in text.split("\n"):
            line = raw.strip()
            if not line:
                continue
            first = line[0]
            if first in "=*#:;|!{}-":
                if first == "=" and (heading := HEADING.match(line)):
                    if options.headings:
                        out.append(heading.group(2))
                    continue
                if first in "*#:;":
                    line = line.lstrip("*#:; ")
                    if not options.lists:
                        continue
                elif first in "|!" or line.startswith(("{|", "----")):
                    continue
            line = tidy(line)
            if any(map(str.isalnum, line)):
                out.append(line)
        return "\n".join(out)


def tidy(line: str) -> str:
    """One space between words, no parentheses emptied by a dropped template."""
    if "  " in line:
        line = SPACES.sub(" ", line)
    if "(" in line or "（" in line:
        line = PAREN_EMPTY.sub("", PAREN_END.sub(r"\1", PAREN_START.sub(r"\1", line)))
    if " ," in line or " ." in line or " ;" in line:
        line = BEFORE_STOP.sub(r"\1", line)
    if ",," in line or ", ," in line:
        line = DOUBLE_COMMA.sub(",", line)
    return line.strip()


def _until_stable(pattern: re.Pattern[str], by: Callable[[re.Match[str]], str] | str, text: str) -> str:
    """Substitutes innermost matches until there are none."""
    for _ in range(MAX_PASSES):
        text, count = pattern.subn(by, text)
        if not count:
            break
    return text


def hide(text: str) -> str:
    """Drops comments; turns the content of `<nowiki>` into entities, which no later pass touches."""
    if "<" not in text:
        return text
    if "<!--" in text:
        text = COMMENT.sub("", text)
    if (last := text.lower().rfind("</nowiki") if "nowiki" in text else -1) >= 0:
        # only up to the last closing tag, so that none is searched for in vain
        end = last + len("</nowiki") + 1
        text = NOWIKI.sub(lambda m: MARKS.sub(lambda c: f"&#{ord(c[0])};", m[1]), text[:end]) + text[end:]
    return text


def drop_elements(text: str) -> str:
    """Drops elements that hold no prose, in one scan; an element that is never closed loses only its tag."""
    if "<" not in text:
        return text
    out: list[str] = []
    kept = 0  # text before this is in `out` or dropped
    opened, inside = "", 0
    for tag in ELEMENT.finditer(text):
        closing, name = tag.group(1), tag.group(2).lower()
        if not opened:
            out.append(text[kept : tag.start()])
            kept = tag.end()
            if not closing and not tag.group(3).endswith("/"):
                opened, inside = name, tag.end()
        elif name == opened:
            if closing:
                opened, kept = "", tag.end()
            elif tag.group(3).endswith("/"):
                continue
            else:  # the first was never closed
                out.append(text[inside : tag.start()])
                inside = kept = tag.end()
    out.append(text[inside if opened else kept :])
    return "".join(out)


def drop_tables(text: str) -> str:
    """Drops `{| ... |}`, nested ones too; of a table that is never closed only the lines of cells will go."""
    if "{|" not in text:
        return text
    out: list[str] = []
    kept, starts = 0, []
    for mark in TABLE_MARK.finditer(text):
        if mark.group().endswith("{|"):
            starts.append(mark.start())
        elif starts:
            start = starts.pop()
            if not starts:
                out.append(text[kept:start])
                kept = mark.end()
    out.append(text[kept:])
    return "".join(out)
