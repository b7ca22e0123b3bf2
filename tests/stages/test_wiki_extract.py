"""From a dump to sharded prose."""

from __future__ import annotations

import bz2
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wiki_tools import HEAD, page

from stagedml.errors import DataError
from stagedml.progress import Progress
from stagedml.stages.text.shards import read_shard, shard_paths
from stagedml.stages.wiki import extract as module
from stagedml.stages.wiki.extract import Extraction, dump_files, extract, measure, publish

SMALL = Extraction(block_bytes=4000)
SCRIPTS = {
    "English": "The '''quick''' brown [[fox]].",
    "Русский": "Быстрая ''коричневая'' [[лиса|лисица]].",
    "日本語": "素早い'''茶色の'''[[狐]]。",
    "العربية": "الثعلب [[بني|البني]] السريع.",
    "עברית": "השועל '''החום''' המהיר.",
    "हिन्दी": "तेज़ [[भूरा|भूरी]] लोमड़ी।",
}


def write_dump(path: Path, pages: list[str]) -> Path:
    """A dump as one bz2 stream, or plain."""
    data = (HEAD + "".join(pages) + "</mediawiki>\n").encode()
    path.write_bytes(bz2.compress(data) if path.suffix == ".bz2" else data)
    return path


def run(dump: Path, out: Path, how: Extraction = SMALL, workers: int = 1) -> dict[str, bytes]:
    """Extracts a dump; returns the files."""
    out.mkdir()
    extract([dump], out, how=how, workers=workers)
    return {p.name: p.read_bytes() for p in sorted(out.iterdir())}


def texts(folder: Path) -> dict[str, str]:
    """Title to text."""
    return {r["title"]: r["text"] for path in shard_paths(folder) for r in read_shard(path)}


def test_articles_have_title_ids_and_url(tmp_path: Path) -> None:
    """A record tells where its text is from."""
    run(write_dump(tmp_path / "x.xml", [page(5, "A [[b|c]].")]), tmp_path / "out")
    (record,) = read_shard(shard_paths(tmp_path / "out")[0])
    assert record == {
        "id": "5",
        "revid": "1005",
        "url": "https://ru.wikipedia.org/wiki?curid=5",
        "title": "Page 5",
        "text": "A c.",
    }


def test_six_scripts(tmp_path: Path) -> None:
    """Markup goes and text stays, whatever the script."""
    run(
        write_dump(tmp_path / "x.xml.bz2", [page(i, t) for i, t in enumerate(SCRIPTS.values())]),
        tmp_path / "out",
    )
    expected = [re.sub(r"'{2,}|\[\[(?:[^]|]*\|)?|\]\]", "", t) for t in SCRIPTS.values()]
    assert list(texts(tmp_path / "out").values()) == expected


def test_what_is_no_article_is_counted(tmp_path: Path) -> None:
    """Other namespaces, redirects, disambiguation and empty pages are left out and counted by reason."""
    pages = [
        page(1, "Text."),
        page(2, "Talk", ns=1),
        page(3, "#REDIRECT [[X]]", redirect=True),
        page(4, "May mean\n* a\n{{disambiguation}}"),
        page(5, "{{Неоднозначность|тип=имя}}"),
        page(6, "{{box}}"),
        page(7, "x").replace("wikitext", "css"),
        page(8, "x").replace("<title>Page 8</title>", ""),
    ]
    (tmp_path / "out").mkdir()
    counts, _ = extract([write_dump(tmp_path / "x.xml", pages)], tmp_path / "out")
    assert counts.articles == 1
    assert counts.skipped == {
        "broken": 1, "disambiguation": 2, "empty": 1, "model": 1, "namespace": 1, "redirect": 1
    }  # fmt: skip
    assert "without title" in counts.failed[0]


def test_disambiguation_pages_are_an_option(tmp_path: Path) -> None:
    """They are articles when asked for."""
    dump = write_dump(tmp_path / "x.xml", [page(4, "It may mean much. {{disambig}}")])
    run(dump, tmp_path / "out", Extraction(disambiguation=True))
    assert texts(tmp_path / "out") == {"Page 4": "It may mean much."}


def test_a_page_that_breaks_the_parser_is_named_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page that cannot be read costs that page only; the log names it."""
    clean = module.Cleaner.clean

    def broken(self: module.Cleaner, text: str, title: str = "") -> str:
        if "poison" in text:
            raise RecursionError("too deep")
        return clean(self, text, title)

    monkeypatch.setattr(module.Cleaner, "clean", broken)
    (tmp_path / "out").mkdir()
    dump = write_dump(tmp_path / "x.xml", [page(1, "Good."), page(2, "poison"), page(3, "Better.")])
    counts, _ = extract([dump], tmp_path / "out")
    assert counts.articles == 2
    assert counts.skipped == {"broken": 1}
    assert counts.failed == ["Page 2 (2): RecursionError: too deep"]
    assert "Page 2 (2): RecursionError: too deep" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["x.xml", "x.xml.bz2"])
def test_a_dump_cut_in_a_page_gives_its_beginning(tmp_path: Path, name: str) -> None:
    """The page at the cut has the text up to there, and the log says so."""
    whole = (HEAD + page(1, "First.") + page(2, "Second sentence is cut here")).encode()
    data = whole[: whole.index(b"is cut") + 2]
    path = tmp_path / name
    path.write_bytes(bz2.compress(data) if name.endswith("bz2") else data)
    (tmp_path / "out").mkdir()
    counts, _ = extract([path], tmp_path / "out")
    assert texts(tmp_path / "out") == {"Page 1": "First.", "Page 2": "Second sentence is"}
    assert counts.failed == ["Page 2 (2): the dump ends within this page"]


@pytest.mark.parametrize("name", ["x.xml", "x.xml.bz2"])
def test_the_number_of_workers_changes_nothing(tmp_path: Path, name: str) -> None:
    """One process and two give the same shards, byte for byte."""
    dump = write_dump(tmp_path / name, [page(i, f"Text {i}. " * 30) for i in range(60)])
    assert run(dump, tmp_path / "1") == run(dump, tmp_path / "2", workers=2)
    assert len(shard_paths(tmp_path / "1")) > 3


class _Killer(Progress):
    """Ends the process, as a power cut would, after some blocks."""

    def __init__(self, after: int) -> None:
        self.left = after

    def update(self, n: float = 1) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def run_and_kill(dump: str, out: str, after: str) -> None:
    """Extracts until killed; called in a process of its own."""
    extract([Path(dump)], Path(out), how=SMALL, progress=_Killer(int(after)))


def test_a_killed_extraction_goes_on(tmp_path: Path) -> None:
    """After kills, finished blocks are not worked on again, and the result is the same."""
    dump = write_dump(tmp_path / "x.xml.bz2", [page(i, f"Text {i}. " * 30) for i in range(60)])
    expected = run(dump, tmp_path / "straight")
    out = tmp_path / "killed"
    out.mkdir()
    code = "import sys; sys.path.insert(0, sys.argv[1])\n"
    code += "import test_wiki_extract as t; t.run_and_kill(*sys.argv[2:])"
    for after in ("2", "4"):  # blocks that are reused count as progress too
        command = [sys.executable, "-c", code, str(Path(__file__).parent), str(dump), str(out), after]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    _, reused = extract([dump], out, how=SMALL)
    assert reused == 4
    assert {p.name: p.read_bytes() for p in sorted(out.iterdir())} == expected


def test_parts_are_one_dump(tmp_path: Path) -> None:
    """A folder of parts is read in the order of their numbers; sums and indexes are no parts."""
    for i, number in enumerate([1, 2, 10]):
        write_dump(tmp_path / f"w-20200301-pages-articles{number}.xml-p{i}p{i}.bz2", [page(number, "x")])
    (tmp_path / "w-20200301-sha1sums.txt").write_text("")
    (tmp_path / "w-20200301-pages-articles-multistream-index.txt.bz2").write_bytes(b"")
    files = dump_files(tmp_path)
    assert [re.findall(r"articles(\d+)", p.name)[0] for p in files] == ["1", "2", "10"]
    (tmp_path / "out").mkdir()
    extract(files, tmp_path / "out")
    assert list(texts(tmp_path / "out")) == ["Page 1", "Page 2", "Page 10"]


def test_no_article_is_an_error(tmp_path: Path) -> None:
    """A dump without an article says what it held."""
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="no article") as e:
        extract([write_dump(tmp_path / "x.xml", [page(1, ns=3)])], tmp_path / "out")
    assert "namespace" in e.value.hint
    with pytest.raises(DataError, match="no dump file"):
        dump_files(tmp_path / "out")


def test_measure_counts_what_is_there(tmp_path: Path) -> None:
    """Documents, words, characters and bytes, by any number of workers."""
    dump = write_dump(tmp_path / "x.xml", [page(1, "Слово и слово."), page(2, "Two words")])
    run(dump, tmp_path / "scratch")
    publish(tmp_path / "scratch", tmp_path / "articles")
    expected = {"num_documents": 2, "num_words": 5, "num_chars": 23, "num_bytes": 34}
    assert measure(tmp_path / "articles") == expected


def test_the_real_dumps_leave_little_markup(real_data: Path, tmp_path: Path) -> None:
    """On real pages fewer than one character in 100,000 is left-over markup."""
    for i, path in enumerate(sorted((real_data / "wikipedia").iterdir())):
        out = tmp_path / str(i)
        out.mkdir()
        counts, _ = extract([path], out)
        text = "\n".join(texts(out).values())
        marks = re.findall(
            r"\[\[|\]\]|\{\{|\}\}|\{\||\|\}|'''|''|<ref|</?\w+>|&\w+;|__[A-Z]+__|\bthumb\|", text
        )
        assert counts.words > 4000
        assert counts.skipped.get("broken", 0) == 0
        assert sum(map(len, marks)) <= len(text) / 100_000 + 2, marks
