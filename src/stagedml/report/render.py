"""Renders a report: runs its cells and writes one Markdown and one self-contained HTML page.

    python -m stagedml.report.render Report.md.in --md out/Report.md --html out_html/Report.html

The source is Markdown with Codebraid cells, such as

    ```{.python .cb.nb show=code+stdout:raw}
    print(markdown_altair(chart, 'accuracy.png'))
    ```

Cells run in the report's folder with this Python, one after the other in one session, with `$REPOUT` set to
the folder for pictures. When a cell fails, nothing is written. Equal cell outputs give equal pages.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stagedml.errors import ReportError, StagedmlError
from stagedml.report import pandoc
from stagedml.report.cells import LIVE
from stagedml.report.pagestyle import PAGE_STYLE

SHOWN_LINES = 40


def render_report(
    source: Path,
    *,
    md: Path | None = None,
    html: Path | None = None,
    repout: Path | None = None,
    live: bool = False,
) -> None:
    """Runs the cells of `source` once and writes `md` (GitHub's Markdown) and `html` (pictures inside).

    Pictures go to `repout`, by default the folder of `md`, else that of `html`. `live` shows what the cells
    print while they run. Raises `ReportError` when a cell or Pandoc fails, or a picture is missing.
    """
    pages = [p for p in (md, html) if p is not None]
    if not pages:
        raise ReportError("nothing to write", where=str(source), hint="give --md FILE, --html FILE or both")
    if not source.is_file():
        raise ReportError("no such report", where=str(source))
    repout = (repout or pages[0].parent).absolute()
    for folder in (repout, *(p.parent for p in pages)):
        folder.mkdir(parents=True, exist_ok=True)
    tree = _run_cells(source, repout, live=live)
    pandoc.free_table_widths(tree)
    folders = [source.absolute().parent, repout]
    if md is not None:
        _write(md, _markdown(copy.deepcopy(tree), md, folders))
    if html is not None:
        _write(html, _html(tree, source, folders))


def _run_cells(source: Path, repout: Path, *, live: bool) -> pandoc.Tree:
    here = source.absolute().parent
    env = dict(os.environ, REPOUT=os.path.relpath(repout, here))
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(here), os.environ.get("PYTHONPATH")]))
    env.setdefault("PYTHONHASHSEED", "0")  # a set that is printed is printed alike every time
    env["PYTHONIOENCODING"] = "utf-8"
    env[LIVE] = "1" if live else ""
    with tempfile.TemporaryDirectory(prefix="stagedml-report-") as folder:
        outcome = Path(folder, "outcome.json")
        done = subprocess.run(
            [sys.executable, "-m", "stagedml.report.cells", source.name, str(outcome)],
            cwd=here,
            env=env,
            check=False,
        )
        if done.returncode or not outcome.is_file():
            raise ReportError(f"Codebraid ended with status {done.returncode}", where=str(source))
        result = json.loads(outcome.read_text(encoding="utf-8"))
    if failures := result.get("failures"):
        raise ReportError(
            "a cell failed\n" + "\n\n".join(_shown(f["text"]) for f in failures),
            where=f"{source}:{failures[0]['line']}",
            hint="nothing was written; mend the cell and render again",
        )
    tree: pandoc.Tree = result["tree"]
    return tree


def _shown(text: str) -> str:
    """The end of a cell's stderr, where the traceback is, indented."""
    lines = [line.rsplit("\r", 1)[-1] for line in text.strip().split("\n")]
    kept = ["..."] * (len(lines) > SHOWN_LINES) + lines[-SHOWN_LINES:]
    return "\n".join(f"    {line}" for line in kept)


def _markdown(tree: pandoc.Tree, page: Path, folders: list[Path]) -> str:
    pandoc.point_images(tree, folders, pandoc.relative_address(page))
    return pandoc.run_pandoc(tree, ["--to", "gfm", "--wrap", "preserve", "--eol", "lf"])


def _html(tree: pandoc.Tree, source: Path, folders: list[Path]) -> str:
    pandoc.point_images(tree, folders, pandoc.data_address, sized=True)
    tree["blocks"] = pandoc.wrap_tables(tree["blocks"])
    title = pandoc.title_of(tree, source.name.split(".")[0])
    with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8") as style:
        style.write(f"<style>\n{PAGE_STYLE}</style>\n")
        style.flush()
        options = ["--to", "html5", "--standalone", "--eol", "lf", "--wrap", "preserve", "--mathml"]
        options += ["--variable", f"pagetitle={title}", "--variable", "lang=en"]
        options += ["--metadata", "document-css=false", "--include-in-header", style.name]
        return pandoc.run_pandoc(tree, options)


def _write(page: Path, text: str) -> None:
    """Writes a page so that an older one stays whole until the new one is."""
    prepared = page.with_name(f".{page.name}.new")
    prepared.write_text(text, encoding="utf-8")
    os.replace(prepared, page)


def main(argv: list[str] | None = None) -> int:
    """The command line; 0 when all is written, 2 with one message when it is not."""
    parser = argparse.ArgumentParser(prog="python -m stagedml.report.render", description="Renders a report.")
    parser.add_argument("source", type=Path, help="the report, Markdown with Codebraid cells")
    parser.add_argument("--md", type=Path, help="write GitHub's Markdown here, pictures beside it")
    parser.add_argument("--html", type=Path, help="write one self-contained page here")
    parser.add_argument("--repout", type=Path, help="where pictures go (default: beside the first page)")
    parser.add_argument("--live", action="store_true", help="show what the cells print while they run")
    args = parser.parse_args(argv)
    try:
        render_report(args.source, md=args.md, html=args.html, repout=args.repout, live=args.live)
    except StagedmlError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    for page in filter(None, (args.md, args.html)):
        print(f"wrote {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
