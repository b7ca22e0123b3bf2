"""The data pipeline against the tools that others use for it."""
