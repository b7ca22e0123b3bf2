"""Which code a realizer runs, as hashes that comments and formatting do not change; see `walk.py`."""

from stagedml.fingerprint.walk import UNKNOWN, Fingerprint, diff_fingerprints, fingerprint, fingerprint_digest

__all__ = ["UNKNOWN", "Fingerprint", "diff_fingerprints", "fingerprint", "fingerprint_digest"]
