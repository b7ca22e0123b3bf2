"""Downloads against a real server that misbehaves."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_server import Fault, Site, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stagedml.errors import ChecksumError, ConfigError, FetchError
from stagedml.fetch.checksum import Checksum
from stagedml.fetch.download import Downloaded, Patience, download, user_agent
from stagedml.progress import Progress

BODY = bytes(range(256)) * 4000  # about a megabyte
SHA256 = Checksum("sha256", hashlib.sha256(BODY).hexdigest())
Fetch = Callable[..., Downloaded]


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of its own for each test."""
    with serving() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that a download asked for, in seconds; none is really made."""
    return []


@pytest.fixture
def fetch(tmp_path: Path, pauses: list[float]) -> Fetch:
    """`download` to `tmp_path/file` with short patience and no real pauses."""

    def run(url: str, *, tries: int = 4, timeout_s: float = 5.0, **options: object) -> Downloaded:
        patience = Patience(tries=tries, timeout_s=timeout_s, sleep=pauses.append, jitter=lambda: 1.0)
        return download(url, tmp_path / "file", patience=patience, **options)  # type: ignore[arg-type]

    return run


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


def test_cut_connection_is_continued(site: Site, fetch: Fetch, tmp_path: Path, pauses: list[float]) -> None:
    """After each cut the rest is asked for, under the condition that the file is the same."""
    site.faults.extend([Fault(cut=1000), Fault(cut=500_000), Fault(cut=7)])
    fetch(site.put("/a", BODY), checksum=SHA256, tries=2)
    assert (tmp_path / "file").read_bytes() == BODY
    assert site.ranges() == ["", "bytes=1000-", "bytes=501000-", "bytes=501007-"]
    assert site.requests[1][1]["if-range"] == '"v1"'
    assert len(pauses) == 3


def test_next_call_continues(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """What a failed download gathered is where the next one begins, and its hash covers both parts."""
    url = site.put("/a", BODY)
    site.faults.extend([Fault(cut=300_000), Fault(status=503), Fault(status=503)])
    with pytest.raises(FetchError, match="300,000 bytes are kept"):
        fetch(url, tries=3)
    got = fetch(url)
    assert (got.resumed_at, got.sha256) == (300_000, SHA256.hexdigest)
    assert (tmp_path / "file").read_bytes() == BODY


def test_kill_keeps_what_arrived(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A process killed without warning in mid-download leaves a part that the next one continues."""
    url = site.put("/a", BODY)
    site.faults.append(Fault(stall=400_000))
    code = (
        "import sys, pathlib; from stagedml.fetch.download import download, Progress\n"
        "class Tell(Progress):\n"
        "    n = 0\n"
        "    def update(self, n=1):\n"
        "        self.n += n\n"
        "        if self.n == 400_000: print('there', flush=True)\n"
        "download(sys.argv[1], pathlib.Path(sys.argv[2]), progress=lambda total: Tell())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, url, str(tmp_path / "file")], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        child.send_signal(signal.SIGKILL)
    assert fetch(url).resumed_at == 400_000
    assert (tmp_path / "file").read_bytes() == BODY
    assert site.ranges() == ["", "bytes=400000-"]


def test_killed_before_the_check(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A part that is whole already is checked and used without another request."""
    url = site.put("/a", BODY)
    site.faults.extend([Fault(cut=300_000), Fault(status=503)])
    with pytest.raises(FetchError):
        fetch(url, tries=2)
    with (tmp_path / "file.part").open("ab") as part:
        part.write(BODY[300_000:])
    asked = len(site.requests)
    fetch(url, checksum=SHA256)
    assert len(site.requests) == asked
    assert (tmp_path / "file").read_bytes() == BODY


def test_file_changed_between_tries(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A file that changed meanwhile is fetched anew, not glued to the old beginning."""
    url = site.put("/a", b"old" * 1000)
    site.faults.extend([Fault(cut=100), Fault(status=500)])
    with pytest.raises(FetchError):
        fetch(url, tries=2)
    site.put("/a", BODY, '"v2"')
    fetch(url)
    assert (tmp_path / "file").read_bytes() == BODY


def test_server_that_ignores_if_range(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A 206 with another ETag than the part's is not appended, whatever the server thinks it answered."""
    url = site.put("/a", b"old" * 1000)
    site.faults.extend([Fault(cut=100), Fault(status=500)])
    with pytest.raises(FetchError):
        fetch(url, tries=2)
    site.put("/a", BODY, '"v2"')
    span = ("Content-Range", f"bytes 100-{len(BODY) - 1}/{len(BODY)}")
    site.faults.append(Fault(status=206, body=BODY[100:], headers=(span, ("ETag", '"v2"'))))
    fetch(url)
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("span", ["bytes 0-99/100", "bytes 7-9/1024000", "nonsense", ""])
def test_wrong_content_range(site: Site, fetch: Fetch, tmp_path: Path, span: str) -> None:
    """A partial answer for another place starts the download over."""
    site.faults.extend(
        [Fault(cut=100), Fault(status=206, body=b"x" * 10, headers=(("Content-Range", span),))]
    )
    fetch(site.put("/a", BODY))
    assert (tmp_path / "file").read_bytes() == BODY


def test_no_range_support(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """Where a server knows no ranges each try is a whole one."""
    site.faults.extend([Fault(cut=1000, ranges=False), Fault(ranges=False)])
    fetch(site.put("/a", BODY), checksum=SHA256)
    assert (tmp_path / "file").read_bytes() == BODY


def test_always_cut_at_one_place(site: Site, fetch: Fetch) -> None:
    """A download that never gets further is given up after the allowed tries."""
    site.faults.extend([Fault(cut=1000, ranges=False)] * 9)
    with pytest.raises(FetchError, match=r"3 tries .* cut at byte 1,000 of 1,024,000"):
        fetch(site.put("/a", BODY), tries=3)
    assert len(site.requests) == 3


def test_without_validator_nothing_is_continued(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """Bytes of an unknown version are not continued where nothing would tell a mixture."""
    url = site.put("/a", BODY)
    site.faults.extend([Fault(cut=100, validator=False), Fault(status=500), Fault(validator=False)])
    with pytest.raises(FetchError):
        fetch(url, tries=2)
    assert fetch(url).resumed_at == 0
    assert site.ranges()[-1] == ""


def test_mixture_is_found_by_the_checksum(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """Continued without a validator, a mixture of two versions fails its checksum and is fetched afresh."""
    url = site.put("/a", b"?" * len(BODY), etag="")
    site.faults.extend([Fault(cut=100), Fault(status=500)])
    with pytest.raises(FetchError):
        fetch(url, tries=2, checksum=SHA256)
    site.put("/a", BODY, etag="")
    assert fetch(url, checksum=SHA256).resumed_at == 0
    assert (tmp_path / "file").read_bytes() == BODY
    assert site.ranges()[-2:] == ["bytes=100-", ""]


def test_part_of_another_url(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A part that belongs to another address is dropped."""
    site.faults.extend([Fault(cut=100), Fault(status=404)])
    with pytest.raises(FetchError):
        fetch(site.put("/old", b"old" * 1000))
    fetch(site.put("/a", BODY))
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("note", [None, "", "{", "[]", '{"url": 1}'])
def test_part_without_a_readable_note(site: Site, fetch: Fetch, tmp_path: Path, note: str | None) -> None:
    """Bytes that nothing tells about are not used."""
    (tmp_path / "file.part").write_bytes(b"garbage")
    if note is not None:
        (tmp_path / "file.part.json").write_text(note)
    fetch(site.put("/a", BODY))
    assert (tmp_path / "file").read_bytes() == BODY
    assert os.listdir(tmp_path) == ["file"]


def test_server_has_less_than_the_part(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A 416 for a file that shrank starts over."""
    site.faults.extend([Fault(cut=5000), Fault(status=500)])
    with pytest.raises(FetchError):
        fetch(site.put("/a", BODY), tries=2)
    fetch(site.put("/a", b"short"))
    assert (tmp_path / "file").read_bytes() == b"short"


def test_part_of_unknown_length_was_whole(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A 416 that says that nothing is missing ends the download."""
    url = site.put("/a", BODY)
    site.faults.append(Fault(chunked=True, cut=len(BODY)))
    fetch(url)
    assert (tmp_path / "file").read_bytes() == BODY
    assert site.ranges() == ["", f"bytes={len(BODY)}-"]


def test_cut_without_a_length(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """Without a length a cut looks like the end; the checksum tells, and the next try is a fresh one."""
    site.faults.append(Fault(cut=5000, length=""))
    fetch(site.put("/a", BODY), checksum=SHA256)
    assert (tmp_path / "file").read_bytes() == BODY
    assert site.ranges() == ["", ""]


def test_reset_connection(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    """A connection that is reset, with the loss of what was under way, is continued too."""
    site.faults.append(Fault(cut=500_000, reset=True))
    fetch(site.put("/a", BODY))
    assert (tmp_path / "file").read_bytes() == BODY


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
