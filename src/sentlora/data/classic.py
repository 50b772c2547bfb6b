"""The classic steps of text preparation, for models that count words. Transformers need none of them.

Each step is a switch of :func:`classic`. Those that need a library get a well-kept one from the extra ``text``, and
none of these downloads anything: ``emoji``, ``snowballstemmer`` (Porter 1980; Snowball), ``simplemma`` (lemmas by
dictionary) and ``pyspellchecker`` (edit distance 1, by frequency). The stop words are scikit-learn's.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from sentlora.data.cleaning import clean
from sentlora.errors import ConfigError, MissingExtraError

# As people write them in chats, in any case. Those that are words or names as well count in capitals only.
CHAT_WORDS = {
    "AFAIK": "as far as I know",
    "AFK": "away from keyboard",
    "ASAP": "as soon as possible",
    "B4": "before",
    "BBL": "be back later",
    "BFN": "bye for now",
    "BRB": "be right back",
    "BTW": "by the way",
    "CUL8R": "see you later",
    "F2F": "face to face",
    "FWIW": "for what it is worth",
    "FYI": "for your information",
    "GR8": "great",
    "H8": "hate",
    "ICYMI": "in case you missed it",
    "IDC": "I do not care",
    "IDK": "I do not know",
    "IIRC": "if I remember correctly",
    "IMHO": "in my honest opinion",
    "IMO": "in my opinion",
    "IRL": "in real life",
    "L8R": "later",
    "LMAO": "laughing a lot",
    "LOL": "laughing out loud",
    "M8": "mate",
    "NVM": "never mind",
    "OMG": "oh my god",
    "PLS": "please",
    "PLZ": "please",
    "ROFL": "rolling on the floor laughing",
    "SMH": "shaking my head",
    "TBH": "to be honest",
    "THX": "thanks",
    "TLDR": "too long did not read",
    "TTYL": "talk to you later",
    "W8": "wait",
    "WTF": "what the fuck",
}
CHAT_WORDS_IN_CAPITALS = {"IC": "I see", "JK": "just kidding", "TIA": "thanks in advance", "TY": "thank you"}

# scikit-learn counts these among its stop words; without them "not good" is "good", and a thumb has no direction.
KEPT_WORDS = (
    "against cannot cant couldnt down hardly hasnt neither never no nobody none noone nor not nothing nowhere up "
    "without"
)
# Without their apostrophe no dictionary has these, and their neighbours in spelling say the opposite: wasnt, want.
_CONTRACTIONS = (
    "aint arent cant couldnt didnt doesnt dont hadnt hasnt havent isnt mustnt neednt shouldnt wasnt werent wont wouldnt"
)

_WORD = re.compile(r"\w+")
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019](?=\w)")
_PUNCTUATION = re.compile(r"[^\w\s]|_")


def classic(
    text: str,
    *,
    html: bool = True,
    urls: bool = True,
    emoji: bool = True,
    chat_words: bool = True,
    lower_case: bool = True,
    punctuation: bool = True,
    spelling: bool = False,
    stop_words: bool = True,
    stem: bool = True,
    lemmas: bool = False,
) -> str:
    """Prepare an English text the classic way. Give it to ``tfidf_classifier(preprocess=classic)``.

    The steps are taken in the order of the arguments. Words that say no stay where the other stop words go. With
    ``functools.partial(classic, stem=False)`` a choice of steps can be handed on and copied.

    Args:
        text: Any string.
        html: Take out tags, and undo entities.
        urls: Take out web addresses.
        emoji: Put the name of an emoji in its place.
        chat_words: Write out ASAP, IDK, THX and their like.
        lower_case: Write everything small.
        punctuation: Take out punctuation; "don't" becomes "dont".
        spelling: Correct words that no dictionary has, where one change of a letter makes a word. Slow.
        stop_words: Take out words that say little, such as "the".
        stem: Cut words to their stems, by the Snowball stemmer.
        lemmas: Put words into their basic form, in place of ``stem``.

    Returns:
        Words with single spaces between them.

    Raises:
        ConfigError: If both ``stem`` and ``lemmas`` are asked for.
        MissingExtraError: If the library of a step is not installed.

    Examples:
        >>> classic("The acting wasn't <b>great</b>, THX for nothing! \N{THUMBS DOWN SIGN}", stem=False)
        'acting wasnt great thanks nothing thumbs down'
        >>> classic("I loved these films", stop_words=False)
        'i love these film'
    """
    if stem and lemmas:
        raise ConfigError("stem and lemmas are two ways to do the same; with lemmas=True set stem=False.")
    text = clean(text, html=html, urls=urls)
    if emoji:
        text = _emoji_named(text)
    if chat_words:
        text = _WORD.sub(_written_out, text)
    if lower_case:
        text = text.lower()
    if punctuation:
        text = _PUNCTUATION.sub(" ", _APOSTROPHE.sub("", text))
    words = text.split()
    if spelling:
        words = [_corrected(word) for word in words]
    if stop_words:
        words = [word for word in words if word.lower() not in _stop_words()]
    if stem:
        words = [_stem(word) for word in words]
    if lemmas:
        words = [_lemma(word) for word in words]
    return " ".join(words)


def _written_out(found: re.Match[str]) -> str:
    word = found.group()
    return CHAT_WORDS.get(word.upper()) or CHAT_WORDS_IN_CAPITALS.get(word, word)


def _emoji_named(text: str) -> str:
    library = _emoji()
    # Nearly all English texts are ASCII, and the search takes longer than all other steps.
    return text if text.isascii() else str(library.replace_emoji(text, replace=_name_of))


def _name_of(_: str, facts: dict[str, str]) -> str:
    return f" {facts['en'].strip(':').replace('_', ' ')} "


@cache
def _emoji() -> Any:
    try:
        import emoji
    except ImportError as error:
        raise MissingExtraError("emoji", "text", "Putting words for emoji") from error
    return emoji


@cache
def _stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS) - set(KEPT_WORDS.split())


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> Any:
    try:
        import snowballstemmer
    except ImportError as error:
        raise MissingExtraError("snowballstemmer", "text", "Stemming") from error
    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=200_000)
def _lemma(word: str) -> str:
    try:
        import simplemma
    except ImportError as error:
        raise MissingExtraError("simplemma", "text", "Finding lemmas") from error
    return str(simplemma.lemmatize(word, lang="en"))


@lru_cache(maxsize=200_000)
def _corrected(word: str) -> str:
    checker = _checker()
    # A name or a number is no misspelling, and a very short word could be any other.
    if len(word) < 4 or not word.isalpha() or not word.islower() or word in _CONTRACTIONS.split() or word in checker:
        return word
    return str(checker.correction(word) or word).replace("'", "")


@cache
def _checker() -> Any:
    try:
        from spellchecker import SpellChecker
    except ImportError as error:
        raise MissingExtraError("pyspellchecker", "text", "Correcting the spelling") from error
    return SpellChecker(distance=1)
