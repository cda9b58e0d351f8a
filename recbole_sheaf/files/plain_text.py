"""Texts that somebody else chose, where a terminal, a spreadsheet or a program reads them.

A name may hold what a terminal takes for a command, or what turns a line around, or what a spreadsheet takes for a
formula. Every table, list and sentence goes through here.
"""

import json
import re
from typing import Any

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+"
)  # and those that turn lines around
_MARKDOWN = re.compile(r"[\\|`]")
_FORMULA = ("=", "+", "-", "@")


def one_line(text: str) -> str:
    """A text without line breaks and other control characters, for a terminal, a table or a page."""
    return _CONTROL.sub(" ", text)


def in_markdown(text: str) -> str:
    r"""A cell of a Markdown table on one line, in which nothing ends the cell, is code or a tag.

    >>> in_markdown("a|b")
    'a\\|b'
    """
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text)).replace("<", "&lt;")


def in_csv(text: str) -> str:
    """A cell of CSV on one line; what a spreadsheet would compute begins with an apostrophe, a number stays as it is.

    >>> in_csv("=1+1"), in_csv("-3")
    ("'=1+1", '-3')
    """
    text = one_line(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _is_number(text) else text


def json_line(value: Any) -> str:
    """JSON on one line, letters as they are and control characters by their number: what is read back is the same.

    Raises:
        TypeError, ValueError: as :func:`json.dumps`.
    """
    return escaped_json(json.dumps(value, ensure_ascii=False))


def escaped_json(text: str) -> str:
    """JSON without line breaks, its control characters by their number; outside its strings there are none."""
    return _CONTROL.sub(lambda found: "".join(f"\\u{ord(letter):04x}" for letter in found[0]), text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
