"""Where a sentence ends: a rule that looks only at the chunk before a space and the chunk after it.

Being a function of two chunks it can be tabulated, so that a corpus is split by array look-ups. It follows
UAX #29 in spirit: a terminator, then closing marks, then a space, then something a sentence can begin with.
"""

from __future__ import annotations

import re

CLOSING = "\"'”’»)]}」』）】〉》›\u200d"
OPENING = "\"'“‘«([{„‚‹¿¡「『（【〈《—–-"
TERMINATORS = ".!?…。！？．｡।॥؟۔։።៕"
_WIDE_END = re.compile("([。！？｡]+[」』）】〉》”’]*)(?=[^\\s」』）】〉》”’。！？｡])")

# Words that end in a full stop and seldom end a sentence; compared in lower case, without opening marks.
_ABBREVIATIONS = """
    mr. mrs. ms. dr. prof. st. sr. jr. rev. hon. gen. col. capt. lt. maj. sgt. gov. sen. rep. pres. fr. ft.
    mt. vs. v. no. nos. vol. vols. pp. p. ed. eds. fig. figs. cf. ca. c. e.g. i.e. etc. al. approx. est. b. d.
    r. fl. jan. feb. mar. apr. jun. jul. aug. sep. sept. oct. nov. dec. inc. ltd. co. corp. bros. u.s. u.k.
    u.n. a.k.a.
    т. г. гг. в. вв. н. э. р. род. ум. т.е. т.н. т.д. т.п. др. пр. проф. акад. им. ок. св. ул. см. рис. табл.
    стр. с. д. руб. коп. тыс. млн. млрд. чел. км. обл. исп. англ. нем. фр. лат. греч. итал. рус.
    bzw. z.b. d.h. u.a. usw. nr. bd. hrsg. jh. geb. gest. art. arch. av. apr. env. éd. m. mm. mme. mlle.
"""
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())


# Python takes these for white space, tokenizers drop them: what stands on both sides is one word.
_JOINING = re.compile("[\x0b\x0c\x1c-\x1f\x85]")


def chunks(line: str) -> list[str]:
    """What stands between spaces."""
    return (_JOINING.sub("", line) if _JOINING.search(line) else line).split()


def space_out(text: str) -> str:
    """Puts a space after the full stops of scripts that write without spaces."""
    if "。" in text or "！" in text or "？" in text or "｡" in text:
        return _WIDE_END.sub(r"\1 ", text)
    return text


def ends_sentence(chunk: str) -> bool:
    """Whether a sentence can end after this chunk of non-space characters."""
    bare = chunk.rstrip(CLOSING)
    if not bare or bare[-1] not in TERMINATORS:
        return False
    if bare[-1] != ".":
        return True
    word = bare.lstrip(OPENING)
    if word.lower() in ABBREVIATIONS:
        return False
    # initials: "J." and "J.R.R."; but a lone "I." or a figure ends one
    letters = word.rstrip(".")
    return not (len(letters) == 1 and letters.isupper()) and not re.fullmatch(r"(?:\w\.)+\w", letters)


def can_start(chunk: str) -> bool:
    """Whether a sentence can begin with this chunk: anything but a small letter or a closing mark."""
    bare = chunk.lstrip(OPENING)
    if not bare:
        return True
    return not bare[0].islower() and bare[0] not in CLOSING + ",;:" + TERMINATORS


def split_sentences(text: str) -> list[str]:
    """The sentences of a text of paragraphs, one a line; white space becomes one space."""
    sentences: list[str] = []
    for line in space_out(text).split("\n"):
        current: list[str] = []
        for chunk in chunks(line):
            if current and ends_sentence(current[-1]) and can_start(chunk):
                sentences.append(" ".join(current))
                current = []
            current.append(chunk)
        if current:
            sentences.append(" ".join(current))
    return sentences
