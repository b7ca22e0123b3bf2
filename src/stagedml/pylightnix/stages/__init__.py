"""The stages that come with Pylightnix."""

from stagedml.pylightnix.stages.fetch import fetchlocal, fetchurl
from stagedml.pylightnix.stages.fetch2 import fetchurl2, unpack
from stagedml.pylightnix.stages.trivial import mknode, realized, redefine

__all__ = ["fetchlocal", "fetchurl", "fetchurl2", "mknode", "realized", "redefine", "unpack"]
