"""The functions that Pylightnix has in `pylightnix.core`."""

from stagedml.pylightnix.matchers import *  # noqa: F403
from stagedml.pylightnix.publishing import *  # noqa: F403
from stagedml.pylightnix.reading import *  # noqa: F403
from stagedml.pylightnix.realizing import *  # noqa: F403
from stagedml.pylightnix.storage import *  # noqa: F403
