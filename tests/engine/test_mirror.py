"""Mirrors: which mapping applies, and what is said when one leads nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagedml.errors import ConfigError, FetchError
from stagedml.fetch.mirror import Mirror, check_url, read_mirror


@pytest.fixture
def mirror_file(tmp_path: Path) -> Path:
    """A mirror file with each kind of mapping, and the files that it leads to."""
    for name in ("glue/CoLA.zip", "all/deep.example/x", "one.bin", "a b/я.txt", "unpacked/SST-2/train.tsv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    mappings = {
        "https://": "all",
        "https://data.example/": "https://mirror.example/data/",
        "https://data.example/glue": "glue",
        "https://data.example/glue/SST-2.zip": {"folder": "unpacked/SST-2", "as": "SST-2"},
        "https://one.example/file.bin": str(tmp_path / "one.bin"),
        "https://spaces.example/": (tmp_path / "a b").as_uri(),
        "https://exact.example/a.zip": "http://other.example/b.zip",
    }
    file = tmp_path / "mirror.json"
    file.write_text(json.dumps(mappings))
    return file


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://data.example/x/y?z=1", "https://mirror.example/data/x/y?z=1"),
        ("https://data.example/glue/CoLA.zip", "{}/glue/CoLA.zip"),
        ("https://data.example/glue/CoLA.zip?raw=1#top", "{}/glue/CoLA.zip"),
        ("https://data.example/glued/CoLA.zip", "https://mirror.example/data/glued/CoLA.zip"),
        ("https://data.example/glue/SST-2.zip", "{}/unpacked/SST-2"),
        ("https://deep.example/x", "{}/all/deep.example/x"),
        ("https://one.example/file.bin", "{}/one.bin"),
        ("https://spaces.example/%D1%8F.txt", "{}/a b/я.txt"),
        ("https://exact.example/a.zip", "http://other.example/b.zip"),
        ("http://unmapped.example/x", "http://unmapped.example/x"),
    ],
)
def test_longest_prefix_wins(mirror_file: Path, url: str, location: str) -> None:
    """The longest prefix that ends at a slash decides, and folders are relative to the mirror file."""
    source = read_mirror(mirror_file).resolve(url)
    assert source.location == location.format(mirror_file.parent)
    assert source.url == url
    assert bool(source.via) == ("unmapped" not in url)


def test_order_does_not_matter(mirror_file: Path) -> None:
    """The mappings mean the same in whatever order they are written."""
    mirror = read_mirror(mirror_file)
    turned = Mirror(tuple(reversed(mirror.mappings)), mirror.file)
    for url in ("https://data.example/a", "https://data.example/glue/CoLA.zip", "https://deep.example/x"):
        assert turned.resolve(url) == mirror.resolve(url)


def test_unpacked_folder(mirror_file: Path) -> None:
    """A folder can stand for an archive, and say which folder inside the archive it is."""
    source = read_mirror(mirror_file).resolve("https://data.example/glue/SST-2.zip")
    assert (source.path, source.subfolder) == (mirror_file.parent / "unpacked/SST-2", "SST-2")


def test_missing_file_names_the_mapping(mirror_file: Path) -> None:
    """A mapping that leads to nothing is an error that shows it; the origin is not asked instead."""
    with pytest.raises(FetchError) as e:
        read_mirror(mirror_file).resolve("https://data.example/glue/MNLI.zip")
    for said in (
        "https://data.example/glue/MNLI.zip",
        "glue/MNLI.zip",
        "'https://data.example/glue' -> 'glue'",
        "mirror.json",
    ):
        assert said in str(e.value)


@pytest.mark.parametrize("rest", ["../one.bin", "%2e%2e/one.bin", "x/../../one.bin", "..%2Fone.bin", "a%00"])
def test_url_cannot_leave_the_folder(mirror_file: Path, rest: str) -> None:
    """The rest of a URL names something below the mapped folder or is refused."""
    with pytest.raises(FetchError, match="leaves the mirror's folder"):
        read_mirror(mirror_file).resolve("https://data.example/glue/" + rest)


@given(rest=st.text(alphabet="./%2eFa\\", max_size=12))
def test_no_url_leaves_the_folder(rest: str) -> None:
    """Whatever a URL looks like, what it maps to lies below the mapped folder."""
    from stagedml.fetch.mirror import Target

    folder = Path(__file__).parent
    mirror = Mirror((("https://h.example/", Target("x", path=folder)),), folder / "mirror.json")
    try:
        source = mirror.resolve("https://h.example/" + rest)
    except (FetchError, ConfigError):
        return
    assert source.path is not None
    assert source.path.resolve().is_relative_to(folder.resolve())


def test_file_urls(tmp_path: Path) -> None:
    """A file URL is a path, and one that leads nowhere says so."""
    (tmp_path / "a b").write_text("x")
    assert Mirror().resolve((tmp_path / "a b").as_uri()).path == tmp_path / "a b"
    with pytest.raises(FetchError, match="no such file"):
        Mirror().resolve((tmp_path / "none").as_uri())
    with pytest.raises(ConfigError, match="absolute and local"):
        Mirror().resolve("file://elsewhere/x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "a list, not an object"),
        ("null", "null, not an object"),
        ('{"https://a/": "x", "https://a/": "y"}', "is there twice"),
        ('{"data.example/": "x"}', "does not begin with http://"),
        ('{"ftp://a/": "x"}', "does not begin with http://"),
        ('{"https://a/": 3}', "neither a URL, nor a path"),
        ('{"https://a/": ""}', "neither a URL, nor a path"),
        ('{"https://a/": {"folder": "x"}}', "neither a URL, nor a path"),
        ('{"https://a/": {"folder": "x", "as": "../y"}}', "not a plain folder name"),
        ('{"https://a/": {"folder": "x", "as": ""}}', "not a plain folder name"),
        ('{"https://a/": "ftp://b/"}', "not an http, https or file URL"),
    ],
)
def test_garbled_file(tmp_path: Path, text: str, said: str) -> None:
    """A mirror file that is not as it should be is an error that names it, the place and the manual."""
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(FetchError, match=said) as e:
        read_mirror(tmp_path / "m.json")
    assert str(tmp_path / "m.json") in str(e.value)
    assert "docs/mirrors.md" in str(e.value)


def test_missing_mirror_file(tmp_path: Path) -> None:
    """A mirror file that is not there, or not text, is an error that names the variable."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("none.json", "binary", "."):
        with pytest.raises(FetchError, match=r"cannot be read[\s\S]*STAGEDML_MIRROR"):
            read_mirror(tmp_path / name)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data.zip", "fetchlocal"),
        ("/data.zip", "fetchlocal"),
        ("ftp://a/b", "not an http, https or file URL"),
        ("https:///x", "names no host"),
        ("https://[x/", "not a URL"),
        ("https://me:secret@host/x", "a user name or a password"),
    ],
)
def test_impossible_urls(url: str, said: str) -> None:
    """What cannot be fetched is refused, and a password is not repeated."""
    with pytest.raises(ConfigError, match=said) as e:
        check_url(url)
    assert "secret" not in str(e.value)
