"""Items that a dataset lists and nobody had: put behind those with interactions, so that they are ranked too.

An item has content, of whatever modality, by a row of vectors, or by words in a column that a modality is made of.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import pandas as pd

from recbole_sheaf.data.identity import data_read
from recbole_sheaf.features.choosing import choices_of
from recbole_sheaf.features.folder import feature_files, named_file
from recbole_sheaf.features.item_columns import vector_columns
from recbole_sheaf.files.atomic import column_names, read_columns
from recbole_sheaf.files.feature_files import read_features
from recbole_sheaf.settings.config import ranks_listed_items

logger = logging.getLogger(__name__)


def add_listed_items(dataset: Any, item_file: Path) -> None:
    """Give a RecBole dataset, where ``catalogue`` says so, the items of its ``.item`` that have content.

    They come after the items with interactions, whose numbers stay, in the order of their lines. Where ``load_col``
    loads the file, RecBole takes all of its items by itself.

    Raises:
        ConfigError, FeatureError, DataError: if the file or the content cannot be read.
    """
    config, field = dataset.config, dataset.iid_field
    if not ranks_listed_items(config) or dataset.item_feat is not None or not item_file.is_file():
        return
    if field not in column_names(item_file):
        return
    features_path = config["features_path"]
    with_content = items_with_content(
        item_file,
        config["modalities"],
        config["text_modalities"] or {},
        Path(features_path) if features_path else None,
        field,
    )
    had = dataset.inter_feat[field].unique()
    listed = data_read(config).table(item_file.name, read_columns(item_file, [field]), [field])[field]
    added = listed[listed.isin(with_content) & ~listed.isin(had)].unique()
    if not len(added):
        return
    dataset.item_feat = pd.DataFrame({field: [*had, *added]})
    logger.info(
        "%d items of %s have content and no interaction, and are ranked beside the %d that have some; "
        "catalogue: interactions leaves them out",
        len(added),
        item_file.name,
        len(had),
    )


def items_with_content(
    item_file: Path,
    modalities: Any,
    text_modalities: Mapping[str, Sequence[str]],
    features_path: Optional[Path] = None,
    item_field: str = "item_id",
) -> set[str]:
    """Tokens of the items that have content in the dataset's folder, whichever of it a model takes.

    So models that take some modalities, or none, have the same items beside those that take all.

    Args:
        item_file: the dataset's ``.item``, which need not be there.
        modalities, text_modalities, features_path: the settings.
        item_field: column of the tokens.

    Raises:
        ConfigError, FeatureError, DataError: as reading the content raises them.

    Reads every file of vectors; time and memory O(n_items dim) of the widest.
    """
    folder = item_file.parent
    choices = choices_of(modalities)
    files = {*feature_files(folder, features_path).values()}
    files |= {named_file(choice.file, folder, features_path) for choice in choices if choice.file is not None}
    found = {token for path in sorted(files) for token in read_features(path)[0]}
    header = column_names(item_file) if item_file.is_file() else []
    wanted = [*vector_columns(item_file), *(column for columns in text_modalities.values() for column in columns)]
    wanted += [column for choice in choices for column in choice.columns]
    columns = [column for column in dict.fromkeys(wanted) if column in header]
    if columns and item_field in header:
        table = read_columns(item_file, [item_field, *columns])
        filled = (table[columns].apply(lambda column: column.str.strip()) != "").any(axis=1)
        found.update(table[item_field][filled])
    return found
