"""The data pipeline against its peers, in one run: extraction, its quality, tokens, examples, reading.

    python -m benchmarks.data                       # all, a few minutes
    python -m benchmarks.data extract --copies 6    # one part, a larger dump
    python -m benchmarks.data examples --dupe 10

Needs the real data (STAGEDML_DATA) and, for peers, the parity environment (`make parity`); WikiExtractor is
installed into an environment of its own. A peer that is not there is left out, with a word. Rates are a core:
by CPU seconds of the process and all its children, so that other work on the machine falls out of them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.data import corpus
from benchmarks.data.measure import PARITY, Cost, program, run, table, wikiextractor
from stagedml.stages.text.shards import read_texts, shard_paths

VOCAB = "bert-base-uncased-vocab.txt"


def extraction(folder: Path, options: argparse.Namespace) -> str:
    """Megabytes of XML and articles a core second; words and left-over markup of the result."""
    size = corpus.make_dumps(folder, options.copies)
    single, multi = folder / "single.xml.bz2", folder / "multi.xml.bz2"
    rows: list[tuple[str, Cost, list[str] | None]] = []
    rows.append(("bz2 alone", program("decompress", single), None))
    for name, dump, workers, templates in [
        ("stagedml, templates off", single, 1, 0),
        ("stagedml, prose templates", single, 1, 1),
        ("stagedml, multistream, 2 processes", multi, 2, 0),
    ]:
        out = folder / f"ours-{len(rows)}"
        out.mkdir()
        cost = program("extract_ours", dump, out, str(workers), str(templates))
        rows.append((name, cost, [t for p in shard_paths(out) for t in read_texts(p)]))
    if (python := wikiextractor()) is not None:
        out = folder / "wikiextractor"
        command = [python, "-m", "wikiextractor.WikiExtractor", single, "-o", out]
        cost = run(*command, "--json", "--no-templates", "-q", "--processes", "1")
        texts = [str(a["text"]) for p in out.rglob("wiki_*") for a in corpus.read_json_lines(p)]
        rows.append(("WikiExtractor 3.1.0", cost, [t for t in texts if t.strip()]))
    else:
        print("WikiExtractor could not be installed", file=sys.stderr)
    if PARITY.exists():
        out = folder / "gensim.json"
        cost = run(PARITY, "-m", "gensim.scripts.segment_wiki", "-f", single, "-o", out, "-w", "1")
        rows.append(("gensim segment_wiki", cost, corpus.read_segments(out)))
    ours = rows[1][1].cpu
    lines = []
    for name, cost, texts_or_none in rows:
        q = corpus.quality(texts_or_none) if texts_or_none is not None else {}
        words, left = (f"{q['words']:,}", f"{q['left']:.1f}") if q else ("", "")
        articles = f"{size['articles'] / cost.cpu:,.0f}" if q else ""
        rates = [f"{size['mb'] / cost.cpu:.1f}", articles, f"{size['mb'] / cost.wall:.1f}"]
        lines.append([name, *rates, f"{cost.cpu / ours:.2f}", words, left])
    head = [
        "extraction",
        "XML MB / CPU s",
        "articles / CPU s",
        "XML MB / s",
        "CPU, ours = 1",
        "words",
        "left-over",
    ]
    note = f"{size['mb']:.0f} MB of XML, {size['articles']:.0f} articles"
    return f"{table(head, lines)}\n\n{note}; left-over: markup in 100,000 characters"


def quality(folder: Path, options: argparse.Namespace) -> str:
    """Articles, words and left-over markup of each real file, by each extractor."""
    lines = []
    for i, dump in enumerate(sorted((corpus.data_folder() / "wikipedia").iterdir())):
        for name, texts in _texts_of(dump, folder / str(i)).items():
            q = corpus.quality(texts)
            lines.append([dump.name[:24], name, f"{len(texts)}", f"{q['words']:,}", f"{q['left']:.1f}"])
            if options.samples:
                target = Path(options.samples) / f"{i}-{name.split()[0]}.txt"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text("\n\n".join(texts), encoding="utf-8")
    return table(["file", "extractor", "articles", "words", "left-over"], lines)


def _texts_of(dump: Path, folder: Path) -> dict[str, list[str]]:
    ours, theirs, segments = folder / "ours", folder / "wikiextractor", folder / "gensim.json"
    ours.mkdir(parents=True)
    program("extract_ours", dump, ours, "1", "1")
    found = {"stagedml": [t for p in shard_paths(ours) for t in read_texts(p)]}
    if (python := wikiextractor()) is not None:
        command = [python, "-m", "wikiextractor.WikiExtractor", dump, "-o", theirs]
        run(*command, "--json", "--no-templates", "-q", "--processes", "1")
        texts = [str(a["text"]) for p in theirs.rglob("wiki_*") for a in corpus.read_json_lines(p)]
        found["WikiExtractor"] = [t for t in texts if t.strip()]
    if PARITY.exists():
        run(PARITY, "-m", "gensim.scripts.segment_wiki", "-f", dump, "-o", segments, "-w", "1", "-m", "0")
        found["gensim segment_wiki"] = corpus.read_segments(segments)
    return found


def tokens(folder: Path, options: argparse.Namespace) -> str:
    """Megabytes of text a core second."""
    size = corpus.make_text(folder, options.megabytes)
    arguments = [folder / "text.txt", corpus.data_folder() / "bert-vocab" / VOCAB]
    rows = {"stagedml": program("tokenize_text", "ours", *arguments).answer}
    rows["HF tokenizers"] = program("tokenize_text", "huggingface", *arguments).answer
    if PARITY.exists():
        rows["FullTokenizer"] = program("tokenize_text", "google", *arguments, python=PARITY).answer
    ours = rows["stagedml"]["seconds"]
    lines = [
        [name, f"{size['mb'] / a['seconds']:.2f}", f"{a['seconds'] / ours:.1f}", f"{a['tokens']:,}"]
        for name, a in rows.items()
    ]
    return (
        table(["tokens", "MB / CPU s", "CPU, ours = 1", "tokens"], lines) + f"\n\n{size['mb']:.1f} MB of text"
    )


def examples(folder: Path, options: argparse.Namespace) -> str:
    """Examples a core second, from text to TFRecords."""
    size = corpus.make_text(folder, options.megabytes)
    vocab = corpus.data_folder() / "bert-vocab" / VOCAB
    lines = []
    for dupe in options.dupe:
        ours_at = [folder / "articles", vocab, folder / f"x{dupe}", str(dupe)]
        rows = {"stagedml": program("examples_ours", *ours_at).answer}
        if PARITY.exists():
            arguments = [folder / "text.txt", vocab, folder / "theirs.tfrecord", str(dupe)]
            rows["TF-Models"] = program("examples_theirs", *arguments, python=PARITY).answer
        ours = rows["stagedml"]["examples"] / (rows["stagedml"]["make"] + rows["stagedml"]["write"])
        for name, a in rows.items():
            rate = a["examples"] / (a["make"] + a["write"])
            lines.append([name, str(dupe), f"{rate:,.0f}", f"{ours / rate:.1f}", f"{a['examples']:,}"])
    head = ["examples", "dupe_factor", "examples / CPU s", "ours is faster by", "examples"]
    return table(head, lines) + f"\n\n{size['mb']:.1f} MB of text, sequence 128, 20 predictions"


def reading(folder: Path, options: argparse.Namespace) -> str:
    """Examples a core second and a second, in batches of 256."""
    corpus.make_text(folder, min(options.megabytes, 4))
    vocab = corpus.data_folder() / "bert-vocab" / VOCAB
    program("examples_ours", folder / "articles", vocab, folder / "records", "2")
    lines = []
    for way in ("numpy", "dataset", "parse batches", "parse one by one"):
        a = program("read_records", way, folder / "records" / "out", "300").answer
        lines.append([way, f"{a['examples'] / a['cpu']:,.0f}", f"{a['examples'] / a['wall']:,.0f}"])
    return table(["reading", "examples / CPU s", "examples / s"], lines)


PARTS: dict[str, Callable[[Path, argparse.Namespace], str]] = {
    "extract": extraction,
    "quality": quality,
    "tokens": tokens,
    "examples": examples,
    "read": reading,
}


def main() -> None:
    """Runs the parts that were asked for, and prints their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="*", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--copies", type=int, default=4, help="of the dump fragment, 6 MB of XML each")
    parser.add_argument("--megabytes", type=float, default=8, help="of text")
    parser.add_argument("--dupe", type=int, nargs="+", default=[1, 5], help="dupe_factor")
    parser.add_argument("--samples", help="a folder for the texts of `quality`, to be read by eye")
    options = parser.parse_args()
    for part in options.part or PARTS:
        if part not in PARTS:
            parser.error(f"no part {part!r}: {', '.join(PARTS)}")
        folder = Path(tempfile.mkdtemp(prefix="stagedml-bench-"))
        try:
            print(PARTS[part](folder, options), end="\n\n", flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
