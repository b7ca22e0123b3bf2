"""Stages that bring GLUE in: the official archives, or files of the same layout from anywhere.

Addresses and SHA-256 as published by GLUE and pinned by TensorFlow Datasets. MRPC is not an archive: its two
text files and the list of dev ids are gathered. One's own copy: `all_fetchglue(m, folder="...")`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from stagedml import Build, DRef, Manager, build_wrapper, mkdrv, mklens, promise, stage
from stagedml.errors import ConfigError
from stagedml.fetch import fetchlocal, fetchurl

from .tasks import TASKS, Task, field_name, find_task

GLUE_URL = "https://dl.fbaipublicfiles.com/glue/data/"
SENTEVAL_URL = "https://dl.fbaipublicfiles.com/senteval/senteval_data/"
SNLI_URL = "https://nlp.stanford.edu/projects/snli/"

ARCHIVES: Mapping[str, str] = {
    "CoLA": "CoLA.zip",
    "SST-2": "SST-2.zip",
    "STS-B": "STS-B.zip",
    "QQP": "QQP.zip",
    "MNLI": "MNLI.zip",
    "QNLI": "QNLIv2.zip",
    "RTE": "RTE.zip",
    "WNLI": "WNLI.zip",
}
CHECKSUMS: Mapping[str, str] = {
    "CoLA.zip": "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff",
    "SST-2.zip": "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
    "STS-B.zip": "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85",
    "QQP.zip": "67cb8f5fe66c90a0bc1bf5792e3924f63008b064ab7a473736c919d20bb140ad",
    "MNLI.zip": "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
    "QNLIv2.zip": "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5",
    "RTE.zip": "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee",
    "WNLI.zip": "ae0e8e4d16f4d46d4a0a566ec7ecceccfd3fbfaa4a7a4b4e02848c0f2561ac46",
    "AX.tsv": "0e13510b1bb14436ff7e2ee82338f0efb0133ecf2e73507a697dc210db3f05fd",
    "mrpc_dev_ids.tsv": "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7",
    "msr_paraphrase_train.txt": "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89",
    "msr_paraphrase_test.txt": "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784",
}
SNLI_SHA1 = "9fcde07509c7e87ec61c640c1b2753d9041758e4"


@stage(name="glue-files")
def gather_files(b: Build, files: dict, out: Path = promise("files")) -> None:
    """Puts single files, such as MRPC's three, into one folder under the names that readers look for."""
    out.mkdir()
    for name in files:
        shutil.copyfile(mklens(b).files[name].syspath, out / name)


def all_fetchglue(
    m: Manager,
    *,
    folder: str | None = None,
    base_url: str = GLUE_URL,
    senteval_url: str = SENTEVAL_URL,
    snli_url: str = SNLI_URL,
    checksums: Mapping[str, str] | None = None,
    tasks: Sequence[str] | None = None,
) -> DRef:
    """GLUE with SNLI and the diagnostic set: a collection with a field a data set (`mrpc`, `sst_2`, ...).

    `base_url`, `senteval_url` and `snli_url` say where files of the same names lie, `checksums` their SHA-256
    (files not named there are not checked; the published ones are used with the published addresses). With
    `folder` the data come from this machine: loose files in a folder a task, or zips of the official names;
    tasks that are not there are left out. `tasks` limits the collection. Realizing it downloads everything;
    stages that need one task pick its field, and download nothing else.

    Raises `ConfigError` for an unknown task and for a folder that holds none of the tasks.
    """
    names = (
        list(dict.fromkeys(find_task(t).share or find_task(t).name for t in tasks)) if tasks else data_sets()
    )
    config: dict[str, object] = {"name": "fetchglue", "version": 1}
    if folder is not None:
        for name in names:
            path = find_local(Path(folder).expanduser(), name)
            if path is not None:
                config[field_name(name)] = fetchlocal(m, path, name=f"fetch-{name}")
        if len(config) == 2:
            hint = f"looked for folders or zips named {', '.join(names)}"
            raise ConfigError("no GLUE data", where=folder, hint=hint)
    else:
        sums = dict(checksums) if checksums is not None else published(base_url, senteval_url)
        for name in names:
            config[field_name(name)] = fetch_set(
                m, name, base_url=base_url, senteval_url=senteval_url, snli_url=snli_url, checksums=sums
            )
    config["index"] = promise("index.json")
    return mkdrv(m, config, realizer=build_wrapper(_write_index))


def data_sets() -> list[str]:
    """The names of the data sets, which are the tasks, with both MNLI in one."""
    return list(dict.fromkeys(task.share or task.name for task in TASKS.values()))


def published(base_url: str, senteval_url: str) -> dict[str, str]:
    """The published checksums, for files that come from the published addresses."""
    known: dict[str, str] = {}
    for file, digest in CHECKSUMS.items():
        raw_mrpc = file.startswith("msr_")
        if (senteval_url == SENTEVAL_URL) if raw_mrpc else (base_url == GLUE_URL):
            known[file] = digest
    return known


def find_local(folder: Path, name: str) -> Path | None:
    """A task's folder or zip below `folder`; None when there is neither."""
    archive = ARCHIVES.get(name, f"{name}.zip")
    places = [folder / name, folder / archive, folder / "zips" / archive, folder / "snli_1.0.zip"]
    if name != "SNLI":
        places.pop()
    if name == "AX":
        places = [folder / "AX.tsv", folder / "AX", folder / "diagnostic", folder / "diagnostic.tsv"]
    return next((place for place in places if place.exists()), None)


def fetch_set(
    m: Manager, name: str, *, base_url: str, senteval_url: str, snli_url: str, checksums: Mapping[str, str]
) -> DRef:
    """The stage that fetches one data set; its field `out` is what the readers read."""
    if name == "SNLI":
        sha1 = SNLI_SHA1 if snli_url == SNLI_URL else None
        return fetchurl(m, url=snli_url + "snli_1.0.zip", sha1=sha1, name="fetch-SNLI")
    if name in ARCHIVES:
        file = ARCHIVES[name]
        return fetchurl(m, url=base_url + file, sha256=checksums.get(file), name=f"fetch-{name}")
    if name == "MRPC":
        urls = {
            "msr_paraphrase_train.txt": senteval_url + "msr_paraphrase_train.txt",
            "msr_paraphrase_test.txt": senteval_url + "msr_paraphrase_test.txt",
            "mrpc_dev_ids.tsv": base_url + "mrpc_dev_ids.tsv",
        }
    else:
        urls = {"AX.tsv": base_url + "AX.tsv"}
    files = {
        file: mklens(fetchurl(m, url=url, sha256=checksums.get(file), mode="asis")).out.refpath
        for file, url in urls.items()
    }
    return gather_files(m, files=files, name=f"fetch-{name}")


def pick_set(m: Manager, refdataset: DRef | None, task: Task) -> DRef:
    """The data of one task: the field of a collection, or the reference itself when it has an `out`.

    Without a reference it is the official one. Raises `ConfigError` when the collection lacks the task.
    """
    if refdataset is None:
        refdataset = all_fetchglue(m, tasks=[task.name])
    lens = mklens(refdataset)
    if lens.out.optval is not None:
        return refdataset
    found = lens[task.archive].optval
    if found is None:
        there = [n for n in data_sets() if lens[field_name(n)].optval is not None]
        raise ConfigError(
            f"no data of {task.name}", where=str(refdataset), hint=f"it holds: {', '.join(there)}"
        )
    return DRef(found)


def _write_index(b: Build) -> None:
    """Reads every set of the collection, and writes how many rows each has."""
    import json

    from .readers import has_split, read_examples

    lens = mklens(b)
    rows: dict[str, dict[str, int]] = {}
    for task in TASKS.values():
        if lens[task.archive].optval is None:
            continue
        root = Path(lens[task.archive].out.syspath)
        splits = [s for s in task.files if has_split(task, root, s)]
        rows[task.name] = {s: len(read_examples(task, root, s)) for s in splits}
    Path(lens.index.syspath).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
