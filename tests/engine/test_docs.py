"""The documents run: code in them that is marked as runnable is executed, and shows what it says.

Marked are blocks fenced as `python run`, which are executed, and as `pycon`, whose `>>>` lines have to print
what follows them. The blocks of one document share a namespace and a fresh store, from top to bottom.
"""

from __future__ import annotations

import doctest
import linecache
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stagedml import Store

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """One runnable block and the line on which its code begins, counted from 0."""

    kind: str
    code: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    """The runnable blocks of a document, in order."""
    for found in FENCE.finditer(text):
        info = found["info"].split()
        if info == ["pycon"] or (info[:1] == ["python"] and "run" in info[1:]):
            yield Block(info[0], found["code"], text.count("\n", 0, found.start("code")))


def run_document(text: str, name: str) -> None:
    """Runs the blocks. Raises what they raise, with the lines of the document; output that is not as shown
    fails the test."""
    source = f"<{name}>"
    names: dict[str, Any] = {"__name__": re.sub(r"\W", "_", name)}
    python = [""] * (text.count("\n") + 1)
    for block in blocks(text):
        if block.kind == "pycon":
            case = doctest.DocTestParser().get_doctest(block.code, names, name, name, block.line)
            case.globs = names  # not a copy: what the lines define is there for the next block
            _check(case)
            continue
        lines = block.code.splitlines()
        python[block.line : block.line + len(lines)] = lines
        whole = [f"{line}\n" for line in python]
        linecache.cache[source] = (
            sum(map(len, whole)),
            None,
            whole,
            source,
        )  # stages are asked for their source
        exec(compile("\n" * block.line + block.code, source, "exec"), names)


def _check(case: doctest.DocTest) -> None:
    try:
        doctest.DebugRunner(optionflags=FLAGS).run(case, clear_globs=False)
    except doctest.DocTestFailure as e:
        where = f"{case.name}:{(case.lineno or 0) + e.example.lineno + 1}"
        pytest.fail(
            f"{where}\n{e.example.source}the page says\n{e.example.want}and it was\n{e.got}", pytrace=False
        )
    except doctest.UnexpectedException as e:
        raise e.exc_info[1] or e from None


DOCUMENTS = {
    str(path.relative_to(ROOT)): path
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    if any(blocks(path.read_text(encoding="utf-8")))
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document(name: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every runnable block of a document does what the document says."""
    monkeypatch.chdir(tmp_path)
    run_document(DOCUMENTS[name].read_text(encoding="utf-8"), name)


def test_the_documents_that_promise_to_run_do() -> None:
    """The pages that are written as tests have blocks to run: a changed fence does not switch one off."""
    assert {"docs/concepts.md", "docs/store-format.md"} <= set(DOCUMENTS)


def test_blocks_share_names_and_errors_name_the_line_of_the_document() -> None:
    """A later block sees an earlier one's names; a failing one is reported at its place in the page."""
    page = (
        "# A page\n\n```python run\nx = 1\n```\n\n```pycon\n>>> x + 1\n2\n```\n\n```python run\nx / 0\n```\n"
    )
    with pytest.raises(ZeroDivisionError) as e:
        run_document(page, "page.md")
    assert e.traceback[-1].lineno + 1 == 13


def test_wrong_output_is_an_error() -> None:
    """A `>>>` line that prints something else than the page says fails, and shows both."""
    said = "page.md:2\n1 + 1\nthe page says\n3\nand it was\n2"
    with pytest.raises(pytest.fail.Exception, match=re.escape(said)):
        run_document("```pycon\n>>> 1 + 1\n3\n```\n", "page.md")


def test_other_blocks_are_left_alone() -> None:
    """Only marked blocks run: plain `python` is an illustration, and other languages are not ours."""
    assert list(blocks("```python\nraise SystemExit\n```\n\n```sh\nfalse\n```\n")) == []
