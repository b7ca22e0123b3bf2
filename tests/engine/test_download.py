"""Downloads against a real server that misbehaves."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from faulty_server import Fault, Fetch, Site, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stagedml.errors import ChecksumError, ConfigError, FetchError
from stagedml.fetch.checksum import Checksum
from stagedml.fetch.download import Patience, download, user_agent
from stagedml.progress import Progress

BODY = bytes(range(256)) * 4000  # about a megabyte
SHA256 = Checksum("sha256", hashlib.sha256(BODY).hexdigest())


class Counter(Progress):
    """Remembers what it was told."""

    def __init__(self, total: float | None) -> None:
        self.total, self.n = total, 0.0

    def update(self, n: float = 1) -> None:
        self.n += n


def test_plain(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A file arrives whole, with its sha256 and nothing beside it."""
    got = fetch(site.put("/a", BODY))
    assert (tmp_path / "file").read_bytes() == BODY
    assert (got.size, got.sha256, got.resumed_at) == (len(BODY), SHA256.hexdigest, 0)
    assert os.listdir(tmp_path) == ["file"]


def test_empty_file(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A file of no bytes is a file."""
    assert fetch(site.put("/a", b"")).size == 0
    assert (tmp_path / "file").read_bytes() == b""


def test_user_agent(site: Site, fetch: Fetch) -> None:
    """Servers learn who asks, and are told not to recompress."""
    fetch(site.put("/a", BODY))
    headers = site.requests[0][1]
    assert headers["user-agent"] == user_agent()
    assert re.fullmatch(r"stagedml/\d[\w.]*", user_agent())
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
def test_checksums(site: Site, fetch: Fetch, tmp_path: Path, algorithm: str) -> None:
    """Each kind of checksum accepts its file, and refuses another without keeping a byte of it."""
    right = Checksum(algorithm, hashlib.new(algorithm, BODY).hexdigest().upper())
    assert fetch(site.put("/a", BODY), checksum=right).sha256 == SHA256.hexdigest
    (tmp_path / "file").unlink()
    url = site.put("/a", b"something else")
    with pytest.raises(ChecksumError) as e:
        fetch(url, checksum=right)
    for said in (url, right.hexdigest, hashlib.new(algorithm, b"something else").hexdigest()):
        assert said in str(e.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("algorithm", "digest", "said"),
    [
        ("sha256", "abc", "64 hexadecimal"),
        ("sha1", "x" * 40, "40 hexadecimal"),
        ("crc32", "00", "known: sha256"),
    ],
)
def test_impossible_checksum(algorithm: str, digest: str, said: str) -> None:
    """A checksum that none can be is refused before anything is asked of a server."""
    with pytest.raises(ConfigError, match=said):
        Checksum(algorithm, digest)


def test_wrong_length(site: Site, fetch: Fetch) -> None:
    """A server whose file is not of the expected size is refused before the bytes are taken."""
    with pytest.raises(FetchError, match="wrong length: expected 5 bytes, the server has 1,024,000"):
        fetch(site.put("/a", BODY), size=5)


def test_promised_more_than_sent(site: Site, fetch: Fetch) -> None:
    """A body shorter than its Content-Length is a cut, not a file."""
    site.faults.extend([Fault(length="2000000", ranges=False)] * 4)
    with pytest.raises(FetchError, match="cut at byte 1,024,000 of 2,000,000"):
        fetch(site.put("/a", BODY), tries=2)


def test_chunked(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A chunked body without a length arrives, and one that breaks off is repeated."""
    site.faults.extend([Fault(chunked=True, cut=1000), Fault(chunked=True)])
    fetch(site.put("/a", BODY), size=len(BODY))
    assert (tmp_path / "file").read_bytes() == BODY


def test_slow_server(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """Bytes that come one at a time are still progress."""
    site.faults.append(Fault(dribble=True))
    fetch(site.put("/a", b"slowly but surely"), tries=1)
    assert (tmp_path / "file").read_bytes() == b"slowly but surely"


def test_stalled_server(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A server that falls silent is left after the time limit and asked for the rest."""
    site.faults.append(Fault(stall=1000))
    fetch(site.put("/a", BODY), timeout_s=0.2)
    assert (tmp_path / "file").read_bytes() == BODY
    assert site.ranges() == ["", "bytes=1000-"]


def test_server_errors_pass(site: Site, fetch: Fetch, pauses: list[float], tmp_path: Path) -> None:
    """Passing errors are waited out with growing pauses, and a Retry-After is honoured."""
    site.faults.extend(
        [Fault(status=500), Fault(status=503), Fault(status=429, headers=(("Retry-After", "7"),))]
    )
    fetch(site.put("/a", BODY))
    assert pauses == [0.5, 1.0, 7.0]
    assert (tmp_path / "file").read_bytes() == BODY


def test_server_errors_that_stay(site: Site, fetch: Fetch) -> None:
    """After the allowed tries the last answer is reported."""
    site.faults.extend([Fault(status=502)] * 4)
    with pytest.raises(FetchError, match=r"gave up after 4 tries .*502"):
        fetch(site.put("/a", BODY))


@pytest.mark.parametrize(
    ("failures", "jitter", "retry_after", "expected"),
    [
        (1, 1.0, 0, 0.5),
        (4, 1.0, 0, 4.0),
        (4, 0.0, 0, 2.0),
        (30, 1.0, 0, 60.0),
        (1, 1.0, 9, 9.0),
        (1, 1.0, 1e9, 60.0),
    ],
)
def test_pauses(failures: int, jitter: float, retry_after: float, expected: float) -> None:
    """Pauses double, are jittered downwards, and have a ceiling that no server can lift."""
    slept: list[float] = []
    Patience(sleep=slept.append, jitter=lambda: jitter).pause(failures, retry_after)
    assert slept == [expected]


@pytest.mark.parametrize(
    ("status", "said"), [(404, "check the address"), (403, "by hand"), (410, "removed"), (400, "400")]
)
def test_final_answers(site: Site, fetch: Fetch, pauses: list[float], status: int, said: str) -> None:
    """An answer that will not change is reported at once, with what to do."""
    site.faults.append(Fault(status=status))
    with pytest.raises(FetchError, match=said) as e:
        fetch(site.put("/a", BODY))
    assert site.url + "/a" in str(e.value)
    assert (pauses, len(site.requests)) == ([], 1)


def test_redirect(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A redirect is followed, also when a download is continued."""
    site.put("/b", BODY)
    moved = Fault(status=302, headers=(("Location", "/b"),))
    site.faults.extend([moved, Fault(cut=1000), moved])
    fetch(site.url + "/a")
    assert (tmp_path / "file").read_bytes() == BODY
    assert site.requests[-1][0] == "/b"
    assert site.ranges()[-1] == "bytes=1000-"


def test_redirect_to_nothing(site: Site, fetch: Fetch) -> None:
    """The message about a page that is missing behind a redirect names both addresses."""
    site.faults.append(Fault(status=301, headers=(("Location", "/gone"),)))
    with pytest.raises(FetchError, match=r"/a \(redirected to .*/gone\): .*404"):
        fetch(site.put("/a", BODY))


def test_redirect_loop(site: Site, fetch: Fetch, pauses: list[float]) -> None:
    """A circle of redirects ends."""
    site.faults.extend([Fault(status=302, headers=(("Location", "/a"),))] * 20)
    with pytest.raises(FetchError, match="in a circle"):
        fetch(site.put("/a", BODY))
    assert pauses == []


def test_redirect_to_a_file(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A server cannot make us read our own disk."""
    (tmp_path / "secret").write_text("secret")
    site.faults.append(Fault(status=302, headers=(("Location", f"file://{tmp_path}/secret"),)))
    with pytest.raises(FetchError, match="nowhere"):
        fetch(site.put("/a", BODY))
    assert not (tmp_path / "file").exists()


def test_nobody_listens(fetch: Fetch, pauses: list[float]) -> None:
    """A refused connection is retried, then reported."""
    with serving() as gone:
        url = gone.url
    with pytest.raises(FetchError, match="refused"):
        fetch(url + "/a", tries=2)
    assert len(pauses) == 1


def test_proxy(site: Site, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the environment is asked, with the whole URL."""
    site.put("/a", BODY)
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    fetch("http://data.example/a")
    assert site.requests[0][0] == "http://data.example/a"
    assert (tmp_path / "file").read_bytes() == BODY


def test_blanks_and_other_scripts(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A URL typed as people read it is escaped on the way."""
    site.put("/%D1%8F%20b%20c", BODY)
    fetch(site.url + "/я b%20c")
    assert (tmp_path / "file").read_bytes() == BODY


def test_progress(site: Site, fetch: Fetch) -> None:
    """Progress is counted in bytes of the whole file, those of an earlier try included."""
    bars: list[Counter] = []

    def bar(total: float | None) -> Counter:
        bars.append(Counter(total))
        return bars[-1]

    site.faults.append(Fault(cut=1000))
    fetch(site.put("/a", BODY), progress=bar)
    assert [(b.total, b.n) for b in bars] == [(len(BODY), 1000), (len(BODY), len(BODY))]


def test_length_told_late(site: Site, fetch: Fetch) -> None:
    """A rest that is cut is not taken for the end where only that answer told the length."""
    site.faults.extend([Fault(cut=10, chunked=True), Fault(cut=5)])
    assert fetch(site.put("/a", BODY)).path.read_bytes() == BODY


def test_no_space(site: Site, fetch: Fetch) -> None:
    """A file that cannot fit is refused before its bytes are taken."""
    site.faults.append(Fault(length=str(1 << 60)))
    with pytest.raises(FetchError, match="not enough space"):
        fetch(site.put("/a", BODY))


def test_unwritable_part(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A part file that cannot be written is an error that names it."""
    (tmp_path / "file.part").mkdir()
    with pytest.raises(FetchError, match=r"cannot write .*file\.part"):
        fetch(site.put("/a", BODY))


FAULTS = st.one_of(
    st.builds(Fault, cut=st.integers(0, 3000), ranges=st.booleans(), validator=st.booleans()),
    st.builds(Fault, cut=st.integers(0, 3000), chunked=st.just(True)),
    st.builds(Fault, status=st.sampled_from([408, 429, 500, 502, 503, 504])),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(FAULTS, max_size=8), body=st.binary(max_size=3000), change_at=st.integers(0, 8))
def test_any_row_of_faults(
    site: Site, tmp_path_factory: pytest.TempPathFactory, faults: list[Fault], body: bytes, change_at: int
) -> None:
    """Whatever goes wrong, and wherever the file changes, what arrives is one whole version of it."""
    url = site.put("/a", body)
    site.faults.clear()
    site.faults.extend(faults)
    versions = {body}

    def pause(_: float) -> None:
        if len(versions) == 1 and len(site.faults) <= change_at:
            changed = body[::-1] + b"!"
            versions.add(changed)
            site.put("/a", changed, '"v2"')

    target = tmp_path_factory.mktemp("any") / "file"
    got = download(url, target, patience=Patience(tries=20, timeout_s=5, sleep=pause))
    assert target.read_bytes() in versions
    assert got.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
