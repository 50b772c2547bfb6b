"""Cleaning for transformers: what is no language goes, and every word stays as it was written."""

from __future__ import annotations

import html
import re
from html.entities import html5

from sentlora.errors import MissingExtraError

_BREAKS = (
    "address article aside blockquote body br center dd details div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 head header hr html li main nav ol option p pre section select summary table tbody td tfoot "
    "th thead title tr ul"
)
_INLINE = (
    "a abbr acronym b big button cite code col colgroup del dfn em embed font i iframe img input ins kbd label "
    "legend link map mark meta noscript object param q s samp script small source span strike strong style sub sup "
    "textarea tt u var video"
)
# With attributes only where they are spelt as such: "<i love it>" is no tag, and "<3" is not one either.
_TAG = re.compile(rf"</?({'|'.join((_BREAKS + ' ' + _INLINE).split())})(?:\s+[a-z-]+\s*=[^<>]*)?\s*/?>", re.IGNORECASE)
_UNSEEN = re.compile(r"<!--.*?-->|<(script|style)\b[^<>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
# A number needs no semicolon to be known for what it is; a name does ("Q&A" is none).
_ENTITY = re.compile(r"&(?:#\d{1,7};?|#x[\da-f]{1,6};?|[a-z][a-z\d]{1,31};)", re.IGNORECASE)
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"]*[^\s<>\".,;:!?)\]}']", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


def clean(text: str, html: bool = True, urls: bool = False, mojibake: bool = False, whitespace: bool = True) -> str:
    """Take out of a text what is no language. Case, punctuation and emoji stay: a transformer reads them.

    Args:
        text: Any string.
        html: Take out tags and comments (a line break is put where one was shown), and undo entities.
        urls: Take out web addresses.
        mojibake: Repair text that was decoded with the wrong encoding, by ``ftfy``.
        whitespace: Make one space of every run of white space, and none at the ends.

    Returns:
        The cleaned text; the same string where there is nothing to do.

    Raises:
        MissingExtraError: If ``mojibake`` is asked for and ftfy is not installed.

    Examples:
        >>> clean("Great!<br /><br />I can&#039;t  wait <3")
        "Great! I can't wait <3"
        >>> clean("See https://example.org/a?b=1.", urls=True)
        'See .'
    """
    if mojibake:
        text = _repaired(text)
    if html:
        text = without_html(text)
    if urls:
        text = _URL.sub("", text)
    return _SPACE.sub(" ", text).strip() if whitespace else text


def without_html(text: str) -> str:
    r"""Take out tags and comments, and undo entities.

    Args:
        text: Any string.

    Examples:
        >>> without_html("<p>un<b>real</b> &amp; fine</p>")
        '\nunreal & fine\n'
    """
    if "<" in text:
        text = _TAG.sub(_shown, _UNSEEN.sub("", text))
    # Last, so that what was written as &lt;b&gt; to be seen is not taken for a tag.
    return _ENTITY.sub(lambda found: html.unescape(found.group()), text) if "&" in text else text


def holds_html(text: str) -> bool:
    """Tell whether a text holds a tag, a comment or an entity.

    Examples:
        >>> [holds_html(text) for text in ("fine<br>", "R&amp;B", "R&B <3 it; a < b > c")]
        [True, True, False]
    """
    if "<" in text and (_TAG.search(text) or _UNSEEN.search(text)):
        return True
    return "&" in text and any(_is_entity(found) for found in _ENTITY.findall(text))


def _is_entity(found: str) -> bool:
    return found[1] == "#" or found[1:] in html5


def _shown(tag: re.Match[str]) -> str:
    return "\n" if tag.group(1).lower() in _BREAKS.split() else ""


def _repaired(text: str) -> str:
    try:
        import ftfy
    except ImportError as error:
        raise MissingExtraError("ftfy", "text", "Repairing mojibake") from error
    return str(ftfy.fix_encoding(text))
