"""Canonical bytes and digests: what is the same, what differs, what is refused."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path
from typing import Any

import pytest

from stagedml.config import config_dref, mkconfig, promise
from stagedml.errors import ConfigError, StoreError
from stagedml.hashing import canonical, digest, hash_file, hash_tree, normalize

SAME = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": (1, 2)}, {"a": [1, 2]}),
    ({"a": -0.0}, {"a": 0.0}),
    ({"a": 1e-5}, {"a": 0.00001}),
    ({"a": promise("x/y.txt")}, {"a": [promise, "x", "y.txt"]}),
]
DIFFERENT = [
    ({"a": 1}, {"a": 1.0}),
    ({"a": 1}, {"a": True}),
    ({"a": 0}, {"a": None}),
    ({"a": "1"}, {"a": 1}),
    ({"a": [[1], 2]}, {"a": [1, [2]]}),
    ({"a": {}}, {"a": []}),
    ({"a": "é"}, {"a": "e\u0301"}),
    ({"a": None}, {}),
    ({"a": promise("x")}, {"a": promise("x", volatile=True)}),
]
REFUSED = [
    ({"a": {1, 2}}, r"config\.a.*a set has no stable bytes\n.*sorted list"),
    ({"a": [b"x"]}, r"config\.a\[0\].*a bytes has no stable bytes"),
    ({"a": {"b": float("nan")}}, r"config\.a\.b.*nan has no stable bytes"),
    ({"a": float("-inf")}, r"config\.a.*inf"),
    ({"a": {3: 1}}, r"config\.a.*the key 3 is no string\n.*str\(key\)"),
    ({"a": "\ud800"}, r"config\.a.*not Unicode"),
    ({"a": object()}, r"config\.a.*a object has no stable bytes"),
    ({"a": Path("x")}, r"config\.a.*\n.*fetchlocal"),
    ({"a": len}, r"config\.a.*has no stable bytes"),
    ({"name": "../x"}, r"not a name: '\.\./x'"),
    ({"name": ""}, "not a name"),
    ({"name": ".hidden"}, "not a name"),
    ({"name": "x" * 200}, "not a name"),
    ({"a": [promise]}, "an output needs a file name"),
    ({"a": [promise, ".."]}, "'..' is no plain file name"),
    ({"a": [promise, "/etc"]}, "'/etc' is no plain file name"),
    ({"a": ["dref:" + "0" * 32 + "-x", "..", "y"]}, "'..' is no plain file name"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_these_configs_are_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Different ways of writing one config give one derivation."""
    assert config_dref(mkconfig(one)) == config_dref(mkconfig(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_these_configs_are_two(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Configs that look alike but differ give different derivations."""
    assert config_dref(mkconfig(one)) != config_dref(mkconfig(other))


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_what_has_no_stable_bytes_is_refused_with_its_place(config: dict[str, Any], message: str) -> None:
    """Nothing is hashed by its repr: the error names the place and, where there is one, the remedy."""
    with pytest.raises(ConfigError, match=message.replace(" ", r"\s")):
        mkconfig(config)


def test_an_array_is_refused_with_the_remedy() -> None:
    """A numpy number says .item(), because that is what its owner has to write."""
    import numpy as np

    with pytest.raises(ConfigError, match=r"use \.item\(\)"):
        normalize({"lr": np.float32(0.1)})


def test_parts_cannot_run_into_each_other() -> None:
    """Digests of ("ab", "c") and ("a", "bc") differ, and so do those under different tags."""
    assert digest("t", b"ab", b"c") != digest("t", b"a", b"bc")
    assert digest("t", b"a") != digest("u", b"a")


def test_canonical_bytes_are_compact_sorted_utf8() -> None:
    """The written form, literally."""
    assert canonical(normalize({"b": [1, 2.5, None], "a": "ж"})) == '{"a":"ж","b":[1,2.5,null]}'.encode()


def test_a_folder_hash_sees_names_contents_kinds_and_empty_folders(tmp_path: Path) -> None:
    """Renaming, moving, making executable, or adding an empty folder changes the manifest."""
    (tmp_path / "a").write_text("x")
    seen = [hash_tree(str(tmp_path))]
    (tmp_path / "a").rename(tmp_path / "b")
    seen.append(hash_tree(str(tmp_path)))
    os.chmod(tmp_path / "b", 0o755)
    seen.append(hash_tree(str(tmp_path)))
    (tmp_path / "empty").mkdir()
    seen.append(hash_tree(str(tmp_path)))
    (tmp_path / "b").rename(tmp_path / "empty" / "b")
    seen.append(hash_tree(str(tmp_path)))
    assert all(seen[i] != seen[j] for i in range(len(seen)) for j in range(i))


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "deep/../../outside"])
def test_links_that_leave_the_folder_are_refused(tmp_path: Path, target: str) -> None:
    """A published folder cannot point out of itself."""
    os.symlink(target, tmp_path / "link")
    with pytest.raises(StoreError, match="points outside"):
        hash_tree(str(tmp_path))


def test_a_link_through_another_link_cannot_lead_out(tmp_path: Path) -> None:
    """Each of the two stays inside by its words; together they do not."""
    (tmp_path / "out" / "d").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "out" / "d" / "up").symlink_to("..")
    assert hash_tree(str(tmp_path / "out"))["d/up"][2] == "l"
    (tmp_path / "out" / "d" / "leak").symlink_to("up/../secret")
    with pytest.raises(StoreError, match=r"d/leak points outside its folder, to up/\.\./secret"):
        hash_tree(str(tmp_path / "out"))


def test_a_link_inside_is_kept_as_a_link(tmp_path: Path) -> None:
    """A relative link to a neighbour is an artifact like others."""
    (tmp_path / "a").write_text("x")
    os.symlink("a", tmp_path / "link")
    assert hash_tree(str(tmp_path))["link"][2] == "l"


def test_devices_and_pipes_are_refused(tmp_path: Path) -> None:
    """What is neither file, folder nor link cannot be published."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="neither file, folder nor link"):
        hash_tree(str(tmp_path))


def test_names_that_are_not_unicode_are_refused(tmp_path: Path) -> None:
    """A manifest is JSON: a name that is no text is named in the error."""
    with open(os.path.join(os.fsencode(tmp_path), b"\xff"), "w") as f:
        f.write("x")
    with pytest.raises(StoreError, match="not Unicode"):
        hash_tree(str(tmp_path))


@pytest.mark.parametrize("size", [0, 3, 1 << 14, (1 << 14) + 1, 1 << 20, (1 << 24) + 77])
def test_the_hash_of_a_file_is_its_sha256(tmp_path: Path, size: int) -> None:
    """The digests in a manifest can be checked with sha256sum, whatever the pieces that were read."""
    data = random.Random(size).randbytes(size)
    (tmp_path / "f").write_bytes(data)
    assert hash_file(str(tmp_path / "f")) == hashlib.sha256(data).hexdigest()
