"""Everything a report needs besides its stages: `from stagedml.core import *`.

The engine's names, and those of `stagedml.report`. Heavy packages (pandas, altair, ...) are imported by the
functions that need them, when they are called.
"""

from stagedml import *  # noqa: F403 - this module is the public surface again, plus the reports'
from stagedml import __all__ as _engine
from stagedml.report.depgraph import depgraph, stage_graph
from stagedml.report.eventfiles import TensorEvent, te2float
from stagedml.report.graphpicture import Box, graph_svg, write_picture
from stagedml.report.links import linkrref, rref2path
from stagedml.report.markdown import (
    altair_print,
    markdown_altair,
    markdown_image,
    markdown_table,
    markdown_url,
    readstr,
    repout,
)
from stagedml.report.metrics import (
    MetricSummary,
    metric_summary,
    protocol_rref_metric,
    store_buildelta,
    summarize,
    tensorboard_tensor_events,
    tensorboard_tensors,
)
from stagedml.report.render import render_report

__all__ = [
    *_engine,
    "Box",
    "MetricSummary",
    "TensorEvent",
    "altair_print",
    "depgraph",
    "graph_svg",
    "linkrref",
    "markdown_altair",
    "markdown_image",
    "markdown_table",
    "markdown_url",
    "metric_summary",
    "protocol_rref_metric",
    "readstr",
    "render_report",
    "repout",
    "rref2path",
    "stage_graph",
    "store_buildelta",
    "summarize",
    "te2float",
    "tensorboard_tensor_events",
    "tensorboard_tensors",
    "write_picture",
]
