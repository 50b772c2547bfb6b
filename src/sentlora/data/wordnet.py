"""Synonyms from WordNet (Miller 1995), read by nltk from files that are on this machine. Nothing is downloaded."""

from __future__ import annotations

import io
import os
import warnings
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from sentlora.errors import ConfigError, MissingExtraError

# Where WordNet's own programs look, and where Debian and Ubuntu put it.
_OWN_VARIABLE, _SYSTEM_FOLDER = "WNSEARCHDIR", Path("/usr/share/wordnet")
_PARTS = ("adj", "adv", "noun", "verb")
_FILES = (*(f"{kind}.{part}" for kind in ("data", "index") for part in _PARTS), *(f"{part}.exc" for part in _PARTS))
_FILES = (*_FILES, "cntlist.rev")
_LEXICOGRAPHER_FILES = 45
_REMEDY = (
    "Install it with `python -m nltk.downloader wordnet`, on Debian and Ubuntu with `apt install wordnet-base`, or let "
    f"the environment variable {_OWN_VARIABLE} name the folder of its files (data.noun, index.noun, ...)."
)


def require_wordnet() -> None:
    """Make sure that synonyms can be looked up, before anything depends on it.

    Raises:
        MissingExtraError: If nltk is not installed.
        ConfigError: If there is no WordNet on this machine; says how to get it.
    """
    _wordnet()


@lru_cache(maxsize=100_000)
def synonyms_of(word: str) -> frozenset[str]:
    """Return the words that mean the same as a word in its most frequent sense.

    A word with several senses is taken in the one that WordNet counted most often: "film" may be a movie or a thin
    layer, and synonyms of the rarer senses would be wrong more often than right. What is an antonym in any sense is
    left out, and so is what has several words.

    Args:
        word: In lower case and in its basic form; an inflected form has no synonyms here.

    Returns:
        Single words in lower case; empty where WordNet has none.

    Raises:
        MissingExtraError: If nltk is not installed.
        ConfigError: If there is no WordNet on this machine.
    """
    lemmas = [lemma for lemma in _wordnet().lemmas(word) if lemma.name() == word]
    if not lemmas:
        return frozenset()
    # Of senses that were counted equally often the first counts: WordNet puts them in the order of their frequency.
    sense = max(lemmas, key=lambda lemma: lemma.count()).synset()
    antonyms = {other.name() for lemma in lemmas for other in lemma.antonyms()}
    found = {lemma.name() for lemma in sense.lemmas()} - antonyms - {word}
    return frozenset(name for name in found if name.isalpha() and name.islower())


@cache
def _wordnet() -> Any:
    try:
        import nltk.data
        from nltk.corpus.reader.wordnet import WordNetCorpusReader
    except ImportError as error:
        raise MissingExtraError("nltk", "augment", "Replacing words by synonyms") from error

    class English(WordNetCorpusReader):
        """The reader of nltk for English alone, which reads Debian's files too."""

        def open(self, file: str) -> Any:
            """Open a file; where the list of WordNet's source files is missing, as in Debian, number them."""
            if file == "lexnames":
                return io.StringIO("".join(f"{i}\t{i}\t0\n" for i in range(_LEXICOGRAPHER_FILES)))
            return super().open(file)

        def map_wn(self, version: str = "wordnet") -> None:
            """Map nothing to other languages, for which nltk would read two more large files."""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one language only, which is all that is asked for
        return English(_place(nltk.data), None)


def _place(nltk_data: Any) -> Any:
    named = os.environ.get(_OWN_VARIABLE)
    if named:
        if missing := [name for name in _FILES if not (Path(named) / name).is_file()]:
            raise ConfigError(f"{_OWN_VARIABLE} names {named!r}, which holds no {missing[0]!r} of WordNet. {_REMEDY}")
        return _pointer(nltk_data, named)
    try:
        return nltk_data.find("corpora/wordnet")
    except LookupError:
        if all((_SYSTEM_FOLDER / name).is_file() for name in _FILES):
            return _pointer(nltk_data, str(_SYSTEM_FOLDER))
        raise ConfigError(f"Replacing words by synonyms needs WordNet, which was not found. {_REMEDY}") from None


def _pointer(nltk_data: Any, folder: str) -> Any:
    if folder not in nltk_data.path:
        nltk_data.path.append(folder)  # nltk opens no file outside of these
    return nltk_data.FileSystemPathPointer(folder)
