"""Synonyms out of a WordNet of a few words, written here in the format of wndb(5WN)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sentlora.augmentation import Augmentation
from sentlora.data import wordnet
from sentlora.data.augment import check_ready
from sentlora.data.word_changes import synonyms
from sentlora.errors import ConfigError, MissingExtraError

# Synsets by file: words, and the antonym of the first word as (synset, word), among those above it.
SYNSETS: dict[str, list[tuple[list[str], int | None]]] = {
    "noun": [(["film", "movie", "motion_picture", "Pic"], None), (["film", "coating"], None), (["plot", "game"], None)],
    "verb": [(["film", "shoot"], None)],
    "adj": [(["vivid"], None), (["dull", "vivid", "boring", "not"], None), (["dull"], 0)],
    "adv": [],
}
NUMBERS = {"noun": "1", "verb": "2", "adj": "3", "adv": "4"}
LETTERS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
COUNTS = {
    "a%1:00:00::": (1, 1),
    "film%1:00:00::": (1, 9),
    "film%2:00:00::": (1, 4),
    "dull%3:00:00::": (1, 3),
    "dull%3:00:02::": (2, 1),
}


def write_wordnet(folder: Path) -> Path:
    """Write the files; the sense of a word in its i-th synset of a file has the lexical id i."""
    folder.mkdir(parents=True)
    for part, synsets in SYNSETS.items():
        lines, at = "  1 a licence\n", {}
        offsets: list[int] = []
        for i, (words, antonym) in enumerate(synsets):
            offsets.append(len(lines))
            seen = [sum(word in earlier for earlier, _ in synsets[:i]) * (2 if part == "adj" else 1) for word in words]
            named = " ".join(f"{word} {lex_id:x}" for word, lex_id in zip(words, seen, strict=True))
            points = "000" if antonym is None else f"001 ! {offsets[antonym]:08d} {LETTERS[part]} 0101"
            frames = " 00" if part == "verb" else ""
            lines += f"{offsets[i]:08d} 00 {LETTERS[part]} {len(words):02x} {named} {points}{frames} | a gloss\n"
            for word in words:
                at.setdefault(word.lower(), []).append(offsets[i])
        (folder / f"data.{part}").write_text(lines)
        index = "".join(
            f"{word} {LETTERS[part]} {len(places)} 0 {len(places)} 0 {' '.join(f'{place:08d}' for place in places)}  \n"
            for word, places in sorted(at.items())
        )
        (folder / f"index.{part}").write_text("  1 a licence\n" + index)
        (folder / f"{part}.exc").write_text("films film\n" if part == "noun" else "")
    (folder / "cntlist.rev").write_text("".join(f"{key} {sense} {n}\n" for key, (sense, n) in sorted(COUNTS.items())))
    return folder


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    import nltk.data

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk_data")])
    monkeypatch.setattr(wordnet, "_SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    wordnet.synonyms_of.cache_clear()
    wordnet._wordnet.cache_clear()
    yield
    wordnet.synonyms_of.cache_clear()
    wordnet._wordnet.cache_clear()


@pytest.mark.parametrize("place", ["system", "nltk_data/corpora/wordnet", "elsewhere"])
def test_it_is_found_where_it_is_installed(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_wordnet(tmp_path / place)
    if place == "elsewhere":
        monkeypatch.setenv("WNSEARCHDIR", str(folder))
    wordnet.require_wordnet()
    assert wordnet.synonyms_of("plot") == {"game"}


def test_the_most_frequent_sense_counts_and_antonyms_do_not(tmp_path: Path) -> None:
    write_wordnet(tmp_path / "system")
    assert wordnet.synonyms_of("film") == {"movie"}, "of the noun, 9 times, not the verb, 4 times"
    assert wordnet.synonyms_of("dull") == {"boring", "not"}, "vivid is an antonym in another sense"
    assert wordnet.synonyms_of("films") == frozenset(), "an inflected form"
    assert wordnet.synonyms_of("actor") == frozenset()


def test_a_text_takes_them_but_no_negation(tmp_path: Path) -> None:
    write_wordnet(tmp_path / "system")
    changed = {synonyms("A dull film, not films", 0.9, np.random.default_rng(seed)) for seed in range(20)}
    assert "A boring movie, not films" in changed
    assert changed <= {f"A {how} {what}, not films" for how in ("dull", "boring") for what in ("film", "movie")}


def test_without_wordnet_the_error_names_each_way_to_get_it() -> None:
    words = (
        "Replacing words by synonyms needs WordNet, which was not found. Install it with `python -m nltk.downloader "
        "wordnet`, on Debian and Ubuntu with `apt install wordnet-base`, or let the environment variable WNSEARCHDIR "
        "name the folder of its files (data.noun, index.noun, ...)."
    )
    with pytest.raises(ConfigError, match=re.escape(words)):
        check_ready(Augmentation.of("synonyms"))
    check_ready(Augmentation.of("word_swap"))


def test_a_folder_that_holds_no_wordnet_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_wordnet(tmp_path / "half")
    (folder / "data.verb").unlink()
    monkeypatch.setenv("WNSEARCHDIR", str(folder))
    with pytest.raises(ConfigError, match=r"WNSEARCHDIR names '.*half', which holds no 'data\.verb' of WordNet\. Inst"):
        wordnet.require_wordnet()


def test_without_nltk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk.data", None)
    words = (
        "Replacing words by synonyms needs the package 'nltk', which is not installed. Install it with: pip install "
        '"sentlora[augment]"'
    )
    with pytest.raises(MissingExtraError, match=re.escape(words)):
        check_ready(Augmentation.of("synonyms=0.2"))
