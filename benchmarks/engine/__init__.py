"""The engine beside others, and at scale: `python -m benchmarks.engine`."""
