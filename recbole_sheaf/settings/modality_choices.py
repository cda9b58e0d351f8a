"""The setting ``modalities``: a word, a list of names, or mappings that say where a modality comes from.

``[image, {name: title, columns: [title, plot], text_dim: 32}, {name: video, file: clips.npy, normalise: rows}]``
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from recbole_sheaf.errors import ConfigError, shown
from recbole_sheaf.settings.rules import Rule
from recbole_sheaf.settings.vocabulary import NORMALISATIONS

AUTO, FILES_ELSE_TEXT = "auto", "files_else_text"
NAME = r"""[^./\\:"\s][^/\\:"\n\r\t\0]*"""  # files of caches are named after modalities


@dataclass(frozen=True)
class ModalityChoice:
    """One modality that a list names.

    Attributes:
        name: of the modality; without a file or columns that of its feature file, column of vectors or text modality.
        columns: of the ``.item`` file, whose words are joined and made into vectors.
        text_dim: width of those, at most; None leaves it to the setting of that name.
        file: of vectors, in the folder of features unless it is absolute.
        normalise: what becomes of the rows: ``rows`` gives them length 1, ``columns`` mean 0 and variance 1 among the
            items that have one.
    """

    name: str
    columns: Sequence[str] = ()
    text_dim: Optional[int] = None
    file: Optional[str] = None
    normalise: str = "none"

    @property
    def by_name(self) -> bool:
        """Whether the name alone says where it comes from."""
        return not self.columns and self.file is None


NAMES = Rule(str, form=NAME, such_as="title, without / and :")
MAPPING = Rule(
    dict,
    entries={
        "name": NAMES,
        "columns": Rule(list, each=Rule(str)),
        "text_dim": Rule(int, low=1),
        "file": Rule(str),
        "normalise": Rule(str, choices=NORMALISATIONS),
    },
)


def chosen_modalities(modalities: Union[str, Sequence[Any], None]) -> list[ModalityChoice]:
    """The setting as a list of choices; a word or a name that stands alone becomes a list of one.

    Raises:
        ConfigError: if a mapping has an unknown key or value, no name, two sources, or a name comes twice.
    """
    listed = [modalities] if isinstance(modalities, str) else modalities or []
    choices = [_choice(entry) for entry in listed]
    names = [choice.name for choice in choices]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"modalities names {shown(twice[0])} more than once; name each once")
    return choices


def refuse_contradictions(name: str, value: Any) -> None:
    """Refuse a value of the setting that :func:`chosen_modalities` cannot read.

    Raises:
        ConfigError: as that.
    """
    chosen_modalities(value)


def refuse_unfit_names(name: str, value: Any) -> None:
    """Refuse keys of ``text_modalities`` that cannot name a file: files of a cache are named after them.

    Raises:
        ConfigError: if one could name a file elsewhere.
    """
    for key in value or {}:
        NAMES.check(f"a name in {name}", key)


def _choice(entry: Union[str, Mapping[str, Any]]) -> ModalityChoice:
    if isinstance(entry, str):
        return ModalityChoice(entry)
    MAPPING.check("an entry of modalities", entry)
    said = f"the entry {shown(dict(entry))} of modalities"
    if "name" not in entry:
        raise ConfigError(f"{said} has no name; add one, such as name: title")
    choice = ModalityChoice(**entry)
    if choice.name in (AUTO, FILES_ELSE_TEXT):
        raise ConfigError(f"{said} has the name {choice.name}, a word for several; write it alone, or name a modality")
    if choice.file is not None and "columns" in entry:
        raise ConfigError(f"{said} has a file and columns; give one of them, and each modality an entry of its own")
    if "columns" in entry and not choice.columns:
        raise ConfigError(f"{said} has no column in columns; name some of the .item file, or leave columns out")
    if choice.text_dim is not None and not choice.columns:
        raise ConfigError(f"{said} has text_dim but no columns to make text vectors of; name columns, or drop it")
    if choice.file is not None:
        _refuse_other_format(said, choice.file)
    return choice


def _refuse_other_format(said: str, file: str) -> None:
    from recbole_sheaf.files.feature_files import ENDINGS  # with NumPy, which no help of a command waits for

    if not file.endswith(ENDINGS):
        raise ConfigError(f"{said} has a file of another kind than {', '.join(ENDINGS)}; name one of these")
