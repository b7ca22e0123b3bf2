"""The stages from a fetched dump to pre-training records.

dump = fetchwiki(m, "enwiki", "20200301")
text = extractwiki(m, wikiref=dump)
vocab = wordpiece_vocab(m, text=text, lower_case=True)
bert_pretrain_tfrecords(m, wikiref=text, bert_vocab=mklens(vocab).bert_vocab.refpath, lower_case=True)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagedml import Build, DRef, Lens, Manager, promise, stage
from stagedml.errors import ConfigError
from stagedml.stages.wiki.fetch import all_fetchenwiki, all_fetchruwiki


@stage(version=1)
def extractwiki(
    b: Build,
    wikiref: Lens,
    headings: bool = False,
    lists: bool = False,
    templates: bool = True,
    disambiguation: bool = False,
    min_chars: int = 1,
    block_bytes: int = 1 << 25,
    articles: Path = promise("articles"),
    report: Path = promise("extract.json"),
) -> None:
    """The prose of every article of a dump, as shards of JSON lines: id, revid, url, title, text.

    `headings` and `lists` are kept on request; `templates` renders those that carry prose; `block_bytes` of
    XML make a shard. `report` counts articles and skipped pages and names the pages that could not be read.
    """
    import json
    from dataclasses import asdict

    from stagedml.stages.wiki.extract import Extraction, dump_files, extract, publish

    how = Extraction(headings, lists, templates, disambiguation, min_chars, block_bytes)
    dumps = dump_files(Path(wikiref.out.syspath))
    size = sum(dump.stat().st_size for dump in dumps)
    with b.progress(total=size, unit="B", desc="extract") as bar:
        counts, reused = extract(dumps, b.scratch, how=how, workers=b.workers, progress=bar)
    if reused:
        b.resumed(f"{reused} blocks were done")
    publish(b.scratch, articles)
    report.write_text(json.dumps(asdict(counts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{counts.articles:,} articles, {counts.words:,} words; skipped: {counts.skipped}")


@stage(version=1)
def wikistat(b: Build, wikiref: Lens, wikistat: Path = promise("wikistat.json")) -> None:
    """Documents, words, characters and bytes of extracted text, and pages skipped by reason."""
    import json

    from stagedml.stages.wiki.extract import measure

    folder, report = Path(wikiref.articles.syspath), wikiref.optval and wikiref.report.optval
    found = json.loads(Path(wikiref.report.syspath).read_text(encoding="utf-8")) if report else {}
    stat = measure(folder, workers=b.workers)
    stat |= {"skipped": found.get("skipped", {}), "failed": len(found.get("failed", []))}
    wikistat.write_text(json.dumps(stat, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class TFRecordsConfig:
    """The fields of `bert_pretrain_tfrecords`; those of masking are as in BERT's paper and scripts.

    `form`: "examples" are written out `dupe_factor` times, each with other pairs and masks; "tokens" stores
    text once, and pairs and masks are drawn in every epoch by the reader; "packed" puts several documents
    into a sequence, without pairs. `tokenizer` names the algorithm that the ids come from.
    """

    wikiref: Any
    bert_vocab: Any
    lower_case: bool
    cased: bool
    form: str = "examples"
    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    whole_word: bool = False
    dupe_factor: int = 10
    seed: int = 12345
    tokenizer: str = "google-fulltokenizer"
    bucket_bytes: int = 24 << 20
    shard_bytes: int = 128 << 20
    tfrecords: Path = promise("tfrecords")


@stage(name="bert-pretrain-tfrecords", version=1, toy={"dupe_factor": 1})
def pretrain_tfrecords(b: Build, c: TFRecordsConfig) -> None:
    """The realizer of `bert_pretrain_tfrecords`."""
    from stagedml.stages.text.masking import Masking
    from stagedml.stages.text.pretraining import Pretraining, build_records

    if c.cased == c.lower_case or c.tokenizer != "google-fulltokenizer":
        raise ConfigError(
            f"cased={c.cased}, lower_case={c.lower_case}, tokenizer={c.tokenizer!r} cannot be",
            where=b.config.name,
            hint="cased is the opposite of lower_case; the tokenizer is 'google-fulltokenizer'",
        )
    how = Pretraining(
        lower_case=c.lower_case,
        form=c.form,
        masking=Masking(
            c.max_seq_length, c.max_predictions_per_seq, c.masked_lm_prob, c.short_seq_prob, c.whole_word
        ),
        dupe_factor=c.dupe_factor,
        seed=b.seed,
        bucket_bytes=c.bucket_bytes,
        shard_bytes=c.shard_bytes,
    )
    c.tfrecords.mkdir(exist_ok=True)
    with b.progress(unit="file", desc="records") as bar:
        built = build_records(
            Path(c.wikiref.articles.syspath),
            Path(c.bert_vocab),
            c.tfrecords,
            b.scratch,
            how=how,
            workers=b.workers,
            progress=bar,
        )
    if built.reused:
        b.resumed(f"{built.reused} files were done")
    print(f"{built.index['examples']:,} examples of {built.index['tokens']:,} tokens")


def bert_pretrain_tfrecords(
    m: Manager, wikiref: Any, bert_vocab: Any, lower_case: bool, **fields: Any
) -> DRef:
    """Pre-training records of an extracted text, by the algorithm of TF-Models' `create_pretraining_data`.

    `wikiref` is a stage of text (`articles`), `bert_vocab` the refpath of a vocab.txt; the other fields are
    those of `TFRecordsConfig`. Output: `tfrecords`, read with `stagedml.stages.bert.records`.
    """
    return pretrain_tfrecords(
        m, wikiref=wikiref, bert_vocab=bert_vocab, lower_case=lower_case, cased=not lower_case, **fields
    )


def all_extractenwiki(m: Manager) -> DRef:
    """The prose of the English Wikipedia of 2020-03-01."""
    return extractwiki(m, wikiref=all_fetchenwiki(m))


def all_extractruwiki(m: Manager) -> DRef:
    """The prose of the Russian Wikipedia of 2020-03-01."""
    return extractwiki(m, wikiref=all_fetchruwiki(m))
