"""The menu: every stage of the collection, and what a report or a prompt needs besides.

    from stagedml.stages.all import *

Modules of the project import by name; this module is for reports and prompts. Importing it, and instantiating
anything from it, imports no heavy library.
"""

from __future__ import annotations

from functools import partial
from os import environ
from os.path import join
from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035 - the reports' spelling

from stagedml.core import *  # noqa: F403 - the menu is the public surface for reports
from stagedml.core import __all__ as _core
from stagedml.fetch import fetchlocal, fetchurl
from stagedml.stages.bert.fetch import (
    all_fetch_largebert,
    all_fetch_multibert,
    all_fetchbert,
    all_fetchminibert,
)
from stagedml.stages.bert.official import official_minibert_pretrain
from stagedml.stages.bert.stages import basebert_pretrain_wiki, bert_import, minibert_pretrain_wiki
from stagedml.stages.bert.wiki import (
    all_basebert_pretrain,
    all_enwiki_tfrecords,
    all_minibert_pretrain,
    all_ruwiki_tfrecords,
)
from stagedml.stages.glue.fetch import all_fetchglue
from stagedml.stages.glue.menu import (
    all_bert_finetune_glue,
    all_largebert_finetune_glue,
    all_minibert_finetune_glue,
    all_multibert_finetune_glue,
)
from stagedml.stages.glue.own import table_tfrecords
from stagedml.stages.glue.predict import predict_texts
from stagedml.stages.glue.stages import bert_finetune_glue, glue_submission, glue_tfrecords
from stagedml.stages.glue.study import realize_study
from stagedml.stages.glue.table import glue_row, glue_table
from stagedml.stages.glue.tasks import glue_tasks
from stagedml.stages.text.vocab import wordpiece_vocab
from stagedml.stages.wiki.fetch import all_fetchenwiki, all_fetchruwiki, fetchwiki
from stagedml.stages.wiki.stages import (
    all_extractenwiki,
    all_extractruwiki,
    bert_pretrain_tfrecords,
    extractwiki,
    wikistat,
)

__all__ = [
    *_core,
    "Any",
    "Dict",
    "List",
    "Optional",
    "Tuple",
    "Union",
    "all_basebert_pretrain",
    "all_bert_finetune_glue",
    "all_enwiki_tfrecords",
    "all_extractenwiki",
    "all_extractruwiki",
    "all_fetch_largebert",
    "all_fetch_multibert",
    "all_fetchbert",
    "all_fetchenwiki",
    "all_fetchglue",
    "all_fetchminibert",
    "all_fetchruwiki",
    "all_largebert_finetune_glue",
    "all_minibert_finetune_glue",
    "all_minibert_pretrain",
    "all_multibert_finetune_glue",
    "all_ruwiki_tfrecords",
    "basebert_pretrain_wiki",
    "bert_finetune_glue",
    "bert_import",
    "bert_pretrain_tfrecords",
    "environ",
    "extractwiki",
    "fetchlocal",
    "fetchurl",
    "fetchwiki",
    "glue_row",
    "glue_submission",
    "glue_table",
    "glue_tasks",
    "glue_tfrecords",
    "join",
    "minibert_pretrain_wiki",
    "official_minibert_pretrain",
    "partial",
    "predict_texts",
    "realize_study",
    "table_tfrecords",
    "wikistat",
    "wordpiece_vocab",
]
