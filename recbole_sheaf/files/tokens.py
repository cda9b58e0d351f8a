"""Ids of users and items as files of any kind bring them: what stands there, without the blanks around it.

Nothing else about an id is changed: ``007`` is not ``7``, ``NA`` is an id. What could be taken for another id on its
way through files and terminals is none.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Optional

from recbole_sheaf.errors import DataError

PADDING = "[PAD]"
LONGEST = 1024  # characters; an array of text takes four bytes of each for every row
# Controls, NUL, tabs and line ends among them; ends of lines and paragraphs; byte order marks; halves of a character.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_WHOLE = re.compile(r"(-?[0-9]+)\.0+")


def fault_of(token: str) -> Optional[str]:
    """Why a text (without blanks around it) cannot be an id, as words to put after its name; None where it can.

    Examples:
        >>> fault_of("007"), fault_of("")
        (None, 'is empty')
    """
    if not token:
        return "is empty"
    if token == PADDING:
        return f"is {PADDING}, RecBole's name for nobody"
    if _UNFIT.search(token):
        return "holds a tab, a line end or another character that does not print"
    return f"is longer than {LONGEST:,} characters" if len(token) > LONGEST else None


def refuse_written_alike(what: str, tokens: Iterable[str]) -> None:
    """Refuse two ids that are one to a reader: ``1`` and ``1.0``, or letters whose Unicode alone differs.

    Raises:
        DataError: naming the first two.

    Examples:
        >>> refuse_written_alike("items", ["1", "2.0", "1.0"])
        Traceback (most recent call last):
        recbole_sheaf.errors.DataError: the items '1' and '1.0' differ in how they are written alone; write each id ...
    """
    first: dict[str, str] = {}
    for token in tokens:
        other = first.setdefault(_as_read(token), token)
        if other != token:
            raise DataError(
                f"the {what} {other!a} and {token!a} differ in how they are written alone; write each id in "
                "one way in every table and file"
            )


def _as_read(token: str) -> str:
    """Whole numbers without a point; of other than ASCII its composed form, without what takes no room."""
    if token.isascii():
        whole = _WHOLE.fullmatch(token) if token.endswith("0") else None
        return whole.group(1) if whole else token
    composed = unicodedata.normalize("NFC", token)
    return " ".join("".join(letter for letter in composed if unicodedata.category(letter) != "Cf").split())
