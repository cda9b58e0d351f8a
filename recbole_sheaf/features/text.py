"""Vectors from the words in an ``.item`` file, so that a dataset without feature files is still multimodal.

TF-IDF over the words of an item, then truncated singular value decomposition (latent semantic analysis; Deerwester et
al. 1990). Only words that two items share are known: a word of one item relates it to nothing.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from jaxtyping import Float
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.files.atomic import column_names, first_of_each, read_columns
from recbole_sheaf.files.cache import cached_arrays, content_key
from recbole_sheaf.files.feature_files import TOKENS, VECTORS

logger = logging.getLogger(__name__)

TEXT_SEED = 2020  # of this file's randomised SVD and of nothing else: a run's seed never changes the content
FORMAT_VERSION = "text-1"
WORD = r"(?u)\b\w+(?:'\w+)*\b"  # one letter is a word ("M", "Z"), and so is "Children's"

Ordered = Callable[[str, pd.DataFrame, Sequence[str]], pd.DataFrame]  # of a modality's name, its table and key columns


def as_it_stands(name: str, table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The table as it is, in the order of its lines."""
    return table


def possible_text_modalities(item_file: Path, text_modalities: Mapping[str, Sequence[str]]) -> list[str]:
    """The modalities whose columns are all in the file, in the mapping's order."""
    header = column_names(item_file) if item_file.is_file() else []
    return [name for name, columns in text_modalities.items() if columns and set(columns) <= set(header)]


def text_features(
    item_file: Path,
    name: str,
    columns: Sequence[str],
    dim: int,
    cache_dir: Path,
    item_field: str = "item_id",
    ordered: Ordered = as_it_stands,
) -> tuple[list[str], Float[np.ndarray, "rows components"]]:
    """Tokens and vectors of the items that have at least one known word; the others are missing.

    Args:
        item_file: RecBole's ``.item``.
        name: of the modality; part of the cache's key.
        columns: whose text is joined, without their types.
        dim: at most so many components; fewer where the words or items are few.
        cache_dir: results are kept here under a hash of the text and of everything else they depend on.
        item_field: column of the tokens.
        ordered: the table's rows in the order in which they are encoded, on which the last digits depend.

    Raises:
        FeatureError: if a column is not there, ``dim`` is below 1, or no two items share a word.

    About one second for the titles of 4,000 items, then milliseconds from the cache.
    """
    if dim < 1:
        raise FeatureError(f"text modality '{name}' was given {dim} dimensions; set feature_dim_text to 1 or more")
    table = ordered(name, read_columns(item_file, [item_field, *columns]), [item_field])
    table = first_of_each(item_file.name, table, item_field)
    tokens, texts = table[item_field].tolist(), [" ".join(row) for row in zip(*(table[name] for name in columns))]
    key = content_key(
        [FORMAT_VERSION, sklearn.__version__, name, str(dim), str(len(columns)), *columns, *tokens, *texts]
    )

    def build() -> dict[str, np.ndarray]:
        known, vectors = encode_texts(name, texts, dim)
        return {TOKENS: np.array(tokens, dtype=str)[known], VECTORS: vectors}

    arrays = cached_arrays(Path(cache_dir) / "text" / f"{name}-{key}.npz", (TOKENS, VECTORS), build)
    return arrays[TOKENS].tolist(), arrays[VECTORS]


def encode_texts(name: str, texts: Sequence[str], dim: int) -> tuple[np.ndarray, Float[np.ndarray, "rows components"]]:
    """A mask of the texts that have a known word, and the vectors of those texts."""
    logger.info("modality '%s': making vectors from the text of %d items", name, len(texts))
    try:
        tfidf = TfidfVectorizer(token_pattern=WORD, min_df=2, sublinear_tf=True).fit_transform(texts)
    except ValueError as error:  # how scikit-learn says that no word is left
        raise FeatureError(
            f"text modality '{name}' cannot be made: no two of {len(texts)} items share a word; choose other columns"
        ) from error
    known = np.flatnonzero(np.diff(tfidf.indptr))
    components = min(dim, tfidf.shape[1] - 1, tfidf.shape[0] - 1)
    if components:
        vectors = TruncatedSVD(components, random_state=TEXT_SEED).fit_transform(tfidf)
    else:  # a single known word is its own component
        vectors = tfidf.toarray()
    return known, vectors[known].astype(np.float32)
