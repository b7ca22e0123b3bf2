"""Archives that mean harm: names, links, sizes, and any row of them."""

from __future__ import annotations

import bz2
import gzip
import os
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from archives import FILES, TAR_MODES, contents, member, refused, tar_of, tarred, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedml.errors import FetchError, UnsafeArchiveError
from stagedml.fetch.safetree import Limits, safe_name
from stagedml.fetch.unpack import unpack


def test_modes(tmp_path: Path) -> None:
    """Of a mode only the execute bit is kept; setuid, write bits for others and missing read bits are not."""
    modes = {"plain": 0o600, "run": 0o700, "suid": 0o6755, "all": 0o666, "none": 0o000}
    tar_of(tmp_path / "x.tar", [member(name, b"x", mode=mode) for name, mode in modes.items()])
    unpack(tmp_path / "x.tar", tmp_path / "out")
    got = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "out").iterdir()}
    assert got == {"plain": 0o644, "run": 0o755, "suid": 0o755, "all": 0o644, "none": 0o644}


def test_later_member_wins(tmp_path: Path) -> None:
    """A name that comes twice is what it was last, as with tar itself; also where it was a link."""
    members = [
        member("a", b"old"),
        member("a", b"new"),
        member("b", kind=tarfile.SYMTYPE, link="a"),
        member("b", b"B"),
    ]
    assert unpack(tar_of(tmp_path / "x.tar", members), tmp_path / "out") == 2
    assert contents(tmp_path / "out") == {"a": b"new", "b": b"B"}


def test_good_links(tmp_path: Path) -> None:
    """Links within the archive are kept, hard ones as files."""
    members = [
        member("d/up", kind=tarfile.SYMTYPE, link="../a"),
        member("a", b"alpha"),
        member("same", kind=tarfile.LNKTYPE, link="./a"),
        member("folder", kind=tarfile.SYMTYPE, link="d"),
    ]
    assert unpack(tar_of(tmp_path / "x.tar", members), tmp_path / "out") == 4
    out = tmp_path / "out"
    assert (os.readlink(out / "d/up"), os.readlink(out / "folder")) == ("../a", "d")
    assert (out / "folder/up").read_bytes() == (out / "same").read_bytes() == b"alpha"


def test_zip_links(tmp_path: Path) -> None:
    """A zip's symbolic links are links, held to the same rules."""
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    for target, good in (("a", True), ("../a", False)):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr("a", b"alpha")
            archive.writestr(info, target)
        if good:
            unpack(tmp_path / "x.zip", tmp_path / "out")
            assert (tmp_path / "out/link").is_symlink()
            assert (tmp_path / "out/link").read_bytes() == b"alpha"
            (tmp_path / "out").rename(tmp_path / "good")
        else:
            refused(tmp_path / "x.zip", match="lead out")


@pytest.mark.parametrize(
    "name", ["../a", "/a", "d/../../a", "..", "C:\\a", "C:/a", "\\\\host\\a", "..\\a", "/"]
)
def test_zip_names_that_leave(tmp_path: Path, name: str) -> None:
    """A zip member that would leave the folder is refused, with slashes of either kind."""
    refused(zipped(tmp_path / "x.zip", {"good": b"", name: b"bad"}), match="leave the folder")


@pytest.mark.parametrize("name", ["../a", "/a", "d/../../a", "..", "d/..", "c:a"])
def test_tar_names_that_leave(tmp_path: Path, name: str) -> None:
    """A tar member that would leave the folder is refused."""
    refused(tarred(tmp_path / "x.tar", {"good": b"", name: b"bad"}), match="leave the folder")


LINK_ATTACKS = {
    "absolute": [member("l", kind=tarfile.SYMTYPE, link="/etc")],
    "upwards": [member("l", kind=tarfile.SYMTYPE, link="../x")],
    "from a folder": [member("d/l", kind=tarfile.SYMTYPE, link="../../x")],
    "empty": [member("l", kind=tarfile.SYMTYPE, link="")],
    "through another": [
        member("d/e/f", b""),
        member("deep", kind=tarfile.SYMTYPE, link="d/e"),
        member("out", kind=tarfile.SYMTYPE, link="deep/../../.."),
    ],
    "chain": [
        member("b/c/f", b""),
        member("a", kind=tarfile.SYMTYPE, link="b/c"),
        member("s/x", kind=tarfile.SYMTYPE, link="../a/../../../y"),
    ],
    "write through": [member("l", kind=tarfile.SYMTYPE, link="d"), member("l/f", b"x")],
    "write through, late": [member("l/f", b"x"), member("l", kind=tarfile.SYMTYPE, link="d")],
    "file as folder": [member("l", b"x"), member("l/f", b"x")],
    "hard, outside": [member("h", kind=tarfile.LNKTYPE, link="../x.tar")],
    "hard, absolute": [member("h", kind=tarfile.LNKTYPE, link="/etc/passwd")],
    "hard, unknown": [member("h", kind=tarfile.LNKTYPE, link="nothing")],
    "hard, to a link": [
        member("l", kind=tarfile.SYMTYPE, link="d"),
        member("h", kind=tarfile.LNKTYPE, link="l"),
    ],
    "hard, to a folder": [member("d", kind=tarfile.DIRTYPE), member("h", kind=tarfile.LNKTYPE, link="d")],
    "device": [member("dev", kind=tarfile.CHRTYPE)],
    "block device": [member("dev", kind=tarfile.BLKTYPE)],
    "pipe": [member("pipe", kind=tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("attack", LINK_ATTACKS)
def test_tar_attacks(tmp_path: Path, attack: str) -> None:
    """Links that lead out, writes through links and special files are refused."""
    refused(tar_of(tmp_path / "x.tar", LINK_ATTACKS[attack]))


def test_zip_device(tmp_path: Path) -> None:
    """A zip cannot bring a device either."""
    info = zipfile.ZipInfo("dev")
    info.create_system, info.external_attr = 3, (stat.S_IFCHR | 0o666) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, b"")
    refused(tmp_path / "x.zip", match="device")


def bombs(folder: Path) -> dict[str, Path]:
    """Two megabytes of zeros in each packing."""
    zeros = {"zeros": bytes(2_000_000)}
    gz = folder / "z.gz"
    gz.write_bytes(gzip.compress(zeros["zeros"]))
    bz = folder / "z.bz2"
    bz.write_bytes(bz2.compress(zeros["zeros"]))
    return {
        "zip": zipped(folder / "x.zip", zeros),
        "tar.gz": tarred(folder / "x.tar.gz", zeros, "w:gz"),
        "tar.xz": tarred(folder / "x.tar.xz", zeros, "w:xz"),
        "gz": gz,
        "bz2": bz,
    }


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "gz", "bz2"])
def test_bombs(tmp_path: Path, kind: str) -> None:
    """An archive that grows beyond its ratio is stopped, but never below the floor."""
    archive = bombs(tmp_path)[kind]
    with pytest.raises(UnsafeArchiveError, match="beyond its limit of 1,000,000"):
        unpack(archive, tmp_path / "out", limits=Limits(ratio=2, floor=1_000_000))
    assert not (tmp_path / "out").exists()
    assert unpack(archive, tmp_path / "out", limits=Limits(ratio=2, floor=3_000_000)) == 1


def test_too_many_members(tmp_path: Path) -> None:
    """The number of members is bounded, folders included."""
    archive = tar_of(tmp_path / "x.tar", [member(f"d{i}", kind=tarfile.DIRTYPE) for i in range(11)])
    with pytest.raises(UnsafeArchiveError, match="more than 10 members"):
        unpack(archive, tmp_path / "out", limits=Limits(members=10))


def test_no_space(tmp_path: Path) -> None:
    """A zip that says that it is larger than the disk is not begun."""
    archive = zipped(tmp_path / "x.zip", {"a": b"x" * 1000})
    raw = bytearray(archive.read_bytes())
    at = raw.index(b"PK\x01\x02") + 24
    raw[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    archive.write_bytes(raw)
    with pytest.raises(FetchError, match="beyond its limit"):
        unpack(archive, tmp_path / "out")


def test_name_too_long(tmp_path: Path) -> None:
    """A name that the file system refuses is an error that shows its beginning."""
    refused(tarred(tmp_path / "x.tar", {"n" * 300: b""}), kind=FetchError, match=r"nnn\.\.\.'")


NAMES = st.lists(
    st.sampled_from(["a", "b", "..", ".", "", "/", "\\", "C:", "x\0y", "é"]), min_size=1, max_size=5
).map("/".join)
TYPES = st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
REUSE = settings(max_examples=80, deadline=None)


@given(name=st.one_of(NAMES, st.text(max_size=30)))
def test_safe_name_stays_below(name: str) -> None:
    """A name is refused, or names something below the folder."""
    try:
        inner = safe_name(name, "x.zip")
    except UnsafeArchiveError:
        return
    joined = os.path.normpath(os.path.join("/root/out", inner))
    assert joined == "/root/out" or joined.startswith("/root/out/")


def check_contained(archive: Path, base: Path) -> None:
    """Unpacks, or is refused; either way nothing outside of the folder is touched or reachable."""
    (base / "outside").mkdir()
    (base / "outside/secret").write_text("secret")
    out = base / "outside/in/out"
    out.parent.mkdir()
    before = {p for p in base.rglob("*") if p != archive}
    try:
        unpack(archive, out, limits=Limits(floor=1 << 20))
    except FetchError:
        assert not out.exists()
    after = {p for p in base.rglob("*") if p != archive and out not in (p, *p.parents)}
    assert after == before
    assert (base / "outside/secret").read_text() == "secret"
    for path in out.rglob("*"):
        assert os.path.realpath(path).startswith(os.path.realpath(out))
        kind = path.lstat().st_mode
        assert stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind)
        assert not kind & (stat.S_ISUID | stat.S_ISGID)


@REUSE
@given(members=st.lists(st.tuples(NAMES, TYPES, NAMES), max_size=8))
def test_no_tar_leaves(members: list[tuple[str, bytes, str]]) -> None:
    """No row of tar members, whatever their names and links, touches anything outside."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        made = [member(n, b"x" if t == tarfile.REGTYPE else b"", t, link) for n, t, link in members]
        check_contained(tar_of(base / "x.tar", made), base)


@REUSE
@given(members=st.lists(st.tuples(NAMES, st.booleans(), NAMES), max_size=8))
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_no_zip_leaves(members: list[tuple[str, bool, str]]) -> None:
    """No row of zip members, whatever their names and links, touches anything outside."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        with zipfile.ZipFile(base / "x.zip", "w") as archive:
            for name, is_link, content in members:
                info = zipfile.ZipInfo("?" * len(name))
                info.filename = name
                info.create_system = 3
                info.external_attr = ((stat.S_IFLNK if is_link else stat.S_IFREG) | 0o6777) << 16
                archive.writestr(info, content)
        check_contained(base / "x.zip", base)


SEEDS = st.sampled_from([".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])


@REUSE
@given(
    suffix=SEEDS,
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_no_damage_surprises(suffix: str, edits: list[tuple[float, int]]) -> None:
    """Random damage ends in a typed error or in files, never in an exception of the standard library."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        archive = base / f"x{suffix}"
        if suffix == ".zip":
            zipped(archive, FILES)
        else:
            tarred(archive, FILES, TAR_MODES[suffix])
        raw = bytearray(archive.read_bytes())
        for at, value in edits:
            raw[int(at * len(raw))] = value
        archive.write_bytes(raw)
        check_contained(archive, base)
