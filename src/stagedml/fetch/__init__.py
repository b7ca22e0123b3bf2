"""Bringing data in: `fetchurl` from the network, `fetchlocal` from this machine.

The stages are in `stages.py`. The rest are plain functions that know no store: downloading and resuming
(`download`, `partfile`), checking (`checksum`), unpacking safely (`unpack`, `safetree`), and mirrors.
"""

from stagedml.fetch.stages import (
    MIRROR_VARIABLE,
    RECORD,
    fetch_local,
    fetch_url,
    fetchlocal,
    fetchurl,
    mirror_from_environment,
)

__all__ = [
    "MIRROR_VARIABLE",
    "RECORD",
    "fetch_local",
    "fetch_url",
    "fetchlocal",
    "fetchurl",
    "mirror_from_environment",
]
