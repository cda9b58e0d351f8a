"""Which content of a dataset is taken: what is named and not there is refused, what is taken and left is said."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Optional

from recbole_sheaf.errors import FeatureError, nearest, shown
from recbole_sheaf.features.folder import MMREC_SUFFIX
from recbole_sheaf.files.atomic import column_names
from recbole_sheaf.files.feature_files import ENDINGS
from recbole_sheaf.settings.modality_choices import AUTO, FILES_ELSE_TEXT, ModalityChoice, chosen_modalities

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ContentThere:
    """The content that a dataset has, each source by the name of its modality.

    Attributes:
        item_file: whether it is there or not.
        files: of vectors.
        vectors: columns of the ``.item`` file that hold some.
        texts: modalities that its other columns make.
    """

    item_file: Path
    files: Mapping[str, Path]
    vectors: Sequence[str]
    texts: Sequence[str]

    @property
    def names(self) -> list[str]:
        """Names of all modalities that are there, each once."""
        return list(dict.fromkeys([*self.files, *self.vectors, *self.texts]))


def choices_of(modalities: object) -> list[ModalityChoice]:
    """The setting's choices.

    Raises:
        FeatureError: if it is no text or list of texts and mappings.
        ConfigError: if it contradicts itself.
    """
    wanted = [modalities] if isinstance(modalities, str) else modalities or []
    if not isinstance(wanted, (list, tuple)) or not all(isinstance(entry, (str, dict)) for entry in wanted):
        raise FeatureError(
            f"modalities is {shown(modalities)}, expected {AUTO}, {FILES_ELSE_TEXT} or a list of names, such as [image]"
        )
    return chosen_modalities(wanted)


def tell_of_choices(
    choices: Sequence[ModalityChoice],
    there: ContentThere,
    named: Mapping[str, Path],
    text_modalities: Mapping[str, Sequence[str]],
) -> None:
    """Say in one line what is taken, and what else is there."""
    taken = [choice.name for choice in choices]
    elsewhere = {name for name, path in there.files.items() if path in named.values()}  # taken under another name
    unused = [name for name in there.names if name not in taken and name not in elsewhere]
    more = f"; there and not used: {', '.join(unused)}, which modalities: [...] may name" if unused else ""
    logger.info("modalities: %s%s", ", ".join(map(_source, choices)), more)
    for name, columns in text_modalities.items():
        if name not in there.names and name not in taken:
            logger.warning("text modality '%s' is left out: the .item file lacks a column of %s", name, list(columns))


def _source(choice: ModalityChoice) -> str:
    """A modality in the line that says what was taken, with its source where the name is not."""
    if choice.by_name:
        return choice.name
    return f"{choice.name} (of {' + '.join(choice.columns) if choice.file is None else Path(choice.file).name})"


def refuse_nothing(
    folder: Path, dataset_name: str, features_path: Optional[Path], text_modalities: Mapping[str, Sequence[str]]
) -> NoReturn:
    """Refuse a dataset without content.

    Raises:
        FeatureError: saying where it was looked for.
    """
    features = features_path or folder / "features"
    columns = {name: list(names) for name, names in text_modalities.items()}
    raise FeatureError(
        f"dataset '{dataset_name}' has no item content: looked for {features}/*.npz, .npy, .parquet and .safetensors, "
        f"{folder}/*{MMREC_SUFFIX}.npy, columns of float_seq in {dataset_name}.item and its columns {columns}; provide "
        "<modality>.npz with item_id and feature, name columns in text_modalities, or set modalities: [] to do without"
    )


def _refuse_unknown(choices: Sequence[ModalityChoice], available: Sequence[str]) -> None:
    for choice in choices:
        if choice.by_name and choice.name not in available:
            raise FeatureError(
                f"there is no modality {shown(choice.name)}{nearest(choice.name, available)}; available: "
                f"{', '.join(available) or 'none'}; add a file '{choice.name}.npz' or an entry in text_modalities"
            )


def refuse_absent(
    choices: Sequence[ModalityChoice],
    there: ContentThere,
    named: Mapping[str, Path],
    text_modalities: Mapping[str, Sequence[str]],
) -> None:
    """Refuse modalities that are chosen and not there, before any of them is read.

    Args:
        choices: in order.
        there: what the dataset has.
        named: files that choices name, by modality.
        text_modalities: of which some may lack their columns.

    Raises:
        FeatureError: with the nearest name.
    """
    _refuse_unknown(choices, list(dict.fromkeys([*there.files, *there.vectors, *text_modalities])))
    _refuse_absent_files(named)
    if there.item_file.is_file():
        _refuse_absent_columns(choices, there.item_file)


def _refuse_absent_files(named: Mapping[str, Path]) -> None:
    for name, path in named.items():
        if not path.is_file():
            files = [other.name for other in path.parent.glob("*") if other.name.endswith(ENDINGS)]
            raise FeatureError(
                f"the file of modality '{name}', {path.name}, is not in {path.parent}{nearest(path.name, files)}; put "
                "it there, or give its path from the folder of features or from the root"
            )


def _refuse_absent_columns(choices: Sequence[ModalityChoice], item_file: Path) -> None:
    header = column_names(item_file)
    for choice in choices:
        if absent := [column for column in choice.columns if column not in header]:
            raise FeatureError(
                f"modality '{choice.name}' names the column {shown(absent[0])}, which {item_file.name} does not have"
                f"{nearest(absent[0], header)}; its columns are {', '.join(header)}"
            )
