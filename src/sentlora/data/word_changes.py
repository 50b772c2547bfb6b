"""Changes of a few words of a text that leave its sentiment as it is: words left out, swapped, or said otherwise.

They follow EDA (Wei and Zou 2019, arXiv:1901.11196), but for one thing: what turns the sentiment of its neighbours
round ("not", "hardly", "too", "lack") and what states it in figures ("2/10") is never dropped, moved or replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from sentlora.data.classic import KEPT_WORDS
from sentlora.errors import ConfigError

# Polanyi and Zaenen 2006 call them valence shifters: without them, or elsewhere, a text may say the opposite.
_SHIFTERS = (
    "although anything barely but cease ceased ceases could denied denies deny despite except fail failed failing "
    "fails failure few fewer however if instead lack lacked lacking lacks least less little might miss missed misses "
    "missing nay nil non nope nt only rarely refuse refused refuses scarcely seldom should stop stopped supposed t "
    "though too unless unlike until versus would yet zero ain aren ca couldn didn doesn don hadn hasn haven isn "
    "mightn mustn needn shan shouldn wasn weren wo wouldn"
)
_CONTRACTIONS = (
    "aint arent cant couldnt didnt doesnt dont hadnt hasnt havent isnt mustnt neednt shant shouldnt wasnt werent wont "
    "wouldnt"
)
_ENCLITICS = ("n't", "nt", "t")
KEPT = frozenset(f"{KEPT_WORDS} {_SHIFTERS} {_CONTRACTIONS}".split())

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
# Between two words of one clause: across a full stop or a bracket no two words change places.
_WITHIN_A_CLAUSE = re.compile(r"[^\S\n]+")

Synonyms = Callable[[str], Collection[str]]


def is_kept(word: str, keep: Collection[str] = ()) -> bool:
    """Tell whether a word must stay where it is: it says no, turns a sentiment round, or is a figure.

    Args:
        word: One word, in any case.
        keep: Further words, in lower case.

    Examples:
        >>> [is_kept(word) for word in ("Not", "didn't", "n\u2019t", "non-existent", "10", "film")]
        [True, True, True, True, True, False]
    """
    plain = _plain(word)
    if plain.endswith("n't") or any(mark.isdigit() for mark in plain):
        return True
    return any(part in KEPT or part in keep for part in (plain, plain.replace("'", ""), *plain.split("-")))


def word_dropout(text: str, rate: float, rng: np.random.Generator, *, keep: Collection[str] = ()) -> str:
    """Leave out some words. Negations and their like stay, and so does the punctuation.

    Args:
        text: Any text. White space divides its words, so a text of a script without it comes back as it is.
        rate: The probability of each word to go; one at least goes where one may, and one word is always left.
        rng: Draws the words.
        keep: Further words that stay, in lower case; what is kept by itself is English.

    Returns:
        The text with fewer words, or the same where none may go.

    Raises:
        ConfigError: If the rate is no number of at least 0 and below 1.

    Examples:
        >>> word_dropout("It is not good, it is great.", 0.5, np.random.default_rng(0))
        'It not, it is.'
    """
    words = list(_WORD.finditer(text))
    eligible = [word for word in words if not is_kept(word.group(), keep)]
    n = min(_how_many(len(eligible), rate, rng), len(words) - 1)
    for i in sorted(rng.choice(len(eligible), n, replace=False), reverse=True) if n > 0 else ():
        text = _without(text, *eligible[i].span())
    return text


def word_swap(text: str, rate: float, rng: np.random.Generator, *, keep: Collection[str] = ()) -> str:
    """Let some words change places with the next word. No word moves across a negation or out of its clause.

    EDA swaps any two words, which can carry a "not" over to another sentence.

    Args:
        text: Any text.
        rate: Share of the words that begin a swap; one pair at least is swapped where one may be.
        rng: Draws the pairs.
        keep: Further words that stay, in lower case.

    Returns:
        The text with the same words, punctuation and white space.

    Raises:
        ConfigError: If the rate is no number of at least 0 and below 1.

    Examples:
        >>> word_swap("The plot is not bad", 0.1, np.random.default_rng(0))
        'plot The is not bad'
    """
    words = list(_WORD.finditer(text))
    pairs = [i for i in range(len(words) - 1) if _may_swap(text, words, i, keep)]
    order = rng.permutation(pairs)
    left, taken = _how_many(len(pairs), rate, rng), set[int]()
    pieces = [word.group() for word in words]
    for i in order:
        if not left:
            break
        if i in taken or i + 1 in taken:
            continue
        pieces[i], pieces[i + 1] = pieces[i + 1], pieces[i]
        taken |= {int(i), int(i) + 1}
        left -= 1
    return _with_words(text, words, pieces)


def synonyms(
    text: str,
    rate: float,
    rng: np.random.Generator,
    *,
    keep: Collection[str] = (),
    synonyms_of: Synonyms | None = None,
) -> str:
    """Put synonyms in the place of some words.

    Only words in lower case and in their basic form are replaced, so that no name and no plural is.

    Args:
        text: An English text.
        rate: The probability of each word that has a synonym to be replaced; one at least is, where one may be.
        rng: Draws the words and their synonyms.
        keep: Further words that stay, in lower case.
        synonyms_of: Returns the synonyms of a word; by default WordNet's.

    Raises:
        ConfigError: If the rate is no number of at least 0 and below 1, or there is no WordNet on this machine.
        MissingExtraError: If nltk, which reads WordNet, is not installed.

    Examples:
        >>> thesaurus = {"film": ["movie"], "not": ["nay"]}
        >>> find = lambda word: thesaurus.get(word, [])
        >>> synonyms("This is not my film.", 0.1, np.random.default_rng(0), synonyms_of=find)
        'This is not my movie.'
    """
    if synonyms_of is None:
        from sentlora.data.wordnet import synonyms_of as of_wordnet

        synonyms_of = of_wordnet
    words = list(_WORD.finditer(text))
    pieces = [word.group() for word in words]
    known = {
        i: sorted(found)
        for i, word in enumerate(pieces)
        if word.islower()
        and not is_kept(word, keep)
        # A synonym that shifts sentiments itself would be worse than none.
        and (found := {other for other in synonyms_of(word) if other != word and not is_kept(other, keep)})
    }
    places = list(known)
    n = _how_many(len(places), rate, rng)
    for i in sorted(rng.choice(places, n, replace=False)) if n else ():
        pieces[i] = known[int(i)][int(rng.integers(len(known[int(i)])))]
    return _with_words(text, words, pieces)


def _plain(word: str) -> str:
    return word.lower().replace("\u2019", "'")


def _how_many(eligible: int, rate: float, rng: np.random.Generator) -> int:
    """Draw how many words are changed: a text that comes back as it was would be no other text to learn from."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise ConfigError(f"The rate must be a share of the words, at least 0 and below 1; found {rate!r}.")
    return max(1, int(rng.binomial(eligible, rate))) if eligible and rate else 0


def _without(text: str, start: int, end: int) -> str:
    """Cut out a word with the space in front of it; at the beginning, with the one behind it."""
    if start and text[start - 1].isspace():
        start -= 1
    elif not start:
        end += len(text[end:]) - len(text[end:].lstrip())
    return text[:start] + text[end:]


def _may_swap(text: str, words: Sequence[re.Match[str]], i: int, keep: Collection[str]) -> bool:
    one, other = words[i], words[i + 1]
    if i + 2 < len(words) and _plain(words[i + 2].group()) in _ENCLITICS:
        return False  # as treebanks write it: "does n't"
    if not _WITHIN_A_CLAUSE.fullmatch(text, one.end(), other.start()) or one.group() == other.group():
        return False
    return not is_kept(one.group(), keep) and not is_kept(other.group(), keep)


def _with_words(text: str, words: list[re.Match[str]], pieces: list[str]) -> str:
    return "".join(_woven(text, words, pieces))


def _woven(text: str, words: list[re.Match[str]], pieces: list[str]) -> Iterator[str]:
    at = 0
    for word, piece in zip(words, pieces, strict=True):
        yield text[at : word.start()]
        yield piece
        at = word.end()
    yield text[at:]
