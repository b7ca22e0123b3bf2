"""The small world: true to the formats of real data, always the same, and a fair question to a model."""

from __future__ import annotations

import bz2
import hashlib
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from stagedml.stages.glue.fetch import data_sets
from stagedml.stages.glue.readers import read_examples
from stagedml.stages.glue.tasks import find_task, glue_tasks
from stagedml.stages.text.synthetic import Scale, generate
from stagedml.stages.text.synthetic.dump import Page, base36, write_dump
from stagedml.stages.text.synthetic.glue import inferences, judgements, similarities, write_set
from stagedml.stages.text.synthetic.tasks import opinions, pairs
from stagedml.stages.text.synthetic.words import BLAME, PRAISE, Draw, make_lexicon
from stagedml.stages.text.synthetic.world import Island
from stagedml.stages.wiki.dump import block_pages, parse_page, plan_blocks

SMALL = Scale(works=6, villages=1, rows={"train": 12, "dev": 8, "test": 4})
NS = "{http://www.mediawiki.org/xml/export-0.11/}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("a world")
    generate(folder, SMALL)
    return folder


def find(world: Path, end: str) -> Path:
    """The one file of the dump whose name ends so."""
    (found,) = (world / "wikipedia").glob(f"*{end}")
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder; those of bz2 as they are unpacked."""
    return {
        p.relative_to(folder).as_posix(): bz2.decompress(p.read_bytes())
        if p.suffix == ".bz2"
        else p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.endswith("sums.txt")
    }


def test_the_bytes_are_pinned(tmp_path: Path) -> None:
    """The full world is the same on every machine: what depends on it can be compared."""
    generate(tmp_path)
    digest = hashlib.sha256()
    for name, data in contents(tmp_path).items():
        digest.update(f"{name} {len(data)}\n".encode() + data)
    assert digest.hexdigest() == DIGEST


def test_another_process_makes_the_same(world: Path, tmp_path: Path) -> None:
    """Neither the salt of hashes nor the order of sets shows in the bytes."""
    code = (
        "import sys; from pathlib import Path; from stagedml.stages.text.synthetic import Scale, generate;"
        f"generate(Path(sys.argv[1]), {SMALL!r})"
    )
    env = {"PYTHONHASHSEED": "12345"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=env, check=True)
    assert contents(tmp_path) == contents(world)


def test_the_command_writes_the_folder_and_says_so(tmp_path: Path) -> None:
    """`python -m` takes one folder; anything else is answered with the usage and status 2."""
    command = [sys.executable, "-m", "stagedml.stages.text.synthetic"]
    done = subprocess.run([*command, str(tmp_path / "w")], capture_output=True, text=True, check=True)
    assert "glue/MRPC/train.tsv" in done.stdout
    assert (tmp_path / "w" / "glue" / "SST-2" / "test.tsv").is_file()
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.startswith("usage:")) == (2, True)


def test_the_dump_is_export_xml(world: Path) -> None:
    """An XML parser reads the whole dump as MediaWiki's export format 0.11."""
    root = ET.fromstring(bz2.decompress(find(world, "multistream.xml.bz2").read_bytes()))
    assert root.tag == f"{NS}mediawiki"
    assert root.get("version") == "0.11"
    names = {int(n.get("key", "")): n.text for n in root.iter(f"{NS}namespace")}
    assert (names[0], names[10], names[14]) == (None, "Template", "Category")
    pages = list(root.iter(f"{NS}page"))
    assert {p.findtext(f"{NS}ns") for p in pages} >= {"0", "1", "10", "14", "828"}
    for page in pages:
        text = page.find(f"{NS}revision/{NS}text")
        assert text is not None
        data = (text.text or "").encode()
        assert int(text.get("bytes", "")) == len(data)
        sha1 = base36(int.from_bytes(hashlib.sha1(data).digest(), "big")).zfill(31)
        assert (page.findtext(f"{NS}revision/{NS}sha1"), text.get("sha1")) == (sha1, sha1)
        assert (page.find(f"{NS}redirect") is not None) == (text.text or "").startswith("#REDIRECT")


def test_the_index_leads_to_every_page(world: Path) -> None:
    """Each line of the index names the byte at which the bz2 stream with that page begins."""
    dump = find(world, "multistream.xml.bz2").read_bytes()
    lines = bz2.decompress(find(world, "index.txt.bz2").read_bytes()).decode().splitlines()
    streams: dict[int, str] = {}
    for line in lines:
        offset, page_id, title = line.split(":", 2)
        at = int(offset)
        if at not in streams:
            streams[at] = bz2.BZ2Decompressor().decompress(dump[at:]).decode()
        assert f"<title>{title}</title>" in streams[at]
        assert f"<id>{page_id}</id>" in streams[at]
    assert len(streams) > 1
    assert max(s.count("<page>") for s in streams.values()) == 100


def test_the_sums_are_those_of_the_files(world: Path) -> None:
    """The sums file has the form of Wikimedia's: a sha1, two blanks, a name."""
    for line in find(world, "sha1sums.txt").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha1((world / "wikipedia" / name).read_bytes()).hexdigest() == digest


def test_our_reader_finds_all_pages(world: Path) -> None:
    """The reader of dumps sees every page that the index lists, with its namespace."""
    dump = find(world, "multistream.xml.bz2")
    found = [parse_page(raw) for block in plan_blocks(dump, 1 << 14) for raw in block_pages(block)]
    listed = bz2.decompress(find(world, "index.txt.bz2").read_bytes()).decode().splitlines()
    assert [p.page_id for p in found if p] == list(range(1, len(listed) + 1))
    assert {p.ns for p in found if p and p.title.startswith("Talk:")} == {1}


def test_a_title_keeps_its_special_characters(tmp_path: Path) -> None:
    """Titles and texts are escaped, and a colon is a namespace only behind the name of one."""
    pages = [Page('A: "b" & <c>', "1 < 2 & 3 > 2"), Page("Template:X", "y")]
    write_dump(tmp_path, pages, dbname="testwiki", date="20260101", sitename="Test")
    xml = bz2.decompress(find_dump(tmp_path).read_bytes())
    one, two = ET.fromstring(xml).iter(f"{NS}page")
    assert (one.findtext(f"{NS}title"), one.findtext(f"{NS}ns")) == ('A: "b" & <c>', "0")
    assert one.findtext(f"{NS}revision/{NS}text") == "1 < 2 & 3 > 2"
    assert two.findtext(f"{NS}ns") == "10"


def find_dump(folder: Path) -> Path:
    """The dump in a folder of files."""
    (found,) = folder.glob("*multistream.xml.bz2")
    return found


def test_articles_have_markup_for_the_extraction_to_remove() -> None:
    """Templates, references, tables, links, files, comments and categories stand in the wikitext."""
    pages = Island(make_lexicon(1, villages=1), 2).pages(6)
    text = "\n".join(p.text for p in pages)
    marks = ("{{Infobox", "<ref>", '{| class="wikitable', "[[File:", "<!--", "[[Category:", "'''", "== ")
    assert all(mark in text for mark in marks)
    assert sum(bool(p.redirect) for p in pages) == 144


def test_the_tasks_are_in_the_official_layout(world: Path) -> None:
    """Headers, columns and the byte-order mark are those of the official files."""
    mrpc = {s: (world / "glue" / "MRPC" / f"{s}.tsv").read_bytes().decode() for s in ("train", "dev", "test")}
    assert mrpc["train"].startswith("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n")
    assert mrpc["dev"].startswith("\ufeffQuality")
    assert mrpc["test"].startswith("index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t")
    sst2 = {s: (world / "glue" / "SST-2" / f"{s}.tsv").read_text() for s in ("train", "test")}
    assert sst2["train"].splitlines()[0] == "sentence\tlabel"
    assert sst2["test"].splitlines()[0] == "index\tsentence"


@pytest.mark.parametrize("name", ["MRPC", "SST-2"])
def test_our_reader_reads_the_tasks(world: Path, name: str) -> None:
    """The readers of GLUE find as many examples as were asked for."""
    root = world / "glue" / name
    rows = {split: len(read_examples(find_task(name), root, split)) for split in SMALL.rows}
    assert rows == SMALL.rows


def test_every_task_of_glue_is_read(tmp_path: Path) -> None:
    """Each made-up set has the layout of the official one: all rows are read, labels included."""
    for name in data_sets():
        write_set(tmp_path / name, name, make_lexicon(1), rows=50, dev_rows=12, seed=2)
    for name in glue_tasks():
        task = find_task(name)
        train = read_examples(task, tmp_path / task.folder, "train")
        assert (len(train), all(e.label is not None for e in train)) == (50, True), name
        assert len({e.label for e in train}) >= 2
        assert all(bool(e.text_b) == task.pair for e in train)
        for split in ("dev", "test"):
            assert len(read_examples(task, tmp_path / task.folder, split)) == 12, name
    assert len(read_examples(find_task("AX"), tmp_path / "AX", "test")) == 12


def test_labels_follow_from_what_is_said() -> None:
    """Entailment keeps the concept, contradiction its kind; similarity is their mean; CoLA asks for order."""
    lexicon = make_lexicon(5)
    concept_of = {name: c for c in lexicon.concepts for name in c.names}

    def about(text: str) -> list:
        return [concept_of[w] for w in text.lower().replace(".", "").split() if w in concept_of]

    for a, b, label in inferences(lexicon, 100, train=False, seed=3):
        (x,), (y,) = about(a), about(b)
        assert label == ("entailment" if x is y else "contradiction" if x.kind == y.kind else "neutral")
    points = lambda x, y: 5.0 if x is y else 2.0 if x.kind == y.kind else 0.0  # noqa: E731
    for a, b, score in similarities(lexicon, 50, train=True, seed=3):
        assert float(score) == sum(map(points, about(a), about(b))) / 2
    rows = list(judgements(lexicon, 200, train=True, seed=3))
    straight = {" ".join(sorted(text.split())): text for text, _, label in rows if label == "1"}
    assert 0.6 < sum(label == "1" for _, _, label in rows) / 200 < 0.8
    assert all(straight.get(" ".join(sorted(t.split()))) != t for t, _, label in rows if label == "0")


def test_held_out_names_and_words_can_be_had_in_train(tmp_path: Path) -> None:
    """With `held_out=False` the dev set has the words of train, otherwise others."""
    words = {}
    for held_out in (True, False):
        folder = tmp_path / str(held_out)
        write_set(folder, "SST-2", make_lexicon(1), rows=300, dev_rows=100, seed=1, held_out=held_out)
        for split in ("train", "dev"):
            text = (folder / f"{split}.tsv").read_text().replace(",", "")
            words[held_out, split] = {*PRAISE, *BLAME} & set(text.split())
    assert not words[True, "train"] & words[True, "dev"]
    assert words[False, "dev"] <= words[False, "train"]


def test_the_official_files_have_the_same_layout(world: Path, tmp_path: Path, real_data: Path) -> None:
    """First lines and numbers of columns equal those of the official files, for every split."""
    for name in ("CoLA", "QNLI", "RTE", "WNLI"):
        write_set(tmp_path / name, name, make_lexicon(1), rows=9, dev_rows=9, seed=2)
    for folder in (world / "glue", tmp_path):
        for path in sorted(folder.rglob("*.tsv")):
            real = real_data / "glue" / path.relative_to(folder)
            if not real.exists():  # QNLI's train
                continue
            ours, theirs = (p.read_bytes().decode().split("\n") for p in (path, real))
            assert ours[0] == theirs[0] or path.parts[-2:] in {("CoLA", "train.tsv"), ("CoLA", "dev.tsv")}
            assert ours[1].count("\t") == theirs[1].count("\t")


def test_dev_compares_names_that_train_does_not_have() -> None:
    """In the pairs, no name of the island occurs both in train and elsewhere, nor in both passages."""
    lexicon = make_lexicon(5)
    names = {name for c in lexicon.concepts for name in c.names}

    def used(text: str) -> set[str]:
        return names & set(text.lower().replace(".", "").split())

    train, dev = (pairs(lexicon, 300, train=t, seed=9) for t in (True, False))
    seen = [set().union(*(used(p.first) | used(p.second) for p in rows)) for rows in (train, dev)]
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == names
    assert not any(used(p.first) & used(p.second) for p in (*train, *dev))


def test_a_pair_has_the_label_of_its_concepts() -> None:
    """Two passages have label 1 just when all their names are of one concept; a kind says nothing."""
    lexicon = make_lexicon(5)
    concept_of = {name: c for c in lexicon.concepts for name in c.names}
    for pair in pairs(lexicon, 200, train=False, seed=3):
        words = f"{pair.first} {pair.second}".lower().replace(".", "").split()
        concepts = {id(concept_of[w]) for w in words if w in concept_of}
        assert pair.same == (len(concepts) == 1)
        assert len({concept_of[w].kind for w in words if w in concept_of}) == 1


def test_the_words_of_critics_are_apart() -> None:
    """An opinion has words of its label only, and train and dev share none of them."""
    seen = []
    for train in (True, False):
        rows = opinions(200, train=train, seed=4)
        words = {row.good: set() for row in rows}
        for row in rows:
            words[row.good] |= set(row.text.replace(",", "").split())
        assert not words[True] & set(BLAME)
        assert not words[False] & set(PRAISE)
        seen.append((words[True] | words[False]) & {*PRAISE, *BLAME})
    assert not seen[0] & seen[1]


def test_draws_are_those_of_random_random() -> None:
    """A draw uses nothing of `random` but what Python promises to keep, and shuffles without loss."""
    assert [Draw(7).below(1000), Draw(7).pick("abc")] == [323, "a"]
    assert sorted(Draw(1).shuffled(range(20))) == list(range(20))
    assert Draw(1).shuffled(range(20)) != list(range(20))


DIGEST = "ff81d11df6d1f496af9003a20f5cca6247947218bca232e0b7959499c7ed34fd"
