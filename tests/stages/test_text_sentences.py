"""Where sentences end."""

from __future__ import annotations

import pytest

from stagedml.stages.text.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        (
            "Mr. Smith met Dr. J. R. R. Tolkien. They talked.",
            ["Mr. Smith met Dr. J. R. R. Tolkien.", "They talked."],
        ),
        ("He paid 3.5 million. In 1999. then more", ["He paid 3.5 million.", "In 1999. then more"]),
        ('He said "Go." (She went.) "Why?"', ['He said "Go."', "(She went.)", '"Why?"']),
        ("It works, e.g. here. U.S. law applies.", ["It works, e.g. here.", "U.S. law applies."]),
        ("Он родился в 1990 г. в Москве. Потом уехал.", ["Он родился в 1990 г. в Москве.", "Потом уехал."]),
        (
            "これは文です。次の文！「引用。」と言う。終",
            ["これは文です。", "次の文！", "「引用。」", "と言う。", "終"],
        ),
        ("यह वाक्य है। दूसरा वाक्य।", ["यह वाक्य है।", "दूसरा वाक्य।"]),
        ("هل هذا سؤال؟ نعم.", ["هل هذا سؤال؟", "نعم."]),
        ("a line\nanother line", ["a line", "another line"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_split(text: str, sentences: list[str]) -> None:
    """Sentences end at terminators before something a sentence can begin with, and at line ends."""
    assert split_sentences(text) == sentences
