"""Pylightnix 0.3.0's interface on this project's engine.

A program written for Pylightnix runs with its imports changed:

    from stagedml.pylightnix import *            # was: from pylightnix import *
    from stagedml.pylightnix.types import DRef   # was: from pylightnix.types import DRef

What is built and what is reused is decided in the same way. Storing, hashing, locking and checking are this
project's; `docs/pylightnix.md` says what differs and why, and `adopt` brings in what Pylightnix has built.
The wildcards below are the interface: every name that `from pylightnix import *` brings has to be here.
"""

from stagedml.pylightnix.adopt import adopt as adopt
from stagedml.pylightnix.arch import *  # noqa: F403
from stagedml.pylightnix.bashlike import *  # noqa: F403
from stagedml.pylightnix.build import *  # noqa: F403
from stagedml.pylightnix.core import *  # noqa: F403
from stagedml.pylightnix.either import *  # noqa: F403
from stagedml.pylightnix.garb import *  # noqa: F403
from stagedml.pylightnix.imports import *  # noqa: F403
from stagedml.pylightnix.lens import *  # noqa: F403
from stagedml.pylightnix.repl import *  # noqa: F403
from stagedml.pylightnix.stages import *  # noqa: F403
from stagedml.pylightnix.types import *  # noqa: F403
from stagedml.pylightnix.utils import *  # noqa: F403

__version__ = "0.3.0"
