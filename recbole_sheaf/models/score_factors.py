"""What a model knows of its own scores, in plain data: vectors, maps between items, and where whoever is new belongs.

A score is an inner product of a user's and an item's vector, plus the maps from the items of the user's history
(:class:`~recbole_sheaf.sheaf.item_maps.ItemMaps`). Rows are RecBole's ids, padding at 0. A model derives from
:class:`ScoresInPieces` and defines of its methods what it has; what it has not it refuses in one sentence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Optional

import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import ConfigError, NoPieces
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.sheaf.item_maps import ItemMaps


@dataclass(frozen=True, eq=False)
class ScoreFactors:
    """Vectors whose inner products are the scores or, beside maps between items, a part of them.

    Attributes:
        users, items: the vectors.
        blocks: names and widths of their columns, in order; none where the maps are the whole score.
        popularity: whether one more column, the last, is the items' popularity, in which every user has 1.
        cosine: whether the vectors come from a comparison by the cosine.
        temperature: that is shared out to users and items; None where there is none.
        growth_with_history: factor and power of a history's length by which a user's vector grows.
        item_embeddings: fused embeddings where ``items`` are others, which draw rare items to their mean or have
            popularity.
        item_rarity: how far they are drawn, in [0, 1].
        user_sources: what each item adds to the vector of a user who has nothing but a history, the column of
            popularity left out; None where training alone gives a user's vector.
    """

    users: Float[Tensor, "u f"]
    items: Float[Tensor, "n f"]
    blocks: list[tuple[str, int]]
    popularity: bool = False
    cosine: bool = False
    temperature: Optional[float] = None
    growth_with_history: Optional[tuple[float, float]] = None
    item_embeddings: Optional[Float[Tensor, "n _"]] = None
    item_rarity: Optional[Float[Tensor, " n"]] = None
    user_sources: Optional[Float[Tensor, "n _"]] = None

    @classmethod
    def of_maps_alone(cls, n_users: int, n_items: int) -> "ScoreFactors":
        """Of a model whose maps between items are the whole score."""
        users, items = torch.zeros(n_users, 0), torch.zeros(n_items, 0)
        return cls(users, items, [], user_sources=items)


@dataclass(frozen=True, eq=False)
class MapsIntoNewItems:
    """Maps into k items that the model never met, ``source() @ target.mT``.

    Attributes:
        target: what each of them takes.
        source: gives what n items of histories send, padding included; made when it is asked for, as it costs most.
    """

    target: Float[Tensor, "k c"]
    source: Callable[[], Float[Tensor, "n c"]]


@dataclass(frozen=True, eq=False)
class PlacedItems:
    """k items that the model never met, as :class:`ScoreFactors` has its own, without a column of popularity.

    Attributes:
        vectors, item_embeddings, user_sources, item_rarity: of the items; they add nothing to others' scores by maps.
        maps: into them; None where they have none.
        map_weight: by what the maps into each are multiplied.
    """

    vectors: Float[Tensor, "k w"]
    item_embeddings: Float[Tensor, "k w"]
    user_sources: Optional[Float[Tensor, "k w"]] = None
    item_rarity: float = 0.0
    maps: Optional[MapsIntoNewItems] = None
    map_weight: float = 1.0


class ScoresInPieces:
    """What a model says of its own scores. As they stand here, the methods refuse, and there are no maps."""

    @property
    def _called(self) -> str:
        """Of the model, as sentences say it."""
        return type(self).__name__

    def score_factors(self) -> ScoreFactors:
        """Vectors of all users and items.

        Raises:
            NoPieces: if the scores are made neither of vectors nor of maps between items.
        """
        raise NoPieces(
            f"{self._called} makes its scores neither of vectors nor of coefficients between items, so there is "
            "nothing to export; 'recommend' takes its checkpoint as it is, or train an embedding model such as "
            "MMSheaf, LightGCN or BPR"
        )

    def item_maps(self) -> Optional[ItemMaps]:
        """Maps from the items of a history to all items, the second part of a score; None where there are none."""
        return None

    def layer_signals(self) -> list[Float[Tensor, "nodes f"]]:
        """Signals of all nodes, users first, before the first layer and after each.

        Raises:
            ConfigError: if there are no layers to show.
        """
        raise ConfigError(
            f"{self._called} has no layers that can be shown; leave layers=True out, or take MMSheaf, SheafRec or "
            "LightGCN"
        )

    def place(self, modalities: Mapping[str, ModalityFeatures]) -> PlacedItems:
        """Items that the model never met, from their content, everything else frozen.

        Args:
            modalities: content of the items, every modality of the model, a row of padding first.

        Raises:
            ConfigError: if the model has no maps from content alone.
        """
        raise ConfigError(
            f"{self._called} has no maps that place an item by content alone; train MMSheaf, ItemSheaf or VBPR"
        )
