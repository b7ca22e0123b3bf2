"""Mirrors: a small file that says where a URL is really to be had.

A URL is identity: it is written in configs and goes into hashes. Where its bytes come from on this machine
is not, so it is said outside of any config, in a JSON file that maps URL prefixes to URLs or local paths:

    {
      "https://dumps.wikimedia.org/": "https://wikimedia.mirror.example/dumps/",
      "https://dl.fbaipublicfiles.com/glue/data/": "glue",
      "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip": {"folder": "unpacked/SST-2", "as": "SST-2"}
    }

The longest matching prefix wins, and only it: when the file it leads to is missing, that is an error, not a
reason to ask the origin. `docs/mirrors.md` is the manual.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stagedml.errors import ConfigError, FetchError

SCHEMES = ("http", "https", "file")
WHERE_TO_READ = "docs/mirrors.md describes the mirror file"


@dataclass(frozen=True)
class Source:
    """Where the bytes of a URL are to be had.

    Exactly one of `remote` (an http or https URL) and `path` (absolute) is set. `subfolder` is the folder
    that an unpacked `path` stands for inside the archive ("" for its top). `via` is the mapping that
    applied, for messages; "" when none did.
    """

    url: str
    remote: str = ""
    path: Path | None = None
    subfolder: str = ""
    via: str = ""

    @property
    def location(self) -> str:
        """The URL or path, for messages."""
        return self.remote or str(self.path)


@dataclass(frozen=True)
class Target:
    """The right side of a mapping: a URL, or an absolute path with the subfolder it stands for."""

    text: str
    remote: str = ""
    path: Path | None = None
    subfolder: str = ""


@dataclass(frozen=True)
class Mirror:
    """The mappings of one mirror file; `Mirror()` maps nothing."""

    mappings: tuple[tuple[str, Target], ...] = ()
    file: Path | None = None

    def resolve(self, url: str) -> Source:
        """Where `url` is to be had. Raises `FetchError` when that is nowhere, `ConfigError` for no URL."""
        check_url(url)
        best: tuple[str, Target] | None = None
        for prefix, target in self.mappings:
            if _matches(prefix, url) and (best is None or len(prefix) > len(best[0])):
                best = (prefix, target)
        if best is None:
            path = _file_url_path(url)
            return Source(url, path=_existing(path, url, "")) if path else Source(url, remote=url)
        prefix, target = best
        via = f"{prefix!r} -> {target.text!r} in {self.file}"
        rest = url[len(prefix) :].lstrip("/")
        if target.remote:
            remote = f"{target.remote.rstrip('/')}/{rest}" if rest else target.remote
            return Source(url, remote=remote, via=via)
        assert target.path is not None  # a Target is one or the other
        path = _below(target.path, rest, url=url, via=via)
        return Source(url, path=_existing(path, url, via), subfolder=target.subfolder, via=via)


def read_mirror(file: Path) -> Mirror:
    """Reads a mirror file. Raises `FetchError` naming the file and what is wrong with it."""
    file = file.absolute()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8 text"
        raise FetchError(
            f"the mirror file cannot be read: {reason}",
            where=str(file),
            hint="$STAGEDML_MIRROR names it: correct or unset that variable",
        ) from e
    try:
        content = json.loads(text, object_pairs_hook=_no_twins)
    except ValueError as e:
        raise _garbled(file, f"it is not valid JSON: {e}") from e
    if not isinstance(content, dict):
        raise _garbled(file, f"its top is {_kind(content)}, not an object of prefix: target")
    return Mirror(tuple((_prefix(k, file), _target(k, v, file)) for k, v in content.items()), file)


def check_url(url: str) -> None:
    """Raises `ConfigError` when `url` is not one that can be fetched."""
    try:
        parts = urlsplit(url)
    except ValueError as e:
        raise ConfigError(f"not a URL: {e}", where=url) from e
    if parts.scheme not in SCHEMES:
        hint = "a local file or folder is for `fetchlocal`" if not parts.scheme else ""
        raise ConfigError("not an http, https or file URL", where=url, hint=hint)
    if parts.scheme != "file" and not parts.hostname:
        raise ConfigError("the URL names no host", where=url)
    if parts.username or parts.password:
        raise ConfigError(
            "the URL holds a user name or a password",
            where=f"{parts.scheme}://...@{parts.hostname}",
            hint="a URL is written into configs and logs; use a mirror or a local file for private data",
        )


def _matches(prefix: str, url: str) -> bool:
    """Whether `prefix` is the URL or a leading part of it that ends at a slash."""
    return url == prefix or url.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _file_url_path(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ConfigError("a file URL has to be absolute and local", where=url, hint="file:///folder/name")
    return Path(unquote(parts.path))


def _below(folder: Path, rest: str, *, url: str, via: str) -> Path:
    """The path that the rest of a URL names below `folder`; its query, if any, names nothing on a disk."""
    names = [unquote(name) for name in urlsplit(f"//host/{rest}").path.split("/") if name]
    if any(name in (".", "..") or "/" in name or "\0" in name for name in names):
        raise FetchError(f"the rest of the URL, {rest!r}, leaves the mirror's folder", where=url, hint=via)
    return folder.joinpath(*names)


def _existing(path: Path, url: str, via: str) -> Path:
    if path.exists():
        return path
    if not via:
        raise FetchError("no such file", where=url)
    raise FetchError(
        f"the mirror has no {path}", where=url, hint=f"put it there, or change the mapping {via}"
    )


def _prefix(key: str, file: Path) -> str:
    if urlsplit(key).scheme not in SCHEMES or "://" not in key:
        raise _garbled(file, f"the prefix {key!r} does not begin with http://, https:// or file://")
    return key


def _target(key: str, value: object, file: Path) -> Target:
    if isinstance(value, str) and value:
        if "://" not in value:
            return Target(value, path=_absolute(value, file))
        if urlsplit(value).scheme not in SCHEMES:
            raise _garbled(file, f"the target {value!r} of {key!r} is not an http, https or file URL")
        path = _file_url_path(value)
        return Target(value, path=path) if path else Target(value, remote=value)
    if (
        isinstance(value, dict)
        and set(value) == {"folder", "as"}
        and all(isinstance(v, str) for v in value.values())
    ):
        folder, subfolder = value["folder"], value["as"].strip("/")
        if any(name in ("", ".", "..") for name in subfolder.split("/")):
            raise _garbled(file, f'"as": {value["as"]!r} of {key!r} is not a plain folder name')
        return Target(folder, path=_absolute(folder, file), subfolder=subfolder)
    raise _garbled(
        file, f'the target of {key!r} is neither a URL, nor a path, nor {{"folder": path, "as": name}}'
    )


def _absolute(path: str, file: Path) -> Path:
    return (file.parent / Path(path).expanduser()).resolve()


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """JSON lets the last of two equal keys win silently; here that is a mistake to report."""
    seen: dict[str, object] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} is there twice")
        seen[key] = value
    return seen


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _garbled(file: Path, what: str) -> FetchError:
    return FetchError(f"the mirror file is garbled: {what}", where=str(file), hint=WHERE_TO_READ)
