"""Every exception that stagedml raises on purpose.

    StagedmlError
    ├── ConfigError            a config, a stage call or an override is wrong; raised before anything is built
    │   ├── LensError          a lens path names nothing
    │   └── UnknownStageError  no stage of that name on the menu
    ├── StoreError             the store cannot be used as asked
    │   ├── StoreFormatError   written by another format version
    │   ├── CorruptError       an artifact or a record is not what was published
    │   ├── MissingError       a reference that this store does not hold
    │   └── RemoteError        a remote store cannot be reached, read or written
    ├── BuildError             a realizer failed; carries the stage and the tail of its log
    │   ├── PromiseError       a promised output is not there
    │   └── BuildFailures      several stages failed in one run
    ├── MatchError             a matcher cannot be satisfied
    ├── DataError              the user's data is not as it should be (file, line)
    ├── ReportError            a cell of a report failed, or its pages cannot be written
    └── FetchError             something could not be downloaded or unpacked
        ├── ChecksumError      it arrived, and is not what was asked for
        └── UnsafeArchiveError an archive that tries to leave its folder

A message says what is wrong, where, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence


class StagedmlError(Exception):
    """The root of the tree: catching it catches all the others."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}\n  {hint}" if hint else text)


class ConfigError(StagedmlError):
    """A config, a stage call or an override is wrong."""


class LensError(ConfigError):
    """A lens path names nothing."""


class UnknownStageError(ConfigError):
    """No stage of that name on the menu."""


class StoreError(StagedmlError):
    """The store cannot be used as asked."""


class StoreFormatError(StoreError):
    """The store was written by another format version."""


class CorruptError(StoreError):
    """An artifact or a record is not what was published."""


class MissingError(StoreError):
    """A reference that this store does not hold."""


class RemoteError(StoreError):
    """A remote store cannot be reached, read or written."""


class BuildError(StagedmlError):
    """A realizer failed. `dref` says which derivation, `log_tail` what it printed last."""

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", dref: str = "", log_tail: str = ""
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.dref = dref
        self.log_tail = log_tail


class PromiseError(BuildError):
    """A promised output is not there after the build."""


class BuildFailures(BuildError):
    """Several stages failed in one run; `failures` holds each error."""

    def __init__(self, failures: Sequence[BuildError]) -> None:
        self.failures = tuple(failures)
        lines = [f"{len(self.failures)} stages failed:"]
        lines += [f"  {str(f).splitlines()[0]}" for f in self.failures]
        super().__init__("\n".join(lines))


class MatchError(StagedmlError):
    """A matcher cannot be satisfied by the realizations at hand."""


class DataError(StagedmlError):
    """The user's data is not as it should be; `where` names file and line."""


class ReportError(StagedmlError):
    """A cell of a report failed, or its pages cannot be written."""


class FetchError(StagedmlError):
    """Something could not be downloaded or unpacked."""


class ChecksumError(FetchError):
    """What arrived is not what was asked for."""


class UnsafeArchiveError(FetchError):
    """An archive that tries to leave its folder."""
