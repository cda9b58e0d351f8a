"""The one door through which models get content: which modalities there are, and each of them in item order."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from recbole_sheaf.errors import FeatureError, shown
from recbole_sheaf.features.ablation import REAL, FeatureAblation, ablate
from recbole_sheaf.features.choosing import (
    ContentThere,
    choices_of,
    refuse_absent,
    refuse_nothing,
    tell_of_choices,
)
from recbole_sheaf.features.folder import feature_files, named_file
from recbole_sheaf.features.item_columns import column_features, vector_columns
from recbole_sheaf.features.modality import ModalityFeatures, join_by_token
from recbole_sheaf.features.normalisation import fit_normalisation
from recbole_sheaf.features.text import Ordered, as_it_stands, possible_text_modalities, text_features
from recbole_sheaf.files.atomic import raw_item_tokens
from recbole_sheaf.files.feature_files import read_features
from recbole_sheaf.files.id_files import ids_beside
from recbole_sheaf.settings.modality_choices import AUTO, FILES_ELSE_TEXT, ModalityChoice

logger = logging.getLogger(__name__)


def load_modalities(
    *,
    folder: Path,
    dataset_name: str,
    token2id: Mapping[str, int],
    n_items: int,
    modalities: Union[str, Sequence[Union[str, Mapping[str, Any]]]],
    text_modalities: Mapping[str, Sequence[str]],
    feature_dim_text: int,
    cache_dir: Path,
    features_path: Optional[Path] = None,
    item_field: str = "item_id",
    ablation: FeatureAblation = REAL,
    ordered: Ordered = as_it_stands,
) -> dict[str, ModalityFeatures]:
    """Load every modality that was asked for, in order.

    Args:
        folder: the dataset's folder, with ``<dataset_name>.item`` and the rest.
        dataset_name: stem of its files.
        token2id: RecBole's internal item id of each token, ``"[PAD]": 0`` included.
        n_items: RecBole's number of items, padding included.
        modalities: ``"auto"`` takes every feature file, in order of name, then every column of vectors in the ``.item``
            file, then every text modality of another name that this file has columns for; ``"files_else_text"`` takes
            text only where there are no vectors. A list takes exactly these, each from its file, its column or text; an
            entry may be a mapping that names a file or columns itself (:mod:`recbole_sheaf.settings.modality_choices`).
        text_modalities: columns of the ``.item`` file that each text modality joins.
        feature_dim_text: largest dimension of a text modality.
        cache_dir: where text vectors are kept.
        features_path: folder of feature files, ``<modality>.npz`` and so on; by default ``folder/features``.
        item_field: name of the column with item tokens.
        ablation: what is done to each modality once it is joined; a modality is ablated alone as in company.
        ordered: a text modality's table in the order in which it is encoded; by default that of its lines.

    Returns:
        Modalities by name, in the order asked for; empty where ``modalities`` is an empty list.

    Raises:
        ConfigError: if ``modalities`` contradicts itself.
        FeatureError: if nothing is found, a modality is not there, or a file does not fit the dataset.
        DataError: if the ``.item`` file is no table.

    A few seconds for 4,000 items and 2,000 dimensions; memory O(n_items dim) for each modality.
    """
    choices = choices_of(modalities)
    if not choices:
        return {}
    folder = Path(folder)
    item_file = folder / f"{dataset_name}.item"
    there = ContentThere(
        item_file,
        feature_files(folder, features_path),
        vector_columns(item_file),
        possible_text_modalities(item_file, text_modalities),
    )
    if (word := choices[0].name) in (AUTO, FILES_ELSE_TEXT) and len(choices) == 1:
        names = (list(dict.fromkeys([*there.files, *there.vectors])) if word == FILES_ELSE_TEXT else []) or there.names
        names = names or refuse_nothing(folder, dataset_name, features_path, text_modalities)
        choices = [ModalityChoice(name) for name in names]
    named = {
        choice.name: named_file(choice.file, folder, features_path) for choice in choices if choice.file is not None
    }
    refuse_absent(choices, there, named, text_modalities)
    tell_of_choices(choices, there, named, text_modalities)

    def load(choice: ModalityChoice) -> ModalityFeatures:
        name = choice.name
        path = there.files.get(name) if choice.by_name else named.get(name)
        if path is not None:
            return _from_file(name, path, folder, dataset_name, token2id, n_items, item_field)
        if not item_file.is_file():
            raise FeatureError(
                f"modality '{name}' is made from {item_file.name}, which is not in {folder}; add it or '{name}.npz'"
            )
        if choice.by_name and name in there.vectors:
            return join_by_token(name, *column_features(item_file, name, item_field), token2id, n_items)
        columns, dim = choice.columns or text_modalities[name], choice.text_dim or feature_dim_text
        tokens, rows = text_features(item_file, name, columns, dim, cache_dir, item_field, ordered)
        return join_by_token(name, tokens, rows, token2id, n_items)

    return {choice.name: ablate(_normalised(load(choice), choice), ablation, token2id) for choice in choices}


def _normalised(features: ModalityFeatures, choice: ModalityChoice) -> ModalityFeatures:
    """The features normalised; before any ablation, which then takes rows away from what the model would have seen."""
    return features.normalised(fit_normalisation(choice.normalise, features.matrix, features.present, features.name))


def _from_file(
    name: str,
    path: Path,
    folder: Path,
    dataset_name: str,
    token2id: Mapping[str, int],
    n_items: int,
    item_field: str,
) -> ModalityFeatures:
    tokens, rows = read_features(path)
    unloaded = [token for token in tokens if token not in token2id]
    if path.suffix == ".npy" and ids_beside(path) is None:
        _refuse_other_row_count(path, len(rows), _every_token(folder, dataset_name, token2id, item_field))
    elif unloaded:
        _refuse_unknown_tokens(path, unloaded, _every_token(folder, dataset_name, token2id, item_field), dataset_name)
    if len(unloaded) == len(tokens):
        raise FeatureError(
            f"{path.name} covers none of the {n_items - 1} items of dataset '{dataset_name}' "
            f"(it has {len(tokens)} rows); its item_id must be the tokens of the dataset's items"
        )
    if unloaded:
        logger.info(
            "modality '%s': left out %d rows of items that the loaded dataset does not hold", name, len(unloaded)
        )
    return join_by_token(name, tokens, rows, token2id, n_items)


def _every_token(folder: Path, dataset_name: str, token2id: Mapping[str, int], item_field: str) -> set[str]:
    return raw_item_tokens(folder, dataset_name, item_field) | (set(token2id) - {"[PAD]"})


def _refuse_unknown_tokens(path: Path, unloaded: Sequence[str], known: set[str], dataset_name: str) -> None:
    unknown = [token for token in unloaded if token not in known]
    if unknown:
        raise FeatureError(
            f"{path.name} has {len(unknown)} item_id tokens that dataset '{dataset_name}' does not know "
            f"(first: {shown(unknown[0])}); expected tokens of {dataset_name}.item or .inter: correct or drop them"
        )


def _refuse_other_row_count(path: Path, rows: int, known: set[str]) -> None:
    """An ``.npy`` names no item, so its rows must be the dataset's items, 0 to n - 1."""
    odd = sorted(token for token in known if not (token.isascii() and token.isdigit() and str(int(token)) == token))
    if odd:
        raise FeatureError(
            f"{path.name} has no tokens, so its rows stand for the items 0, 1, 2, ..., but the dataset has the item "
            f"{shown(odd[0])}; write an .npz with item_id and feature instead, or the ids into {path.stem}.ids.txt "
            "beside it"
        )
    expected = 1 + max(map(int, known), default=-1)
    if rows != expected:
        raise FeatureError(
            f"{path.name} has {rows} rows but the dataset's items go from 0 to {expected - 1}; "
            f"expected {expected} rows, row r for item r: write the missing rows, or an .npz with item_id and feature"
        )
