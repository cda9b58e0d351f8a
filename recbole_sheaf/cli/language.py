"""The language of help: which one it is, and its words.

The English texts stand in the modules of the commands, and are the keys of ``messages/<language>.po``, which holds the
others. That file is read as it stands, and only where its language is asked for: nothing compiled can fall behind it.
"""

import argparse
import gettext
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from recbole_sheaf.errors import ConfigError, shown

LANGUAGES = ("en", "ru")
VARIABLE = "RECBOLE_SHEAF_LANG"
LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set decides, as POSIX has it
MESSAGES = Path(__file__).with_name("messages")
_RUSSIAN = re.compile(r"ru(?![a-z])", re.IGNORECASE)


def help_language() -> str:
    """What ``RECBOLE_SHEAF_LANG`` names, or else the language of the locale: ``ru`` for Russian, ``en`` for all others.

    Raises:
        ConfigError: if the variable names a language that there is not.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        locale = next(filter(None, map(os.environ.get, LOCALES)), "")
        return "ru" if _RUSSIAN.match(locale) else "en"
    if named not in LANGUAGES:
        raise ConfigError(f"{VARIABLE} is {shown(named)}, expected {' or '.join(LANGUAGES)}; set it so, or unset it")
    return named


@cache
def words(language: str) -> gettext.NullTranslations:
    """The translations into a language, by their English texts; a text without one stays English."""
    if language == "en":
        return gettext.NullTranslations()
    import polib

    catalogue = polib.pofile(str(MESSAGES / f"{language}.po"))
    return gettext.GNUTranslations(io.BytesIO(catalogue.to_binary()))


def say(text: str) -> str:
    """A text of one paragraph, or of several, in the reader's language."""
    texts = words(help_language())
    return "".join(texts.gettext(part) if part.strip() else part for part in paragraphs(text))


def paragraphs(text: str) -> list[str]:
    """A text cut into the pieces that are translated each, and the blank lines between; joined they are the text again.

    Lines set in under a heading of one line stand alone, so that examples, which are commands in any language, need no
    translation.
    """
    parts: list[str] = []
    for part in re.split(r"(\n\n+|\n$)", text):
        block = re.fullmatch(r"(\S.*)(\n)( .*(?:\n .*)*)", part)
        parts += block.groups() if block else [part]
    return parts


@contextmanager
def argparse_in(language: str) -> Iterator[None]:
    """A context in which argparse says its own words, such as ``usage``, in a language."""
    own, texts = vars(argparse), words(language)
    before = {name: own[name] for name in ("_", "ngettext")}
    own.update(_=texts.gettext, ngettext=texts.ngettext)
    try:
        yield
    finally:
        own.update(before)


@contextmanager
def written_whole() -> Iterator[None]:
    """A context that says in one sentence that a screen has no letters for a text.

    Raises:
        ConfigError: in place of a ``UnicodeEncodeError``.
    """
    try:
        with _strict(sys.stdout):
            yield
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"help in '{help_language()}' cannot be written in {error.encoding}, the encoding of this output; set "
            f"PYTHONIOENCODING=utf-8, or {VARIABLE}=en for English"
        ) from error


@contextmanager
def _strict(stream: Any) -> Iterator[None]:
    """A context in which a stream refuses what it cannot encode, instead of writing an escape."""
    if not isinstance(stream, io.TextIOWrapper):
        yield
        return
    errors = stream.errors
    stream.reconfigure(errors="strict")
    try:
        yield
    finally:
        stream.reconfigure(errors=errors)
