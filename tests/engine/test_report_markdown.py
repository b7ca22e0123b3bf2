"""Markdown pieces for report cells."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import pandas as pd
import pytest

from stagedml.errors import ConfigError, MissingError
from stagedml.report.markdown import (
    altair_print,
    markdown_altair,
    markdown_image,
    markdown_table,
    markdown_url,
    readstr,
)


@pytest.fixture
def chart() -> alt.Chart:
    """A line of three points."""
    frame = pd.DataFrame({"step": [0, 1, 2], "loss": [3.0, 2.0, 1.5]})
    return alt.Chart(frame).mark_line().encode(x="step", y="loss")


def test_a_table_aligns_numbers_and_keeps_cells_apart() -> None:
    """Floats get their digits, None is empty, bars and line ends cannot break the table."""
    table = markdown_table(["Task", "Accuracy, %"], [["MRPC|x", 76.0], ["a\nb", None]], digits=1)
    assert table.split("\n") == [
        "| Task    | Accuracy, % |",
        "| ------- | ----------: |",
        r"| MRPC\|x |        76.0 |",
        "| a b     |             |",
    ]


def test_numbers_written_as_text_are_numbers() -> None:
    """A column of counts with separators or percentages stands to the right; a mixed one does not."""
    rules = markdown_table(["n", "share", "name"], [["1,234", "5 %", "MRPC"], ["7", "-0.5%", "3"]]).split(
        "\n"
    )[1]
    assert rules == "| ----: | ----: | ---- |"


def test_a_table_takes_links() -> None:
    """A link whose text has a bar in it is a cell like any other."""
    link = markdown_url("https://host/a b(c)", descr="x|[y]")
    assert link == r"[x\|\[y\]](https://host/a%20b%28c%29)"
    assert link in markdown_table(["Link"], [[link]])
    assert markdown_url("https://host/f") == "[https://host/f](https://host/f)"


def test_a_row_of_the_wrong_length_is_named() -> None:
    """A table with holes raises instead of shifting its columns."""
    with pytest.raises(ConfigError, match="row 2 of a table: 1 cells for 2 headers"):
        markdown_table(["a", "b"], [[1, 2], [1]])


def test_a_chart_goes_to_the_reports_folder(
    tmp_path: Path, chart: alt.Chart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PNG or SVG by the suffix, in `$REPOUT`; the line shows it relative to that folder."""
    monkeypatch.setenv("REPOUT", str(tmp_path / "out dir"))
    assert markdown_altair(chart, "loss.png") == "![](./loss.png)"
    altair_print(chart, "loss.svg")
    assert capsys.readouterr().out == "![](./loss.svg)\n"
    assert (tmp_path / "out dir" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "out dir" / "loss.svg").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"not '\.gif'"):
        markdown_altair(chart, "loss.gif")


def test_a_chart_is_the_same_bytes_every_time(
    tmp_path: Path, chart: alt.Chart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rendering a report again changes nothing in its folder."""
    monkeypatch.setenv("REPOUT", str(tmp_path))
    markdown_altair(chart, "a.png")
    markdown_altair(chart, "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_file_names_with_blanks_are_safe() -> None:
    """A name that would end the Markdown link early is bracketed."""
    assert markdown_image("a.png", "A") == "![A](a.png)"
    assert markdown_image("a b.png") == "![](<a b.png>)"


def test_readstr_reads_and_says_what_is_missing(tmp_path: Path) -> None:
    """The text without its last line end; a missing file is a typed error."""
    (tmp_path / "traintime.txt").write_text("12.5\n")
    assert float(readstr(tmp_path / "traintime.txt")) == 12.5
    with pytest.raises(MissingError, match="nowhere"):
        readstr(str(tmp_path / "nowhere"))
