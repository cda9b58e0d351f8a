"""Items that a dataset lists and nobody had: put behind those with interactions, so that they are ranked too."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_sheaf.data.identity import data_read
from recbole_sheaf.features.listing import items_with_content
from recbole_sheaf.files.atomic import column_names, read_columns
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
