"""Ablations of content: the same dataset with rows removed, permuted or replaced, for whatever model reads it.

What a model gains from content is what it loses when the content goes. ``missing_share`` removes rows. ``shuffled``
keeps every vector and takes away whose it is; ``noise`` keeps the first two moments only; ``constant`` keeps nothing
but who has a row. First rows are removed, then those that stay are replaced, so a removed row leaves no trace.

Each draw comes from the ablation's own seed, the modality's name and what is drawn. It knows neither a model's seed nor
which other modalities are loaded, runs over the item tokens in sorted order, whatever ids RecBole gave them, and the
rows removed are the same for every kind. Less is removed within more: the rows gone at 0.2 are gone at 0.5 too.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.features.modality import ModalityFeatures
from recbole_sheaf.files.cache import content_key
from recbole_sheaf.settings.config import AblationSettings

logger = logging.getLogger(__name__)

NO_DIRECTION = 1e-6  # a mean row shorter than this, in units of the rows' own length, is rounding and not a mean


@dataclass(frozen=True)
class FeatureAblation:
    """An ablation of content, applied to every modality; the defaults, as in ``properties/overall.yaml``, do nothing.

    Attributes:
        kind: the key ``features``. ``real`` leaves the rows; ``shuffled`` permutes them among the items that have one;
            ``noise`` draws Gaussian rows with the mean and variance of each coordinate; ``constant`` gives every item
            that has a row the mean row.
        missing_share: share in [0, 1) of the rows to remove, beside those that the data lack; one row always stays.
        seed: the key ``ablation_seed``, which nothing else reads.

    Raises:
        ConfigError: if a value is none of these.
    """

    kind: str = "real"
    missing_share: float = 0.0
    seed: int = 2020

    def __post_init__(self) -> None:
        AblationSettings(self.kind, self.missing_share, self.seed)

    def generator(self, modality: str, draw: str) -> np.random.Generator:
        """Random numbers for one draw of one modality, apart from those of any other."""
        return np.random.default_rng(int(content_key([str(self.seed), modality, draw]), 16))


REAL = FeatureAblation()


def ablate(features: ModalityFeatures, ablation: FeatureAblation, token2id: Mapping[str, int]) -> ModalityFeatures:
    """The features of one modality after the ablation; the very same object where it does nothing.

    Args:
        features: rows in RecBole's item order.
        ablation: what to remove, and by what to replace the rows that stay.
        token2id: RecBole's internal id of each token, by which the features were joined.

    Returns:
        Features of the same name and shape. Items that had no row have none; removed rows are zeros and not present;
        all others are present, with the mean and variance of ``noise`` taken over the rows that stayed.

    Raises:
        FeatureError: if an item with a row has no token.

    Time O(n_items (dim + log n_items)), memory O(n_items dim).
    """
    if ablation.kind == "real" and not ablation.missing_share:
        return features
    items = _items_with_a_row(features, token2id)
    kept = items[_rows_that_stay(len(items), ablation, features.name)]
    rows = _REPLACE[ablation.kind](
        features.matrix[kept].cpu().numpy(), ablation.generator(features.name, ablation.kind)
    )
    matrix, present = torch.zeros_like(features.matrix), torch.zeros_like(features.present)
    matrix[kept] = torch.from_numpy(rows).to(matrix.device)
    present[kept] = True
    logger.info(
        "modality '%s': removed %d of %d rows, the %d others are %s (ablation_seed %d)",
        features.name,
        len(items) - len(kept),
        len(items),
        len(kept),
        ablation.kind,
        ablation.seed,
    )
    return ModalityFeatures(features.name, matrix, present, features.normalisation)


def _items_with_a_row(features: ModalityFeatures, token2id: Mapping[str, int]) -> Int64[np.ndarray, " rows"]:
    """Internal ids of the items that have a row, in the order of their tokens."""
    present = features.present.tolist()
    tokens = sorted(token for token, item in token2id.items() if present[item])
    if len(tokens) != sum(present):
        raise FeatureError(
            f"modality '{features.name}' has rows of {sum(present)} items, but token2id names {len(tokens)} of them; "
            "give the token2id by which the features were joined"
        )
    return np.array([token2id[token] for token in tokens], np.int64)


def _rows_that_stay(n: int, ablation: FeatureAblation, modality: str) -> Int64[np.ndarray, " kept"]:
    """Positions, ascending, of the rows that are not removed: all but a prefix of one permutation."""
    removed = min(round(ablation.missing_share * n), max(n - 1, 0))
    return np.sort(ablation.generator(modality, "missing").permutation(n)[removed:])


def _real(rows: Float32[np.ndarray, "n dim"], rng: np.random.Generator) -> Float32[np.ndarray, "n dim"]:
    return rows


def _shuffled(rows: Float32[np.ndarray, "n dim"], rng: np.random.Generator) -> Float32[np.ndarray, "n dim"]:
    return rows[rng.permutation(len(rows))]


def _noise(rows: Float32[np.ndarray, "n dim"], rng: np.random.Generator) -> Float32[np.ndarray, "n dim"]:
    if not len(rows):
        return rows
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    return _as_float32(mean + deviation * rng.standard_normal(rows.shape))


def _constant(rows: Float32[np.ndarray, "n dim"], rng: np.random.Generator) -> Float32[np.ndarray, "n dim"]:
    """The mean row, for everyone.

    Models divide rows by their length. Where the mean vanishes, as in centred vectors, that would blow up rounding
    errors, so a row of equal coordinates stands in, as long as the rows are in root mean square (1 if all are zeros).
    """
    if not len(rows):
        return rows
    mean, length = rows.mean(axis=0, dtype=np.float64), np.sqrt(np.square(rows, dtype=np.float64).sum() / len(rows))
    if np.linalg.norm(mean) <= NO_DIRECTION * length:
        mean = np.full(rows.shape[1], (length or 1.0) / np.sqrt(rows.shape[1]))
    return np.tile(_as_float32(mean), (len(rows), 1))


def _as_float32(values: Float[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Rounded to float32, what lies beyond its range moved to the end of the range."""
    limit = np.finfo(np.float32).max
    return np.clip(values, -limit, limit).astype(np.float32)


_REPLACE: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "real": _real,
    "shuffled": _shuffled,
    "noise": _noise,
    "constant": _constant,
}
