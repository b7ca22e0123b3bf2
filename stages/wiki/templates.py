"""The templates that carry prose, rendered without the wiki's own definitions of them.

A page is built from some hundred templates, most of them boxes, citations and maintenance notes; a few stand
in the middle of a sentence, and dropping those breaks it: units, languages, dates, quotations, numbers. Those
are rendered here, in English, Russian, Japanese and Chinese names. Everything else is dropped. Lua modules
and parser functions are out of scope.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Args = list[str]
Named = dict[str, str]
Render = Callable[[Args, Named], str]

ARGUMENT = re.compile(r"\|(?![^\[\]]*\]\])")  # a bar inside [[a|b]] is not a separator
NUMBER = re.compile(r"^[-+−]?[\d\s,.]+$")
_EN = "January February March April May June July August September October November December"
_RU = "января февраля марта апреля мая июня июля августа сентября октября ноября декабря"
MONTHS, RU_MONTHS = _EN.split(), _RU.split()


def _at(i: int) -> Render:
    return lambda args, named: args[i] if len(args) > i else ""


def _last(args: Args, named: Named) -> str:
    return next((a for a in reversed(args) if a), "")


def _constant(text: str) -> Render:
    return lambda args, named: text


def _joined(separator: str) -> Render:
    return lambda args, named: separator.join(a for a in args if a)


def _quote(args: Args, named: Named) -> str:
    text = named.get("text") or named.get("quote") or named.get("текст") or (args[0] if args else "")
    return f"\n{text}\n" if text else ""


def _convert(args: Args, named: Named) -> str:
    """`{{convert|10|km|mi}}`, `{{convert|3|to|5|ft|m}}`, `{{convert|6|ft|2|in|m}}`: the original value."""
    if not args:
        return ""
    words = {"to", "and", "or", "by", "x", "-", "–", "to(-)", "xx"}
    out = [args[0]]
    i = 1
    while i + 1 < len(args) and args[i] in words and NUMBER.match(args[i + 1]):
        joiner = args[i] if args[i] in {"to", "and", "or", "by"} else "×" if args[i] in {"x", "xx"} else "–"
        out += [joiner, args[i + 1]]
        i += 2
    if i < len(args):
        out.append(POWER.sub(lambda m: f"{POWERS[m[1]]} ", args[i]))
    if i + 2 < len(args) and args[i] in {"ft", "lb", "st"} and NUMBER.match(args[i + 1]):
        out += [args[i + 1], args[i + 2]]
    return " ".join(out).replace(" – ", "–")


POWER = re.compile(r"^e(3|6|9|12)(?=\D)")  # {{convert|5|e6acre}}
POWERS = {"3": "thousand", "6": "million", "9": "billion", "12": "trillion"}


def _date(args: Args, named: Named) -> str:
    """Year, month and day in figures, as `{{birth date|1990|5|17}}` has them."""
    figures = [a for a in args if a.isdigit()]
    if not figures:
        return args[0] if args else ""
    year, month, day = (*figures, "", "")[:3]
    if not month or not 1 <= int(month) <= 12:
        return year
    name = MONTHS[int(month) - 1]
    if named.get("df", "").startswith("y") and day:
        return f"{int(day)} {name} {year}"
    return f"{name} {int(day)}, {year}" if day else f"{name} {year}"


def _date_ru(args: Args, named: Named) -> str:
    """Day, month and year in figures, as `{{дата рождения|17|5|1990}}` has them."""
    figures = [a for a in args if a.isdigit()]
    if len(figures) >= 3 and 1 <= int(figures[1]) <= 12:
        return f"{int(figures[0])} {RU_MONTHS[int(figures[1]) - 1]} {figures[2]}"
    return args[0] if args else ""


def _fraction(args: Args, named: Named) -> str:
    if len(args) == 1:
        return f"1/{args[0]}"
    if len(args) == 2:
        return "/".join(args)
    return f"{args[0]} {args[1]}/{args[2]}" if len(args) > 2 else ""


def _value(args: Args, named: Named) -> str:
    unit = named.get("u") or named.get("ul") or ""
    power = f"×10^{named['e']}" if named.get("e") else ""
    return f"{args[0] if args else ''}{power} {unit}".strip()


def _money(sign: str) -> Render:
    return lambda args, named: f"{sign}{args[0]}" if args else ""


def _reading(args: Args, named: Named) -> str:
    """A word with its reading: `{{読み仮名|東京|とうきょう}}`."""
    return f"{args[0]}（{args[1]}）" if len(args) > 1 and args[1] else args[0] if args else ""


def _circa(args: Args, named: Named) -> str:
    return f"c. {'–'.join(a for a in args if a)}".strip()


def _table() -> dict[str, Render]:
    out: dict[str, Render] = {}

    def add(render: Render, names: str) -> None:
        out.update((" ".join(name.split()), render) for name in names.split(","))

    add(_at(0), "nowrap, nobr, small, smaller, big, larger, resize, sic, not a typo, typo, center, nobold")
    add(_at(0), "noitalic, em, strong, tq")
    add(
        _at(0),
        """
        abbr, abbrlink, tooltip, hover title, comment, smallcaps, small caps, sc, sup, sub, nsmdns,
        linktext, mono, code, var, mvar, math, italic title prefixed, keypress, key, as written, proper
        name, illm, ill, interlanguage link, red link, vanchor, visible anchor, anchored, formatnum,
        spell, as of, bracket, bigger, ship, oldstyledate, s, lj, не переведено, не переведено
        2, не переведено 3, не переведено 4, число, comment, подсказка, s2, nobr, бо, iw, 仮リンク,
        link-en, link-ja, link-de, link-fr, tsl, ill2, le, lj, 補助漢字フォント, jis90フォント, lang-grc-gre
        """,
    )
    add(
        _at(1),
        """
        lang, язык, script, transl, transliteration, tlit, rtl-lang, nihongo2, abbrv, resize text, ruby
        text, color, цвет, colored link, font color, colour, uss, hms, sclass, gli, ws, wikt-lang, нп5,
        нп4, нп3, нп2, нп, iw2, zh-tw, zhuyin2
        """,
    )
    add(_at(1), "audio")
    add(_last, "colored text,legend inline")
    add(
        _quote,
        """
        quote, quotation, cquote, blockquote, block quote, quote box, rquote, centered pull quote, poem
        quote, verse, цитата, начало цитаты, врезка, quotation2, cita, citation bloc, zitat
        """,
    )
    add(_convert, "convert,cvt,conv,convert/spell")
    add(
        _date,
        """
        birth date, birth date and age, death date, death date and age, start date, end date, dob, bda,
        date, start date and age, birth year, film date, bya, death year and age, 生年月日, 生年月日と年齢,
        release date
        """,
    )
    add(_date_ru, "дата рождения,дата смерти,дата,дата рождения по юлианскому календарю")
    add(_fraction, "frac,fraction,sfrac,дробь")
    add(_value, "val,значение")
    add(_money("$"), "us$,usd,$")
    add(_money("£"), "gbp,£,pound sterling")
    add(_money("€"), "eur,€,euro")
    add(_money("₹"), "inr,₹,rupee")
    add(_money("¥"), "jpy,¥,jpyconvert")
    add(_reading, "読み仮名,読み仮名 ruby不使用,読み仮名ruby不使用,ルビ,ruby,ふりがな,nihongo")
    add(_circa, "circa,c.,ca.,c,около")
    add(lambda a, n: f"fl. {a[0]}" if a else "fl.", "fl,floruit,fl.")
    add(lambda a, n: f"r. {'–'.join(a)}", "reign,r.")
    add(_constant(" "), "nbsp,space,spaces,thinsp,hsp,clear space,spc,thin space")
    add(_constant(" – "), "snd,spnd,sndash,spaced ndash,spaced en dash,nbndash")
    add(_constant("–"), "ndash,en dash,–,endash")
    add(_constant("—"), "mdash,em dash,—,emdash,тире")
    add(_constant("·"), "·,dot,middot,•,bullet")
    add(_constant("'"), "',apostrophe,`")
    add(_constant("'s"), "'s")
    add(_constant("="), "=,equals")
    add(_constant("×"), "x,×,times")
    add(_constant("°"), "deg,degree")
    add(_constant("†"), "dagger,†")
    add(_constant("|"), "!")
    add(_constant("C#"), "c sharp")
    add(lambda a, n: f"{a[0]} год" if a else "", "год")
    add(lambda a, n: f"{a[0]} г." if a else "", "г,гг")
    add(_joined(", "), "hlist,flatlist,cslist")
    add(_joined(" "), "nihongo3,wikitext")
    return out


TABLE = _table()
LANG = re.compile(r"(?:lang-|lang |ref-)[\w-]+$")  # {{lang-fr|mot}}
FORMATNUM = re.compile(r"formatnum\s*:\s*(.*)$", re.S | re.I)
PREFIX = re.compile(r"^(?:template|шаблон|テンプレート|模板|vorlage|modèle|plantilla)\s*:\s*", re.I)


class Templates:
    """Renders `{{...}}`, its content given without the braces and without templates inside."""

    def __init__(self, *, lang: str = "en") -> None:
        self.lang = lang

    def render(self, content: str, title: str = "") -> str:
        """The prose of a template, or nothing."""
        name, bar, rest = content.partition("|")
        key = name.strip().lower().replace("_", " ")
        render = TABLE.get(key)
        if render is None:
            render = self._special(key)
            if render is None:
                return self._variable(name.strip(), title)
        args, named = _arguments(rest) if bar else ([], {})
        return render(args, named)

    @staticmethod
    def _special(key: str) -> Render | None:
        if key.startswith(("lang", "ref-")) and LANG.match(key):
            return _at(0)
        bare = PREFIX.sub("", key)
        return TABLE.get(bare) if bare != key else None

    @staticmethod
    def _variable(name: str, title: str) -> str:
        if name in ("PAGENAME", "FULLPAGENAME", "SUBJECTPAGENAME", "BASEPAGENAME"):
            return title
        if ":" in name and (found := FORMATNUM.match(name)):
            return found.group(1)
        return ""


def _arguments(rest: str) -> tuple[Args, Named]:
    """Positional and named arguments, in order; `1=` and the like are positional."""
    parts = ARGUMENT.split(rest) if "[[" in rest else rest.split("|")
    args: Args = []
    named: Named = {}
    for part in parts:
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key or len(key) > 30 or "[" in key or "<" in key or "/" in key:
            args.append(part.strip())
        elif key.isdigit():
            position = int(key)
            if 1 <= position <= 20:
                args.extend([""] * (position - len(args)))
                args[position - 1] = value.strip()
        else:
            named[key.lower()] = value.strip()
    return args, named
