"""Published BERTs: Google's checkpoints, fetched and imported into our layout."""

from __future__ import annotations

from stagedml import DRef, Manager
from stagedml.errors import ConfigError
from stagedml.fetch import fetchurl
from stagedml.stages.bert.stages import bert_import

GOOGLE = "https://storage.googleapis.com/bert_models"
SUMS = {  # as published; the other sizes of 2020 have none
    "2020_02_20/uncased_L-12_H-768_A-12": "d15224e1e7d950fb9a8b29497ce962201dff7d27b379f5bfb4638b4a73540a04",
    "2020_02_20/uncased_L-4_H-256_A-4": "5f087a0c6c73aed0b0a13f9a99dade56bece97d0594b713195821e031266fae9",
    "2018_10_18/uncased_L-24_H-1024_A-16": "f1999b33fa1f38ffe2d9b2871bdbb3d1ddf228f9077a70a7b2176b61cd46ddbc",
    "2018_11_23/multi_cased_L-12_H-768_A-12": (
        "60ec8d9a7c3cc1c15f6509a6cbe1a8d30b7f823b77cb7460f6d31383200aec9d"
    ),
}


def fetch_google_bert(m: Manager, model: str, *, cased: bool = False) -> DRef:
    """One of Google's zips, such as "2020_02_20/uncased_L-4_H-256_A-4", imported."""
    url = f"{GOOGLE}/{model}.zip"
    archive = fetchurl(m, url=url, sha256=SUMS.get(model), name=f"fetch-{model.rsplit('/', 1)[-1].lower()}")
    return bert_import(m, archive=archive, url=url, cased=cased)


def fetch_small_bert(m: Manager, layers: int, hidden: int) -> DRef:
    """One of the 24 small uncased BERTs of Turc et al. 2019 (arXiv:1908.08962)."""
    if layers not in (2, 4, 6, 8, 10, 12) or hidden not in (128, 256, 512, 768):
        raise ConfigError(
            f"no small BERT of {layers} layers and {hidden} hidden",
            where="fetch_small_bert",
            hint="layers 2, 4, 6, 8, 10 or 12; hidden 128, 256, 512 or 768",
        )
    return fetch_google_bert(m, f"2020_02_20/uncased_L-{layers}_H-{hidden}_A-{hidden // 64}")


def all_fetchminibert(m: Manager) -> DRef:
    """BERT-mini: 4 layers of 256, uncased."""
    return fetch_small_bert(m, 4, 256)


def all_fetchbert(m: Manager) -> DRef:
    """BERT-base: 12 layers of 768, uncased."""
    return fetch_small_bert(m, 12, 768)


def all_fetch_largebert(m: Manager) -> DRef:
    """BERT-large: 24 layers of 1024, uncased."""
    return fetch_google_bert(m, "2018_10_18/uncased_L-24_H-1024_A-16")


def all_fetch_multibert(m: Manager) -> DRef:
    """Multilingual BERT-base, cased: 104 languages, 119,547 words."""
    return fetch_google_bert(m, "2018_11_23/multi_cased_L-12_H-768_A-12", cased=True)
