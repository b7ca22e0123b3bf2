"""Templates that carry prose."""

from __future__ import annotations

import pytest

from stagedml.stages.wiki.templates import Templates


@pytest.mark.parametrize(
    ("content", "prose"),
    [
        ("convert|10|km|mi", "10 km"),
        ("convert|3|to|5|ft|m|abbr=on", "3 to 5 ft"),
        ("convert|6|ft|2|in|m", "6 ft 2 in"),
        ("cvt|8|x|10|m", "8 × 10 m"),
        ("convert|5|e6acre|km2", "5 million acre"),
        ("audio|x.ogg", ""),
        ("audio|x.ogg|listen", "listen"),
        ("lang|fr|le mot", "le mot"),
        ("lang-de|Berlin", "Berlin"),
        ("Lang-grc|ἀρχή", "ἀρχή"),
        ("langue|fr|mot", ""),
        ("transl|ru|Moskva", "Moskva"),
        ("birth date|1990|5|17", "May 17, 1990"),
        ("Birth date and age|df=yes|1990|5|17", "17 May 1990"),
        ("start date|2001|9", "September 2001"),
        ("start date|2001", "2001"),
        ("дата рождения|17|5|1990", "17 мая 1990"),
        ("quote|To be|author=W. S.", "\nTo be\n"),
        ("quote|text=Or not", "\nOr not\n"),
        ("frac|1|2", "1/2"),
        ("frac|3|1|2", "3 1/2"),
        ("val|6.02|e=23|u=mol", "6.02×10^23 mol"),
        ("US$|5 million", "$5 million"),
        ("circa|1500", "c. 1500"),
        ("snd", " – "),
        ("nbsp", " "),
        ("読み仮名|東京|とうきょう", "東京（とうきょう）"),
        ("仮リンク|記事|en|Article", "記事"),
        ("нп5|Название|текст|en|Title", "текст"),
        ("год|1990", "1990 год"),
        ("ill|Name|de", "Name"),
        ("nowrap|a [[b|c]] d", "a [[b|c]] d"),
        ("nowrap|1=x=y", "x=y"),
        ("abbr|2=long|1=short", "short"),
        ("PAGENAME", "The title"),
        ("formatnum:1234", "1234"),
        ("Template:Nowrap|x", "x"),
        ("#if:x|y|z", ""),
        ("citation needed|date=May 2010", ""),
        ("cite web|url=x|title=y", ""),
        ("Infobox|a=b", ""),
        ("", ""),
        ("convert", ""),
        ("birth date|month=x", ""),
    ],
)
def test_render(content: str, prose: str) -> None:
    """Units, languages, dates, quotations and numbers are rendered, all else is dropped."""
    assert Templates().render(content, "The title") == prose
