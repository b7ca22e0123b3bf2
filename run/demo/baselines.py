"""Stages of the demo's own: text held out from training, and what is to be beaten.

They show how little a stage takes; nothing else in the project depends on them.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from stagedml import Build, Lens, promise, stage


def is_held_out(identifier: str, percent: int) -> bool:
    """Whether an article is among the `percent` that are kept from training: by its id, at random."""
    return zlib.crc32(identifier.encode()) % 100 < percent


@stage(version=1)
def part_of_articles(
    b: Build, wikiref: Lens, held_out: bool, percent: int, articles: Path = promise("articles")
) -> None:
    """The articles that are held out, or all the others."""
    from stagedml.stages.text.shards import read_shard, shard_paths, write_shard

    articles.mkdir()
    kept = 0
    for path in shard_paths(Path(wikiref.articles.syspath)):
        chosen = [r for r in read_shard(path) if is_held_out(str(r["id"]), percent) == held_out]
        kept += len(chosen)
        write_shard(articles / path.name, chosen)
    print(f"{kept:,} articles")


@stage(version=1)
def unigram_entropy(b: Build, tfrecs: Lens, protocol: Path = promise("protocol.json")) -> None:
    """The entropy, in nats, of the tokens that records ask for at their masks.

    It is the least masked-LM loss on these records of a model that knows how frequent each token is, and
    nothing of the words around the mask.
    """
    import numpy as np

    from stagedml.protocol import append_protocol
    from stagedml.stages.text.pretraining import read_index, schema_of
    from stagedml.stages.text.tfrecord import map_records

    folder = Path(tfrecs.tfrecords.syspath)
    index = read_index(folder)
    schema = schema_of(index)
    counts = np.zeros(index["vocab_size"], np.int64)
    for shard in index["shards"]:
        rows = schema.decode(np.asarray(map_records(folder / shard["name"], schema)))
        wanted = rows["masked_lm_ids"][rows["masked_lm_weights"] > 0]
        counts += np.bincount(wanted, minlength=len(counts))
    p = counts[counts > 0] / counts.sum()
    append_protocol(
        protocol, "evaluate", entropy=float(-(p * np.log(p)).sum()), tokens=int(counts.sum()), kinds=len(p)
    )


@stage(version=1)
def majority_class(b: Build, tfrecs: Lens, protocol: Path = promise("protocol.json")) -> None:
    """The accuracy on dev of always answering what is most frequent in train."""
    import numpy as np

    from stagedml.protocol import append_protocol
    from stagedml.stages.glue.records import read_records

    folder = Path(tfrecs.tfrecords.syspath)
    answer = int(np.bincount(read_records(folder, "train").labels).argmax())
    labels = read_records(folder, "dev").labels
    append_protocol(
        protocol,
        "evaluate",
        answer=answer,
        examples=len(labels),
        eval_accuracy=float(np.mean(labels == answer)),
    )
