"""Reports are rendered by Codebraid to Markdown and to one self-contained page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stagedml.errors import ReportError
from stagedml.report.render import main, render_report

REPORT = """\
# A tiny report

It's *short*.

```{.python .cb.nb show=code+stdout:raw}
import sys
from os import environ
from os.path import join
from helper import NUMBER
from stagedml.core import *
p=join(environ['REPOUT'],"graph.png")
write_picture(graph_svg({'a': Box('fetch'), 'b': Box('train')}, [('a', 'b')]), Path(p))
print(f"![]({p})")
```

```{.python .cb.run}
print(markdown_table(['Task', 'A much longer heading than the text below it needs, so that widths show'],
                     [['MRPC', NUMBER]]))
```

```{.python .cb.nb}
print(sys.executable, {'b', 'a', 'c'})
print('AnyError: only a log line', file=sys.stderr)
```

The number is `NUMBER`{.python .cb.expr}.

``` sh
$ make train
```
"""


def write_report(folder: Path, text: str = REPORT) -> Path:
    """A report with a module beside it, in a folder with a space in its name."""
    here = folder / "my report"
    here.mkdir()
    (here / "helper.py").write_text("NUMBER = 41.5\n")
    (here / "Report.md.in").write_text(
        text.replace("from os import environ", "from os import environ\nfrom pathlib import Path")
    )
    return here / "Report.md.in"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """The two pages of the tiny report, and their folder."""
    source = write_report(tmp_path_factory.mktemp("render"))
    md, html = source.parent / "out dir" / "Report.md", source.parent / "out_html" / "Report.html"
    render_report(source, md=md, html=html)
    return md.read_text(encoding="utf-8"), html.read_text(encoding="utf-8"), source.parent


def test_the_markdown_shows_code_output_table_and_picture(rendered: tuple[str, str, Path]) -> None:
    """Cells show what they were told to; the picture is named as the page sees it; tables keep their form."""
    md, _, folder = rendered
    assert "``` python\nimport sys\n" in md
    assert "![](graph.png)" in md
    assert (folder / "out dir" / "graph.png").is_file()
    assert re.search(r"^\| MRPC +\| +41\.50 \|$", md, re.MULTILINE)
    assert "The number is 41.5." in md
    assert "$ make train" in md


def test_the_page_is_one_file_with_everything_in_it(rendered: tuple[str, str, Path]) -> None:
    """Pictures are inside, nothing is fetched, wide tables scroll, the title is the heading."""
    _, html, folder = rendered
    assert '<img src="data:image/png;base64,' in html
    assert not re.search(r'(src|href)="(?!#|data:)', html)
    assert '<div class="table-scroll">' in html
    assert "<col " not in html
    assert "<title>A tiny report</title>" in html
    assert sorted(p.name for p in (folder / "out_html").iterdir()) == ["Report.html"]


def test_cells_run_with_this_python(rendered: tuple[str, str, Path]) -> None:
    """Not with whatever `python3` the path has first."""
    assert sys.executable in rendered[0]


def test_rendering_again_gives_the_same_bytes(rendered: tuple[str, str, Path], tmp_path: Path) -> None:
    """Sets print in one order, pictures are the same, no dates: a report changes when its numbers do."""
    md, html, folder = rendered
    again_md, again_html = tmp_path / "out dir" / "Report.md", tmp_path / "Report.html"
    render_report(folder / "Report.md.in", md=again_md, html=again_html)
    assert again_md.read_text(encoding="utf-8") == md
    assert again_html.read_text(encoding="utf-8") == html


CELL = "# T\n\n```{{.python .cb.run}}\na = 1\nb = 2\n```\n\n```{{.python .cb.run}}\nc = 3\n{}\n```\n\nEnd.\n"


@pytest.mark.parametrize(
    ("code", "line", "message"),
    [
        ("1 / 0", 10, "ZeroDivisionError: division by zero"),
        ("def f(:", 10, "SyntaxError"),
        ("raise SystemExit(3)", 9, "the Python process ended in this cell"),
        ("import os; os._exit(0)", 9, "the Python process ended in this cell"),
        ("from stagedml.errors import DataError; raise DataError('no row', hint='mend it')", 10, "no row"),
    ],
)
def test_a_failing_cell_fails_the_build_and_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], code: str, line: int, message: str
) -> None:
    """Status 2, the cell's own error and its line in the report; an older page stays as it was."""
    source = write_report(tmp_path, CELL.format(code))
    page = tmp_path / "Report.md"
    page.write_text("older")
    assert main([str(source), "--md", str(page)]) == 2
    err = capfd.readouterr().err
    assert f"{source}:{line}: a cell failed" in err
    assert message in err
    assert page.read_text() == "older"


def test_a_missing_picture_fails_the_build(tmp_path: Path) -> None:
    """A report without its chart is no report."""
    source = write_report(tmp_path, CELL.format("print('![](chart.png)')"))
    with pytest.raises(ReportError, match=r"no picture chart\.png"):
        render_report(source, html=tmp_path / "out" / "Report.html")


def test_a_cell_with_a_wrong_option_is_named(tmp_path: Path) -> None:
    """Codebraid's own complaints come with their line, before anything runs."""
    source = write_report(tmp_path, "```{.python .cb.bogus}\n1\n```\n")
    with pytest.raises(ReportError, match=r"Report\.md\.in:2: .*\n.*cb\.bogus"):
        render_report(source, md=tmp_path / "Report.md")


def test_wrong_calls_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No page asked for, no such report: one message, status 2."""
    source = write_report(tmp_path)
    assert main([str(source)]) == 2
    assert "nothing to write" in capsys.readouterr().err
    assert main([str(tmp_path / "none.md.in"), "--md", str(tmp_path / "x.md")]) == 2
    assert "no such report" in capsys.readouterr().err


def test_the_module_runs_and_leaves_no_litter(tmp_path: Path) -> None:
    """`python -m stagedml.report.render` says what it wrote; nothing is left in the folder or at home."""
    source = write_report(tmp_path, "# T\n\nWords.\n\n```{.python .cb.run}\nprint('![](<a b.svg>)')\n```\n")
    (source.parent / "a b.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    home = tmp_path / "home"
    home.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")} | {"HOME": str(home)}
    command = [
        sys.executable,
        "-m",
        "stagedml.report.render",
        "Report.md.in",
        "--md",
        "out/R.md",
        "--html",
        "h/R.html",
    ]
    done = subprocess.run(command, cwd=source.parent, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["wrote out/R.md", "wrote h/R.html"]
    assert "data:image/svg+xml;base64," in (source.parent / "h" / "R.html").read_text(encoding="utf-8")
    assert "![](../a%20b.svg)" in (source.parent / "out" / "R.md").read_text(encoding="utf-8")
    assert not list(home.iterdir())
    left = {p.name for p in source.parent.iterdir()} - {"__pycache__"}
    assert left == {"Report.md.in", "helper.py", "a b.svg", "out", "h"}


def test_a_page_is_the_same_whether_its_stages_were_built_or_reused(tmp_path: Path) -> None:
    """What a stage prints goes to its log and the terminal, not into the page."""
    code = (
        "from pathlib import Path\nfrom stagedml.core import *\n"
        "@stage()\ndef noisy(b: Build, out: Path = promise('out.txt')) -> None:\n"
        "    print('building away')\n    out.write_text('1')\n"
        f"with using(Store({str(tmp_path / 'store')!r})):\n"
        "    print(readstr(mklens(realize(instantiate(noisy))).out.syspath))\n"
    )
    source = write_report(tmp_path, f"```{{.python .cb.run}}\nfrom stagedml.store import using\n{code}```\n")
    pages = [tmp_path / "first.md", tmp_path / "second.md"]
    for page in pages:
        render_report(source, md=page)
    assert pages[0].read_text() == pages[1].read_text()
    assert "building away" not in pages[0].read_text()
