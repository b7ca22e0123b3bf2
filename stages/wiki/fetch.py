"""Fetching dumps of any wiki and date.

    fetchwiki(m, "enwiki", "20200301", sha1="852dfec9...")     # the single file
    fetchwiki(m, "simplewiki", "20240101")                     # sha1 from the dump's own sums file
    fetchwiki(m, "enwiki", "20240101", multistream=True)       # many small streams, extracted on all cores
    fetchwiki(m, "enwiki", "20240101", parts=True)             # pages-articles1.xml-p1p41242.bz2 and so on

Old dumps leave dumps.wikimedia.org after some months; another host is one entry in the mirror file.
"""

from __future__ import annotations

import re
from pathlib import Path

from stagedml import Build, DRef, Manager, promise, stage
from stagedml.errors import ConfigError, FetchError
from stagedml.fetch import fetchurl

HOST = "https://dumps.wikimedia.org"


def fetchwiki(
    m: Manager,
    dumpname: str = "enwiki",
    dumpdate: str = "20200301",
    sha1: str | None = None,
    *,
    multistream: bool = False,
    parts: bool = False,
    host: str = HOST,
) -> DRef:
    """The articles of a wiki as its dump holds them. Fields: `url`, `out` (a file, or a folder of parts).

    With a `sha1` it is one file and this its checksum; otherwise the checksums come from the sums file beside
    the dump. Raises `ConfigError`; when built, `FetchError` and `ChecksumError`.
    """
    if not re.fullmatch(r"[a-z_]+[a-z0-9_]*", dumpname) or not re.fullmatch(r"\d{8}|latest", dumpdate):
        raise ConfigError(
            f"no such dump: {dumpname} {dumpdate}",
            hint="a wiki such as 'enwiki' and a date such as '20200301'",
        )
    if sha1 is not None and parts:
        raise ConfigError("one sha1 for many parts", hint="leave it out: the sums file has one for each")
    folder = f"{host.rstrip('/')}/{dumpname}/{dumpdate}"
    stem = f"{dumpname}-{dumpdate}-pages-articles" + ("-multistream" if multistream else "")
    url, name = f"{folder}/{stem}.xml.bz2", f"fetch-{dumpname}"
    if sha1 is not None:
        return fetchurl(m, url=url, sha1=sha1, mode="asis", name=name)
    return fetch_dump(m, name=name, url=url, sums=f"{folder}/{dumpname}-{dumpdate}-sha1sums.txt", parts=parts)


def read_sums(text: str) -> dict[str, str]:
    """File name to checksum, of a sums file."""
    return {name: digest for digest, name in re.findall(r"^([0-9a-f]{32,64}) [ *](\S+)$", text, re.M)}


def choose_files(sums: dict[str, str], filename: str, *, parts: bool) -> list[str]:
    """The file of a dump, or its parts in order. Raises `FetchError` when the sums file has none."""
    if not parts:
        chosen = [filename] if filename in sums else []
    else:
        stem = re.escape(filename.removesuffix(".xml.bz2"))
        found = {n: re.fullmatch(rf"{stem}(\d+)\.xml(?:-p(\d+)p\d+)?\.bz2", n) for n in sums}
        chosen = sorted(
            (n for n, at in found.items() if at),
            key=lambda n: [int(x or 0) for x in found[n].groups()],  # type: ignore[union-attr]
        )
    if not chosen:
        near = [n for n in sums if "pages-articles" in n][:6]
        raise FetchError(
            f"the sums file lists no {'parts of ' if parts else ''}{filename}",
            hint=f"it has {', '.join(near) or 'no dump of articles'}; see `parts` and `multistream`",
        )
    return chosen


@stage(name="fetch-dump")
def fetch_dump(b: Build, url: str, sums: str, parts: bool, out: Path = promise("dump")) -> None:
    """The realizer of `fetchwiki` where the checksums come from the dump's own sums file."""
    from stagedml.fetch.checksum import Checksum

    listed = b.scratch / "sums.txt"
    get(b, sums, listed, None)
    digests = read_sums(listed.read_text(encoding="utf-8"))
    folder, _, filename = url.rpartition("/")
    out.mkdir()
    for name in choose_files(digests, filename, parts=parts):
        part = b.scratch / name
        get(b, f"{folder}/{name}", part, Checksum("sha1", digests[name]))
        part.replace(out / name)


def get(b: Build, url: str, target: Path, checksum: object) -> None:
    """Brings `url`, or what the mirror file says in its place, to `target`; a finished target stays."""
    from functools import partial

    from stagedml.fetch import mirror_from_environment
    from stagedml.fetch.checksum import Checksum, digests_of
    from stagedml.fetch.download import download
    from stagedml.fetch.localfiles import copy_file

    wanted = checksum if isinstance(checksum, Checksum) else None
    if target.exists() and wanted is not None and digests_of(target, wanted).asked == wanted.hexdigest:
        b.resumed(f"{target.name} was there")
        return
    target.unlink(missing_ok=True)
    source = mirror_from_environment().resolve(url)
    if source.path is None:
        got = download(
            source.remote, target, checksum=wanted, progress=partial(b.progress, unit="B", desc=target.name)
        )
        if got.resumed_at:
            b.resumed(f"{target.name}, byte {got.resumed_at:,}")
        return
    copy_file(source.path, target)
    if wanted is not None and (seen := digests_of(target, wanted).asked) != wanted.hexdigest:
        target.unlink()
        raise wanted.mismatch(seen or "nothing", str(source.path))


def all_fetchenwiki(m: Manager) -> DRef:
    """The English Wikipedia of 2020-03-01, 17 GB."""
    return fetchwiki(m, "enwiki", "20200301", "852dfec9eba3c4d5ec259e60dca233b6a777a05e")


def all_fetchruwiki(m: Manager) -> DRef:
    """The Russian Wikipedia of 2020-03-01, 4 GB."""
    return fetchwiki(m, "ruwiki", "20200301", "9f522ccf2931497e99a12d001a3bc7910f275519")
