"""Downloads: one URL in, one checked file out, whatever the network does in between.

Bytes stream into a part file that survives a kill. Beside it lies a note of what those bytes belong to: the
URL and the server's validator (a strong ETag, else Last-Modified). The next try, in this process or a later
one, asks for the rest with `Range` and `If-Range`, so that a file that changed in between is sent anew
instead of being glued together from two versions (RFC 9110, sections 13.1.5 and 14). Bytes without a
validator are resumed only where a checksum will tell.

A try that fails for a passing reason is repeated after an exponentially growing, jittered pause, and the
count starts afresh when the part has grown: a long download may be cut any number of times as long as it
gets on. A 404 does not pass, and a wrong checksum is not kept.
"""

from __future__ import annotations

import email.utils
import http.client
import random
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stagedml.errors import FetchError
from stagedml.fetch.checksum import Checksum
from stagedml.fetch.partfile import PartFile
from stagedml.progress import Progress

CHUNK = 1 << 18
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509})
FINAL_HINTS = {
    401: "it wants a login; fetch it by hand and map its URL to the file ($STAGEDML_MIRROR)",
    403: "it refuses this program; fetch it by hand and map its URL to the file ($STAGEDML_MIRROR)",
    404: "check the address, or map it to a mirror or a local file ($STAGEDML_MIRROR)",
    410: "it was removed; map its URL to a mirror or a local file ($STAGEDML_MIRROR)",
}
ProgressMaker = Callable[[float | None], Progress]


@dataclass(frozen=True)
class Patience:
    """How long to go on: `tries` in a row that get no further end the download.

    The pause before try n+1 is `base_s * 2**n`, at most `cap_s`, times a random factor between 0.5 and 1;
    a server's `Retry-After` is honoured up to `cap_s`. `timeout_s` bounds connecting and each wait for bytes.
    """

    tries: int = 6
    base_s: float = 0.5
    cap_s: float = 60.0
    timeout_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def pause(self, failures: int, at_least_s: float) -> None:
        """Waits after the n-th failure in a row (n from 1)."""
        wanted = min(self.cap_s, self.base_s * 2 ** (failures - 1)) * (0.5 + 0.5 * self.jitter())
        self.sleep(max(wanted, min(at_least_s, self.cap_s)))


@dataclass(frozen=True)
class Downloaded:
    """A finished download. `resumed_at` is the byte where the first request of this call continued, or 0."""

    path: Path
    size: int
    sha256: str
    resumed_at: int = 0


class _PassingError(Exception):
    """This try failed, another may not."""

    def __init__(self, what: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


def download(
    url: str,
    target: Path,
    *,
    checksum: Checksum | None = None,
    size: int | None = None,
    part: Path | None = None,
    patience: Patience | None = None,
    progress: ProgressMaker | None = None,
) -> Downloaded:
    """Downloads an http or https URL to `target`, whose folder exists.

    `part` is where the bytes gather (by default `target` with `.part` added, else a path on the same file
    system); it must belong to this download alone, and stays there when the download fails, for the next
    call to continue. `size` is the expected length in bytes. `progress` is called with the length, where
    known, and gets the bytes. Raises `ChecksumError` when the content is not the expected one, `FetchError`
    when there is none to be had.
    """
    job = _Job(url, checksum, size, patience or Patience(), progress or (lambda _: Progress()))
    with PartFile(part or target.with_name(target.name + ".part"), url, checksum=checksum) as gathered:
        resumed_at = gathered.size
        doubtful = job.gather(gathered)
        digests = gathered.digests()
        if checksum is not None and digests.asked != checksum.hexdigest and doubtful:
            # glued together from two versions, or cut where no length was given: a fresh start decides
            gathered.discard()
            resumed_at = 0
            job.gather(gathered)
            digests = gathered.digests()
        if checksum is not None and digests.asked != checksum.hexdigest:
            gathered.discard()
            raise checksum.mismatch(digests.asked, url)
        gathered.finish(target)
        return Downloaded(target, gathered.size, digests.sha256, resumed_at)


def user_agent() -> str:
    """What we call ourselves to servers."""
    import importlib.metadata  # late: needed by nobody who downloads nothing

    try:
        return f"stagedml/{importlib.metadata.version('stagedml')}"
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "stagedml/0"


@dataclass(frozen=True)
class _Job:
    """What one download is asked for."""

    url: str
    checksum: Checksum | None
    size: int | None
    patience: Patience
    progress: ProgressMaker

    def gather(self, part: PartFile) -> bool:
        """Makes the part whole. True when its bytes may be a mixture, or cut short without a sign."""
        failures = 0
        doubtful = part.size > 0
        while True:
            before = part.size
            try:
                if not part.whole:  # it is when a run ended between the last byte and the check
                    self._transfer(part)
                return doubtful or part.total is None
            except _PassingError as e:
                doubtful = doubtful or part.size > 0
                failures = 1 if part.size > before else failures + 1
                if failures >= self.patience.tries:
                    kept = (
                        f"{part.size:,} bytes are kept and the next run continues there; "
                        if part.size
                        else ""
                    )
                    raise FetchError(
                        f"gave up after {failures} tries in a row that got no further: {e}",
                        where=self.url,
                        hint=kept + "check the network, or map the URL to a mirror ($STAGEDML_MIRROR)",
                    ) from e
                self.patience.pause(failures, e.retry_after_s)

    def _transfer(self, part: PartFile) -> None:
        """One request, and its answer into the part."""
        headers = {"User-Agent": user_agent(), "Accept-Encoding": "identity"}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
            if part.validator:
                headers["If-Range"] = part.validator
        request = urllib.request.Request(_quoted(self.url), headers=headers)
        opener = urllib.request.build_opener(_Redirects(may_downgrade=self.checksum is not None))
        try:
            with opener.open(request, timeout=self.patience.timeout_s) as response:
                self._place(response, part)
                with self.progress(part.total) as bar:
                    bar.update(part.size)
                    while data := response.read1(CHUNK):
                        part.append(data)
                        bar.update(len(data))
        except urllib.error.HTTPError as e:
            with e:
                self._refused(e, part)
        except (http.client.HTTPException, OSError) as e:
            raise _judged(self.url, e) from e
        if part.total is not None and part.size < part.total:
            raise _PassingError(f"the connection was cut at byte {part.size:,} of {part.total:,}")
        if part.total is not None and part.size > part.total:
            raise self._wrong_length(part.total, part.size)

    def _place(self, response: http.client.HTTPResponse, part: PartFile) -> None:
        """Puts the part where the answer begins: at its end for a matching 206, else at zero."""
        validator = _validator(response)
        if response.status == 206:
            start, total = _content_range(response)
            changed = _differ(validator, part.validator)
            if start != part.size or changed or (None not in (total, part.total) and total != part.total):
                part.discard()
                raise _PassingError("the server went on with another file, or at another place")
            if part.total is None:  # an answer before this one gave no length
                part.total = total
        elif response.status == 200:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            if None not in (self.size, total) and total != self.size:
                raise self._wrong_length(self.size, total)
            part.restart(validator, total if total is not None else self.size)
        else:
            raise FetchError(f"the server answered {response.status} {response.reason}", where=self.url)
        part.check_space()

    def _refused(self, e: urllib.error.HTTPError, part: PartFile) -> None:
        """An answer without content: passing or final. Returns when there was just nothing left to send."""
        if e.code == 416:
            total = re.fullmatch(r"bytes \*/(\d+)", e.headers.get("Content-Range", "").strip())
            if total and int(total[1]) == part.size:
                part.total = part.size
                return
            part.discard()
            raise _PassingError("the server's file is not the one that the bytes here belong to")
        what = f"the server answered {e.code} {e.reason}"
        if e.code in PASSING_STATUS:
            raise _PassingError(what, retry_after_s=_retry_after(e.headers.get("Retry-After", "")))
        if 300 <= e.code < 400:
            what = f"redirected in a circle, too often or to nowhere (last: {e.code})"
        moved = e.url not in (None, self.url, _quoted(self.url))
        where = f"{self.url} (redirected to {e.url})" if moved else self.url
        raise FetchError(what, where=where, hint=FINAL_HINTS.get(e.code, ""))

    def _wrong_length(self, expected: int | None, got: int | None) -> FetchError:
        return FetchError(
            f"wrong length: expected {expected:,} bytes, the server has {got:,}",
            where=self.url,
            hint="either the file changed at its source, or the expected size is not its",
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but from https to http only where a checksum tells a forgery."""

    def __init__(self, *, may_downgrade: bool) -> None:
        self._may_downgrade = may_downgrade

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https:") and not self._may_downgrade:
            fp.close()
            raise FetchError(
                f"redirected from https to {newurl}", where=req.full_url, hint="give a checksum to allow that"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _judged(url: str, e: http.client.HTTPException | OSError) -> Exception:
    """Turns a failure on the way into a passing error or a final one."""
    reason = e.reason if isinstance(e, urllib.error.URLError) else e
    if isinstance(e, http.client.InvalidURL):
        return FetchError(f"not a URL: {e}", where=url)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FetchError(
            f"the server's certificate is not trusted: {reason.verify_message}",
            where=url,
            hint="check the clock, the CA certificates (SSL_CERT_FILE) and the proxy in between",
        )
    if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
        return FetchError(
            "no such host",
            where=url,
            hint="check the address and the network, or map the URL to a mirror ($STAGEDML_MIRROR)",
        )
    if isinstance(reason, TimeoutError):
        return _PassingError("no byte within the time limit")
    return _PassingError(str(reason) or type(reason).__name__)


def _validator(response: http.client.HTTPResponse) -> str:
    """What tells this version of the file from others; a weak ETag may not be used in `If-Range`."""
    etag = str(response.headers.get("ETag", ""))
    if etag.startswith('"'):
        return etag
    return str(response.headers.get("Last-Modified", ""))


def _differ(one: str, other: str) -> bool:
    """Whether two validators tell different versions; an ETag and a date tell nothing of each other."""
    comparable = bool(one and other) and one.startswith('"') == other.startswith('"')
    return comparable and one != other


def _content_range(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Start and full length that a 206 announces; -1 for a start that it does not tell."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if span is None:
        return -1, None
    return int(span[1]), None if span[2] == "*" else int(span[2])


def _retry_after(text: str) -> float:
    """Seconds of a `Retry-After`, which is a number of them or a date; 0 when it is neither."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _quoted(url: str) -> str:
    """The URL with blanks and other scripts escaped, and what is escaped already left so."""
    return urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")
