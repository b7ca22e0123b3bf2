"""Downloads that are cut, killed or answered wrongly go on, and never mix two versions of a file."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faulty_server import Fault, Fetch, Site

from stagedml.errors import FetchError
from stagedml.fetch.checksum import Checksum

BODY = bytes(range(256)) * 4000  # about a megabyte
SHA256 = Checksum("sha256", hashlib.sha256(BODY).hexdigest())


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
