"""Small dumps, and the chain of stages over one; light enough to be imported by a check of light imports."""

from __future__ import annotations

from stagedml import DRef, Manager, mklens
from stagedml.fetch import fetchlocal
from stagedml.stages.text.vocab import wordpiece_vocab
from stagedml.stages.wiki.stages import bert_pretrain_tfrecords, extractwiki, wikistat

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="ru">
  <siteinfo>
    <sitename>Википедия</sitename>
    <dbname>ruwiki</dbname>
    <base>https://ru.wikipedia.org/wiki/X</base>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="6" case="first-letter">Файл</namespace>
    </namespaces>
  </siteinfo>
"""


def page(number: int, text: str = "", *, ns: int = 0, redirect: bool = False) -> str:
    """A page as an export has it."""
    return (
        f"  <page>\n    <title>Page {number}</title>\n    <ns>{ns}</ns>\n    <id>{number}</id>\n"
        + ('    <redirect title="X" />\n' if redirect else "")
        + f"    <revision>\n      <id>{number + 1000}</id>\n      <contributor><id>7</id></contributor>\n"
        + f'      <model>wikitext</model>\n      <text xml:space="preserve">{text}</text>\n'
        + "    </revision>\n  </page>\n"
    )


def all_text(m: Manager, dump: str) -> DRef:
    """The text of the dump."""
    return extractwiki(m, wikiref=fetchlocal(m, path=dump, mode="asis"), block_bytes=4000)


def all_records(m: Manager, dump: str, **fields: object) -> DRef:
    """Records of the dump's text, with a vocabulary trained on it."""
    text = all_text(m, dump)
    vocab = wordpiece_vocab(m, text=text, vocab_size=80)
    return bert_pretrain_tfrecords(
        m,
        wikiref=text,
        bert_vocab=mklens(vocab).bert_vocab.refpath,
        lower_case=True,
        max_seq_length=32,
        max_predictions_per_seq=5,
        dupe_factor=2,
        **fields,
    )


def all_stat(m: Manager, dump: str) -> DRef:
    """Its statistics."""
    return wikistat(m, wikiref=all_text(m, dump))
