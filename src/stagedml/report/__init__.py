"""What reports are made of: numbers from realizations, tables, charts, pictures of stage graphs, rendering.

Import the names from `stagedml.core`. Nothing heavy is imported before a function needs it.
"""
