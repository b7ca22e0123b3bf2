"""Runs the cells of a report with Codebraid: `python -m stagedml.report.cells SOURCE OUTCOME`.

The renderer starts this in a process of its own, in the report's folder, because Codebraid works on the
current folder and on the environment. The outcome is a JSON file: the finished document as Pandoc's tree,
or what failed and where.

A cell has failed when the session did not get to its end. (Codebraid by itself takes any `...Error:` on
stderr for a failure, and fails the build for a log line that quotes one.) Its cache is off: it goes by the
text of the cells, while their results depend on the store.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stagedml.report.pandoc import pandoc_path

_SESSION_LINE = re.compile(r'File "source\.py", line (\d+)')
LIVE = "STAGEDML_REPORT_LIVE"


def run_cells(source: Path, scratch: Path) -> dict[str, Any]:
    """{"tree": the document} after the cells of `source` ran, or {"failures": [{"line", "text"}, ...]}."""
    from codebraid.code_chunks import Options
    from codebraid.codebraid_defaults import CodebraidDefaults
    from codebraid.converters import PandocConverter
    from codebraid.language import languages

    python = languages["python"]
    python.executable = sys.executable  # else the first python3 of $PATH, which need not know stagedml
    python.error_patterns = python.warning_patterns = []
    for shown in (*Options._default_block_show.values(), *Options._default_inline_show.values()):
        shown.pop("stderr", None)  # there are progress and times: only in cells that ask for it
    defaults = CodebraidDefaults()
    if os.environ.get(LIVE):
        defaults["live_output"] = True
    with _no_home(scratch):
        converter = PandocConverter(
            paths=[source],
            from_format="markdown",
            pandoc_path=pandoc_path(),
            no_cache=True,
            cache_path=scratch / "codebraid",
            codebraid_defaults=defaults,
        )
    converter.extract_code_chunks()
    failures = _bad_syntax(converter.code_chunks)
    if failures:
        return {"failures": failures}
    try:
        converter.process_code_chunks()
        failures = _complaints(converter.code_chunks)
        if not failures:
            converter.exec_code_chunks()
            failures = _failures(converter.code_chunks)
        if failures:
            return {"failures": failures}
        for chunk in converter.code_chunks:
            if not chunk.inline and chunk.stdout_lines:
                chunk.stdout_lines.append("")  # else a printed table runs into the output before it
        tree = scratch / "tree.json"
        converter.convert(to_format="json", output_path=tree, overwrite=True, standalone=False)
        return {"tree": json.loads(tree.read_text(encoding="utf-8"))}
    finally:
        converter.cleanup()


@contextmanager
def _no_home(scratch: Path) -> Iterator[None]:
    """Codebraid writes a template to the user's Pandoc folder: give it one that goes away."""
    before = os.environ.get("XDG_DATA_HOME")
    (scratch / "pandoc").mkdir()
    os.environ["XDG_DATA_HOME"] = str(scratch)
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_DATA_HOME"]
        else:
            os.environ["XDG_DATA_HOME"] = before


def _bad_syntax(chunks: list[Any]) -> list[dict[str, Any]]:
    """Cells that are no Python, found before any of them runs."""
    failures = []
    for chunk in chunks:
        if (
            not chunk.execute
            or chunk.options.get("lang") != "python"
            or not chunk.options.get("complete", True)
        ):
            continue
        try:
            compile(chunk.code_str + "\n", "<cell>", "exec")
        except SyntaxError as e:
            line = chunk.origin_start_line_number + (e.lineno or 1) - 1
            failures.append({"line": line, "text": f"{(e.text or '').rstrip()}\nSyntaxError: {e.msg}"})
    return failures


def _failures(chunks: list[Any]) -> list[dict[str, Any]]:
    """What kept a session from its end: the traceback of the cell it died in, or Codebraid's complaints."""
    sessions = {id(c.code_collection): c.code_collection for c in chunks if c.execute}
    failures = []
    for session in sessions.values():
        dead = _died_in(session)
        if dead is not None:
            text = "\n".join(dead.stderr_lines) or "the Python process ended in this cell without a word"
            failures.append({"line": _source_line(session.code_chunks, dead, text), "text": text})
    return failures or _complaints(chunks)


def _complaints(chunks: list[Any]) -> list[dict[str, Any]]:
    """What Codebraid itself found wrong: unknown options, output that is no UTF-8, no Python at all."""
    told = [(c.origin_start_line_number, e) for c in chunks for e in c.errors]
    for session in {id(c.code_collection): c.code_collection for c in chunks}.values():
        told += [(session.code_chunks[0].origin_start_line_number, e) for e in session.errors]
    return [{"line": line, "text": "\n".join(e.message or [])} for line, e in told]


def _died_in(session: Any) -> Any:
    """The cell whose end mark the session never wrote, or None."""
    ends = session.expected_stdout_end_delim_chunks
    unfinished = [index for index in sorted(ends) if ends[index] != 0]
    return session.code_chunks[unfinished[0]] if unfinished else None


def _source_line(chunks: list[Any], failed: Any, text: str) -> int:
    """The line of the report that a traceback's deepest frame among the cells stands for."""
    found: list[str] = _SESSION_LINE.findall(text)
    if found:
        line = int(found[-1])
        for chunk in chunks:
            offset = line - int(chunk.code_start_line_number)
            if chunk.execute and not chunk.inline and 0 <= offset < len(chunk.code_lines):
                return int(chunk.origin_start_line_number) + offset
    return int(failed.origin_start_line_number)


def main(argv: Sequence[str]) -> int:
    source, outcome = Path(argv[0]), Path(argv[1])
    if not sys.stderr.isatty() and not os.environ.get(LIVE):
        from codebraid.terminal import stderr_term

        stderr_term.stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - a line a cell is noise
    with tempfile.TemporaryDirectory(prefix="stagedml-report-") as scratch:
        result = run_cells(source, Path(scratch))
    outcome.write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
