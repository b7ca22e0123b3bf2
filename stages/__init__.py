"""The stage collection, imported as `stagedml.stages` and by no other name.

Imported as `stages` (from the top of a checkout, say) the same functions would exist twice, with two
identities for one piece of code; so that is refused.
"""

if __name__ != "stagedml.stages":
    raise ImportError(
        f"the stage collection was imported as {__name__!r}\n"
        "  import it as `stagedml.stages`; after `pip install -e .` it is there"
    )

from .quiet import install

install()
