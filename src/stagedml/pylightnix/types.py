"""The types that Pylightnix 0.3.0 names, as its programs import them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from copy import deepcopy
from typing import Any, Generic, NamedTuple, TypeVar

from stagedml.errors import ConfigError, StagedmlError
from stagedml.refs import DRef as DRef
from stagedml.refs import RRef as RRef


class Path(str):
    """A path in the file system."""

    __slots__ = ()


class SPath(Path):
    """A path to a storage."""

    __slots__ = ()


class Hash(str):
    """A SHA-256 digest, in 64 hexadecimal digits."""

    __slots__ = ()


class HashPart(str):
    """The first 32 digits of a digest, as references carry them."""

    __slots__ = ()


class Name(str):
    """The name of a derivation."""

    __slots__ = ()


class StorageSettings(NamedTuple):
    """Where a storage is: a root with both folders in it, or each by itself."""

    root: Path | None
    storage: Path | None
    tmpdir: Path | None


RefPath = list[str]
Context = dict[DRef, list[RRef]]
InstantiateArg = dict[str, Any]
RealizeArg = dict[str, Any]
_Ref = TypeVar("_Ref")
DRefLike = TypeVar("DRefLike", bound=DRef)


class PylightnixException(StagedmlError):
    """The root of the exceptions that Pylightnix names; those of this engine are below `StagedmlError`."""

    def __init__(self, what: str = "") -> None:
        super().__init__(what)


class UsageError(ConfigError, AssertionError):
    """A mistake of the caller, which Pylightnix reports by a failed `assert`."""


class PromiseException(PylightnixException):
    """A declared output is missing after the build: (folder, path) of each in `failed`."""

    def __init__(self, dref: DRef, failed: list[tuple[Path, RefPath]]) -> None:
        missing = ", ".join("/".join(path[1:]) for _, path in failed)
        super().__init__(f"the realizer of {dref} left out {missing}")
        self.dref, self.failed = dref, failed


class Output(Generic[_Ref]):
    """What a realizer produced (paths), or what a matcher sees of it (references)."""

    def __init__(self, val: Iterable[_Ref]) -> None:
        self.val: list[_Ref] = list(val)


Matcher = Callable[[StorageSettings | None, list[RRef]], list[RRef] | None]
MatcherO = Callable[[StorageSettings | None, Output[RRef]], Output[RRef] | None]
Key = Callable[[StorageSettings | None, RRef], int | float | str | None]
Realizer = Callable[[StorageSettings | None, DRef, Context, RealizeArg], list[Path]]
RealizerO = Callable[[StorageSettings | None, DRef, Context, RealizeArg], Output[Path]]
StageResult = Any  # a DRef, or a list, dict or tuple of them
Stage = Callable[..., StageResult]


class Derivation(NamedTuple):
    """How one derivation is built and chosen from."""

    dref: DRef
    matcher: Matcher
    realizer: Realizer


class Closure(NamedTuple):
    """What a stage returned, its derivations, and all that were registered on the way, in order."""

    result: Any
    targets: list[DRef]
    derivations: list[Derivation]
    S: StorageSettings | None


RealizeSeqGen = Generator[
    tuple[StorageSettings | None, DRef, Context, Derivation, RealizeArg],
    tuple[list[RRef] | None, bool],
    Context,
]


class Config:
    """A config as its author wrote it; outputs of its own start with `selfref`."""

    def __init__(self, d: dict[str, Any]) -> None:
        self.val = deepcopy(d)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.val!r})"


class RConfig(Config):
    """A config whose own outputs are written as paths inside its derivation."""


class ConfigAttrs:
    """The fields of a config as attributes, which may be assigned to."""

    def __init__(self, d: dict[str, Any]) -> None:
        self.__dict__.update(d)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no field {name!r} in the config; there is: {', '.join(self.__dict__)}")


class BuildArgs(NamedTuple):
    """What a `Build` is made from."""

    S: StorageSettings | None
    dref: DRef
    context: Context
    starttime: str | None
    stoptime: str | None
    iarg: InstantiateArg
    rarg: RealizeArg


class Build:
    """One build, as realizers made by `build_wrapper` get it; applications may derive their own from it."""

    def __init__(self, ba: BuildArgs) -> None:
        self.S, self.dref, self.context = ba.S, ba.dref, ba.context
        self.iarg, self.rarg = ba.iarg, ba.rarg
        self.starttime, self.stoptime = ba.starttime, ba.stoptime
        self.outpaths: Output[Path] | None = None
        self.cattrs_cache: ConfigAttrs | None = None


class Registry:
    """Collects derivations while stages are called."""

    def __init__(self, S: StorageSettings | None = None) -> None:
        self.builders: dict[DRef, Derivation] = {}
        self.S = S
        self.in_instantiate = False
