"""Wiki markup to prose."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedml.stages.wiki.markup import Cleaner, Options, drop_elements, drop_tables

CLEANER = Cleaner(
    file_names=["Fails", "Файл"], category_names=["Kategoreja"], other_names=["Wikipedia", "Talk"]
)


@pytest.mark.parametrize(
    ("markup", "prose"),
    [
        ("'''Bold''' and ''italic'' and '''''both'''''", "Bold and italic and both"),
        ("a [[link]], a [[target|label]], [[plural]]s", "a link, a label, plurals"),
        ("[[File:x.jpg|thumb|A [[nested]] caption [http://x.org y]]] Text", "Text"),
        ("[[Fails:x.jpg|thumb]][[Файл:y.png]] Text [[Kategoreja:Z]][[Category:A|b]]", "Text"),
        ("[[:Category:Visible]] and [[:en:Word|word]]", "Category:Visible and word"),
        ("Text [[de:Wort]] [[zh-min-nan:X]]", "Text"),
        ("[[wikt:word]] [[s:Poem|the poem]] [[Wikipedia:Manual|manual]]", "word the poem manual"),
        ("[[Star Trek: Voyager]] flew", "Star Trek: Voyager flew"),
        ("[[#Section|below]] [[#Section]]", "below"),
        ("See [http://x.org/a?b=c the site] and [https://y.org] or http://z.org/x.", "See the site and or"),
        ("One<ref>cite</ref>, two<ref name=a />, three<ref name='b'>{{cite|x}}</ref>.", "One, two, three."),
        ("A<!-- hidden --> B <!-- never closed", "A B"),
        ("x<sup>2</sup> and H<sub>2</sub>O<br/>next <span style='a'>in</span>", "x2 and H2O next in"),
        ("where <math>x_1 {y}</math> is", "where is"),
        ("{| class=x\n| a {{b}} || c\n{| nested\n| d\n|}\n|}\nText", "Text"),
        ("{{Infobox|a={{b|{{c}}}}|d=e}}Text {{unknown}} here", "Text here"),
        ("Kept {{nowrap|10 {{abbr|km|kilometre}}}} long", "Kept 10 km long"),
        ("== Heading ==\n* item\n# two\n: indented\n; term\nText", "Text"),
        ("a &amp; b &nbsp;c &ndash; d &amp;nbsp; e &#91;f&#93;", "a & b c – d e [f]"),
        (
            "<nowiki>[[not a link]] {{not a template}} ''x''</nowiki>",
            "[[not a link]] {{not a template}} ''x''",
        ),
        ("Name ({{lang-xx|}}; born 1900) ( ) (, x)", "Name (born 1900) (x)"),
        ("__NOTOC__ Text __БЕЗ_ОГЛ__", "Text"),
        ("-{zh-hans:简体; zh-hant:繁體}-字 -{A|全}-", "简体字 全"),
        ("Text\n----\nmore\n\n\n|-\n| leftover\n! cell", "Text\nmore"),
        ("<ref>never closed. Text stays", "never closed. Text stays"),
        ("Start {{never closed\nText", "Start\nText"),
        ("A [[never closed and on", "A never closed and on"),
        ("[[File:x.jpg|never closed\nText", "Text"),
        ("{| never closed\n| cell\nText", "Text"),
        ("#REDIRECT", ""),
        ("...", ""),
        ("", ""),
        (
            "日本語の「[[漢字]]」（{{lang-en|kanji}}）は、''文字''である。",
            "日本語の「漢字」（kanji）は、文字である。",
        ),
        ("'''Берли́н''' ({{lang-de|Berlin}} {{IPA|x}}) — столица", "Берли́н (Berlin) — столица"),
        ("a\u200eb\u00ad c\u00a0d", "ab c d"),
    ],
)
def test_clean(markup: str, prose: str) -> None:
    """What a reader sees of the running text stays; markup, tables, references, boxes and captions go."""
    assert CLEANER.clean(markup, "Title") == prose


def test_headings_and_lists_are_options() -> None:
    """Headings and list items are kept on request, without their marks."""
    cleaner = Cleaner(options=Options(headings=True, lists=True))
    assert cleaner.clean("== A ==\n* one\n** ''two''\nText") == "A\none\ntwo\nText"


def test_templates_can_all_be_dropped() -> None:
    """Without templates, even those that carry prose are dropped."""
    assert Cleaner(options=Options(templates=False)).clean("10 {{nowrap|a b}} c") == "10 c"


def test_elements_are_dropped_in_one_scan() -> None:
    """An element that is opened again before it is closed loses only its first tag."""
    assert drop_elements("a<ref>b <ref>c</ref>d</ref>e<gallery>f<ref/>g</gallery>") == "ab de"


def test_tables_are_dropped_from_the_outside() -> None:
    """Nested tables go with the outer one; a closing mark alone changes nothing."""
    assert drop_tables("x\n{|\n{|\n|}\n|}y\n|}") == "x\ny\n|}"


@pytest.mark.parametrize(
    "piece",
    [
        "{{",
        "}}",
        "[[",
        "]]",
        "{|\n",
        "<ref>",
        "</ref>",
        "<!--",
        "'''",
        "{{a|",
        "[[File:",
        "{",
        "[",
        "<nowiki>",
    ],
)
def test_no_page_takes_for_ever(piece: str) -> None:
    """A page of one construct, thousands deep and never closed, is done in time linear in its length."""
    CLEANER.clean((piece + "x ") * 20_000)


MARKS = """
    {{ }} [[ ]] {| |} | == ' '' ''' <ref> </ref> <br> <!-- --> <nowiki> </nowiki> : * # a B File: http://x.y
    -{ }- & &amp; ( ) , {{{ }}} = ! [ ] nowrap"""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*MARKS.split(), "\n", " "]), max_size=40))
def test_no_page_breaks_it(pieces: list[str]) -> None:
    """Any mixture of marks gives some text, without links, templates or references left."""
    prose = CLEANER.clean("".join(pieces))
    if "nowiki" not in "".join(pieces):
        assert "[[" not in prose
        assert "{{" not in prose
        assert "<ref" not in prose
