"""The softmax of cosines as a recommender trains with it: a user's training interactions, settings, sampled items.

Our models hold one (:class:`~recbole_sheaf.models.multimodal.EmbeddingRecommender`), RecBole's that we serve hold the
same (:mod:`~recbole_sheaf.plugin.recbole_softmax`), so all of them train by the same code.
"""

from typing import Any, Optional

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from recbole_sheaf.layers.softmax_loss import ItemSampler, softmax_loss
from recbole_sheaf.settings.config import LossSettings

Pairs = tuple[Int[Tensor, " p"], Int[Tensor, " p"]]


class SoftmaxRanking(nn.Module):
    """What ``loss: softmax`` adds to a recommender; no parameters, nothing that a checkpoint keeps.

    An interaction that the data hold more than once counts once, as in the graphs.
    """

    counts: Tensor
    starts: Tensor
    items: Tensor

    def __init__(self, settings: LossSettings, dataset: Any) -> None:
        super().__init__()
        self.temperature = settings.softmax_temperature
        users, items = (dataset.inter_feat[field].long() for field in (dataset.uid_field, dataset.iid_field))
        distinct = (users * dataset.item_num + items).unique()  # sorted by user, then by item
        users, items = distinct // dataset.item_num, distinct % dataset.item_num
        self.register_buffer("counts", torch.bincount(users, minlength=dataset.user_num), persistent=False)
        self.register_buffer("starts", self.counts.cumsum(0) - self.counts, persistent=False)
        self.register_buffer("items", items, persistent=False)
        draws = settings.sampled(dataset.item_num - 1)
        frequency = torch.bincount(items, minlength=dataset.item_num)
        self.sampler = None if draws is None else ItemSampler(frequency, draws)

    def pairs(self, users: Int[Tensor, " b"]) -> Pairs:
        """All training interactions of the users, those of a user side by side; O(p)."""
        counts = self.counts[users]
        before = counts.cumsum(0) - counts
        shift = (self.starts[users] - before).repeat_interleave(counts)
        return users.repeat_interleave(counts), self.items[shift + torch.arange(len(shift), device=shift.device)]

    def loss(
        self,
        user_all: Float[Tensor, "n_users f"],
        item_all: Float[Tensor, "n_items f"],
        pairs: Pairs,
        offset: Optional[Float[Tensor, "#b n_items"]] = None,
    ) -> Float[Tensor, ""]:
        """The softmax of the pairs; those of a user share one row of logits.

        Args:
            user_all: all users.
            item_all: all items.
            pairs: user and item of each interaction, those of a user side by side.
            offset: of the logits, see :func:`~recbole_sheaf.layers.softmax_loss.softmax_loss`; one row, or a row for
                each user of the pairs in their order.
        """
        users, row = pairs[0].unique_consecutive(return_inverse=True)
        draw = None if self.sampler is None else self.sampler.draw()
        rows = nn.functional.embedding(users, user_all)
        return softmax_loss(rows, item_all, (row, pairs[1]), self.temperature, offset, draw)


def squared_norms(rows: Int[Tensor, " p"], table: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
    """Sum of the squared norms of rows of a table, each as often as it is named; O(n f + p) and nothing (p, f)."""
    counts = torch.bincount(rows, minlength=len(table)).to(table)
    return counts @ table.square().sum(dim=1)
