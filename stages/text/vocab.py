"""A vocabulary of word pieces, trained on text or taken from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stagedml import Build, Lens, promise, stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_vocab(
    texts: Iterable[str],
    *,
    vocab_size: int = 30522,
    lower_case: bool = True,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
    special: Iterable[str] = SPECIAL,
) -> list[str]:
    """Pieces of a WordPiece vocabulary: the special tokens, the alphabet, then merges by frequency.

    Words are split as Google's tokenizer does; the training is Hugging Face's. Left alone that gives another
    vocabulary in every run: it numbers letters in the order of a hash map, and numbers decide ties. So the
    letters, with and without `##`, are numbered here. The texts are gone through once; memory is that of
    their distinct words. Raises `DataError` when they hold no word.
    """
    from collections import Counter

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from stagedml.errors import DataError
    from stagedml.stages.text.wordpiece import WordPieceTokenizer

    splitter = WordPieceTokenizer(list(SPECIAL), lower_case=lower_case)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(splitter.words(text))
    if not counts:
        raise DataError("no word in the text to train a vocabulary on", hint="is the text stage empty?")
    letters: Counter[str] = Counter()
    for word, count in counts.items():
        for letter in word:
            letters[letter] += count
    ranked = sorted(letters.items(), key=lambda item: (-item[1], item[0]))[:limit_alphabet]
    alphabet = sorted(letter for letter, _ in ranked)
    known = set(alphabet)
    inner = sorted({c for w, count in counts.items() if count >= min_frequency for c in w[1:]} & known)

    def repeated() -> Iterator[str]:
        for word, count in sorted(counts.items()):
            if count >= min_frequency:
                for _ in range(count // 1000):
                    yield f"{word} " * 1000
                yield f"{word} " * (count % 1000)

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        limit_alphabet=len(alphabet),
        initial_alphabet=alphabet,
        special_tokens=[*special, *alphabet, *(f"##{letter}" for letter in inner)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(repeated(), trainer)
    return [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]


@stage(version=1, toy={"vocab_size": 2000})
def wordpiece_vocab(
    b: Build,
    text: Lens,
    vocab_size: int = 30522,
    lower_case: bool = True,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
    bert_vocab: Path = promise("vocab.txt"),
) -> None:
    """A vocabulary of at most `vocab_size` pieces, trained on the articles of `text`."""
    from stagedml.stages.text.shards import read_texts, shard_paths

    def texts() -> Iterator[str]:
        paths = shard_paths(Path(text.articles.syspath))
        with b.progress(len(paths), unit="shard") as bar:
            for path in paths:
                yield from read_texts(path)
                bar.update()

    pieces = train_vocab(
        texts(),
        vocab_size=vocab_size,
        lower_case=lower_case,
        min_frequency=min_frequency,
        limit_alphabet=limit_alphabet,
    )
    print(f"{len(pieces)} pieces")
    bert_vocab.write_text("\n".join(pieces) + "\n", encoding="utf-8")
