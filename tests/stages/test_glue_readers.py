"""Readers of the GLUE tasks: official sizes, the quirks of the files, and complaints that name a line."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from stagedml.errors import ConfigError, DataError
from stagedml.stages.glue.readers import Example, has_split, parse_examples, read_examples
from stagedml.stages.glue.tasks import TASKS, find_task, glue_tasks

DATA = Path(os.environ.get("STAGEDML_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = [
    pytest.mark.data,
    pytest.mark.skipif(not (DATA / "glue").is_dir(), reason="no real data ($STAGEDML_DATA)"),
]


def real(*args: object) -> object:
    """A test case that needs the real data."""
    return pytest.param(*args, marks=needs_data)


def write(folder: Path, name: str, text: str | bytes) -> Path:
    """Writes one file of a loose folder and returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def fields(examples: list[Example]) -> list[tuple[str, str | None, str | None]]:
    """What matters to a model."""
    return [(e.text_a, e.text_b, e.label) for e in examples]


@pytest.mark.parametrize(
    ("task", "split", "rows", "labels"),
    [
        real("CoLA", "train", 8551, {"1": 6023, "0": 2528}),
        real("CoLA", "dev", 1043, {"1": 721, "0": 322}),
        real("CoLA", "test", 1063, {None: 1063}),
        real("RTE", "train", 2490, {"entailment": 1249, "not_entailment": 1241}),
        real("RTE", "dev", 277, {"entailment": 146, "not_entailment": 131}),
        real("WNLI", "train", 635, {"0": 323, "1": 312}),
        real("WNLI", "dev", 71, {"0": 40, "1": 31}),
        real("SST-2", "train", 67349, {"1": 37569, "0": 29780}),
        real("SST-2", "dev", 872, {"1": 444, "0": 428}),
        real("MRPC", "train", 3668, {"1": 2474, "0": 1194}),
        real("MRPC", "dev", 408, {"1": 279, "0": 129}),
        real("MRPC", "test", 1725, {None: 1725}),
        real("QNLI", "dev", 5463, {"not_entailment": 2761, "entailment": 2702}),
        real("QNLI", "test", 5463, {None: 5463}),
    ],
)
def test_official_sets_have_their_published_sizes(
    task: str, split: str, rows: int, labels: dict[str | None, int]
) -> None:
    """Every row of a real set is read, and the labels occur as often as published."""
    examples = read_examples(find_task(task), DATA / "glue", split)
    assert len(examples) == rows
    assert dict(Counter(e.label for e in examples)) == labels


@pytest.mark.parametrize("task", [real("CoLA"), real("RTE"), real("WNLI")])
def test_an_official_zip_reads_like_the_folder(task: str) -> None:
    """The archive itself gives the same examples as the folder that was unpacked from it."""
    for split in ("train", "dev", "test"):
        loose = read_examples(find_task(task), DATA / "glue" / task, split)
        assert read_examples(find_task(task), DATA / "glue" / "zips" / f"{task}.zip", split) == loose


@pytest.mark.parametrize("split", [real("train"), real("dev"), real("test")])
def test_mrpc_from_its_raw_files_equals_the_official_tsv(split: str, tmp_path: Path) -> None:
    """The raw files with the list of dev ids give the same sets, in the same order."""
    for name in ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt", "dev_ids.tsv"):
        write(tmp_path, name, (DATA / "glue" / "MRPC" / name).read_bytes())
    task = find_task("MRPC")
    official = read_examples(task, DATA / "glue", split)
    assert fields(read_examples(task, tmp_path, split)) == fields(official)


@pytest.mark.parametrize(
    ("task", "folder", "names"),
    [
        real("MNLI-m", "MNLI", ("train", "dev")),
        real("QQP", "QQP", ("train", "dev")),
        real("SNLI", "SNLI", ("train", "dev")),
    ],
)
def test_samples_of_the_large_tasks_are_read_whole(task: str, folder: str, names: tuple[str, ...]) -> None:
    """Ragged SNLI rows, 12-column MNLI rows and QQP rows all keep their texts and a known label."""
    found = find_task(task)
    for seed in (13, 21, 42, 87, 100):
        for split in names:
            examples = read_examples(found, DATA / "glue-kshot" / folder / f"16-{seed}", split)
            assert len(examples) == 16 * len(found.labels)
            assert set(Counter(e.label for e in examples).values()) == {16}
            assert all(e.text_a and e.text_b and "\t" not in e.text_b for e in examples)


def test_quotes_and_unicode_line_ends_are_text(tmp_path: Path) -> None:
    """A lone quote opens nothing, and U+0085 or a form feed inside a sentence does not end its row."""
    body = 'sentence\tlabel\n"it is\t1\nso" \u0085 and\x0c so\t0\n'
    examples = read_examples(find_task("SST-2"), write(tmp_path, "train.tsv", body), "train")
    assert fields(examples) == [('"it is', None, "1"), ('so" \u0085 and\x0c so', None, "0")]


def test_byte_order_mark_windows_line_ends_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    """The header is found behind a byte-order mark, and line numbers count blank lines."""
    body = b"\xef\xbb\xbfsentence\tlabel\r\ngood\t1\r\n\r\nbad\t0"
    examples = read_examples(find_task("SST-2"), write(tmp_path, "dev.tsv", body), "dev")
    assert [(e.text_a, e.label, e.line) for e in examples] == [("good", "1", 2), ("bad", "0", 4)]


def test_a_latin_1_line_does_not_spoil_the_others(tmp_path: Path) -> None:
    """A line that is not UTF-8 is taken as Latin-1; its neighbours stay UTF-8."""
    body = "sentence\tlabel\ncaf\u00e9\t1\n".encode() + "caf\u00e9\t0\n".encode("latin-1")
    examples = read_examples(find_task("SST-2"), write(tmp_path, "dev.tsv", body), "dev")
    assert [e.text_a for e in examples] == ["café", "café"]


def test_the_snli_release_drops_rows_without_gold_label(tmp_path: Path) -> None:
    """Rows labelled '-' are dropped, in the release's own layout too, and its test set keeps its labels."""
    head = "gold_label\tsentence1\tsentence2\tlabel1\n"
    body = head + "neutral\ta\tb\tneutral\n-\tc\td\tneutral\nentailment\te\tf\n"
    write(tmp_path / "snli_1.0", "snli_1.0_test.txt", body)
    examples = read_examples(find_task("SNLI"), tmp_path, "test")
    assert fields(examples) == [("a", "b", "neutral"), ("e", "f", "entailment")]


def test_qqp_rows_cut_by_a_line_break_are_dropped(tmp_path: Path) -> None:
    """A question with a line break leaves two short rows; the official count leaves them out."""
    head = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    body = head + "1\t2\t3\tWhy?\tHow?\t0\n4\t5\t6\tWhat\nis it?\tThat?\t1\n7\t8\t9\tOne?\tTwo?\t1\n"
    examples = read_examples(find_task("QQP"), write(tmp_path, "train.tsv", body), "train")
    assert fields(examples) == [("Why?", "How?", "0"), ("One?", "Two?", "1")]


def test_stsb_scores_are_numbers_between_0_and_5(tmp_path: Path) -> None:
    """A regression keeps its score as text, and refuses one that is no number or out of range."""
    head = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    row = "0\tg\tf\ty\t1\tn\tn\ta plane\ta jet\t{}\n"
    task = find_task("STS-B")
    good = read_examples(task, write(tmp_path / "a", "dev.tsv", head + row.format("3.800")), "dev")
    assert fields(good) == [("a plane", "a jet", "3.800")]
    for bad, what in (("x", "not a number"), ("5.5", "outside 0 to 5"), ("nan", "not a number")):
        with pytest.raises(DataError, match=rf"dev\.tsv:2: the score .*{what}"):
            read_examples(task, write(tmp_path / bad, "dev.tsv", head + row.format(bad)), "dev")


def test_a_diagnostic_set_has_texts_and_ids(tmp_path: Path) -> None:
    """AX has only a test set; a row is named by the index that a submission needs."""
    body = "index\tsentence1\tsentence2\n7\tThe cat sat.\tThe cat did not sit.\n"
    examples = read_examples(find_task("ax"), write(tmp_path, "AX.tsv", body), "test")
    assert [(e.uid, e.label) for e in examples] == [("7", None)]


@pytest.mark.parametrize(
    ("task", "body", "message"),
    [
        ("SST-2", "", r"train\.tsv:1: the file is empty"),
        ("SST-2", "sentence\tlabel\n", r"train\.tsv:1: no rows"),
        ("SST-2", "text\tlabel\na\t1\n", r"train\.tsv:1: no column 'sentence'.*\n.*'text', 'label'"),
        ("SST-2", "sentence\tlabel\na\t1\nb\tgood\n", r"train\.tsv:3: unknown label 'good'\n.*0, 1"),
        ("RTE", "index\tsentence1\tsentence2\tlabel\n0\ta\n", r"train\.tsv:2: 2 columns, at least 4"),
        ("CoLA", "sentence\tlabel\na\t1\n", r"train\.tsv:1: 2 columns, not 4"),
        ("SNLI", "sentence1\tsentence2\tgold_label\na\tb\n", r"train\.tsv:2: 2 columns, at least 3"),
    ],
)
def test_bad_files_are_named_with_their_line(task: str, body: str, message: str, tmp_path: Path) -> None:
    """A missing column, an unknown label, a short row or an empty file says where it is."""
    with pytest.raises(DataError, match=message):
        read_examples(find_task(task), write(tmp_path, "train.tsv", body), "train")


def test_a_missing_set_says_what_was_looked_for(tmp_path: Path) -> None:
    """A folder without the split, a path that is nothing and a broken archive are three clear errors."""
    with pytest.raises(DataError, match=r"no dev set of RTE\n.*dev\.tsv"):
        read_examples(find_task("RTE"), tmp_path, "dev")
    with pytest.raises(DataError, match="no such file or folder"):
        read_examples(find_task("RTE"), tmp_path / "nowhere", "dev")
    (tmp_path / "RTE.zip").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        read_examples(find_task("RTE"), tmp_path / "RTE.zip", "dev")
    with pytest.raises(DataError, match="dev ids is missing"):
        read_examples(find_task("MRPC"), write(tmp_path, "msr_paraphrase_train.txt", "x"), "train")


def test_has_split_looks_into_archives(tmp_path: Path) -> None:
    """Whether a set is there is known without reading it."""
    with zipfile.ZipFile(tmp_path / "RTE.zip", "w") as archive:
        archive.writestr("RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n")
    task = find_task("RTE")
    assert has_split(task, tmp_path / "RTE.zip", "dev")
    assert not has_split(task, tmp_path / "RTE.zip", "train")


def test_an_unknown_task_lists_the_known_ones() -> None:
    """The error names every task."""
    with pytest.raises(ConfigError, match=r"no GLUE task 'mrcp'(.|\n)*CoLA, SST-2, MRPC, STS-B.*AX"):
        find_task("mrcp")
    assert find_task("mnli-MM").name == "MNLI-mm"
    assert glue_tasks() == [name for name in (t.name for t in TASKS.values()) if name != "AX"]
    assert len(glue_tasks()) == 11


def test_rows_can_be_chosen_before_they_are_checked() -> None:
    """`keep` sees a row first, so that a row of the other set raises nothing."""
    data = b"sentence\tlabel\na\t1\nb\tbad\n"
    examples = parse_examples(find_task("SST-2"), data, split="train", where="x", keep=lambda r: r[0] == "a")
    assert fields(examples) == [("a", None, "1")]
