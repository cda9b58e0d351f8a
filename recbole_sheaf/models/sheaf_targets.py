r"""What the item sheaf would give a user, as a part of what the stalks are trained to rank first.

A softmax over interactions wants of a user with three of them all mass on these three, though it would have chosen
other items as well, and free vectors that few interactions train soon know the few by heart. So the item sheaf, fitted
in closed form before, adds what it transports the user's history to, as a prior worth :math:`\mu` interactions:

.. math:: q_{uj} = \frac{1_{j \in u} + \mu \, t_{uj}}{d_u + \mu}, \qquad t_{uj} \propto \max(0, (x_u^\top B)_j)^2

for a user of :math:`d_u` interactions, t over the K items of the largest scores that it has not chosen. The longer a
history, the less the prior says; a user counts for its :math:`d_u` interactions as before. That is the distillation
of a teacher into a student (Hinton et al. 2015, https://arxiv.org/abs/1503.02531), the teacher being the other sheaf: B
has no diagonal, so no item votes for itself, and it knows content. Where the item sheaf says nothing of a user, the
interactions keep all.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recbole_sheaf.layers.item_sheaf import ItemSheaf

TARGETS = 50  # K
SCORES_AT_ONCE = 1 << 24  # floats, 64 MiB


class SheafTargets(NamedTuple):
    """Items that the item sheaf gives to each user, and their shares.

    Attributes:
        worth: mu, in interactions.
        items: those of the largest scores.
        weights: t, which sum to 1 over an item's row, or are zeros where the item sheaf says nothing.
    """

    worth: float
    items: Int[Tensor, "n_users K"]
    weights: Float[Tensor, "n_users K"]

    def soften(
        self, users: Int[Tensor, " b"], row: Int[Tensor, " p"], item: Int[Tensor, " p"]
    ) -> tuple[Int[Tensor, " r"], Int[Tensor, " r"], Float[Tensor, " r"]]:
        """Row, item and weight of a batch's p interactions and of the items given to its users beside them.

        Weights sum to p, those of a user to the number of its interactions.

        Args:
            users: of the batch, each once.
            row, item: of the interactions, rows counting the users.
        """
        of_users = self.weights[users]
        counts = torch.bincount(row, minlength=len(users)).to(of_users)
        softened = self.worth / (self.worth + counts) * of_users.any(dim=1)
        there, place = of_users.nonzero(as_tuple=True)
        return (
            torch.cat([row, there]),
            torch.cat([item, self.items[users[there], place]]),
            torch.cat([1 - softened[row], of_users[there, place] * (softened * counts)[there]]),
        )


@torch.no_grad()
def sheaf_targets(sheaf: ItemSheaf, worth: float, n_users: int) -> SheafTargets:
    """Targets of all users; time O(n_users n_items), memory O(n_users K) beside 64 MiB of scores."""
    kept, device = min(TARGETS, sheaf.n_items), sheaf.user_weight.device
    items = torch.zeros(n_users, kept, dtype=torch.long, device=device)
    weights = torch.zeros(n_users, kept, device=device)
    for users in torch.arange(n_users, device=device).split(max(1, SCORES_AT_ONCE // sheaf.n_items)):
        scores = sheaf.scores(users).masked_fill_(sheaf.histories(users) > 0, 0.0)
        scores[:, 0] = 0.0  # RecBole's padding
        largest, items[users] = scores.clamp_(min=0).topk(kept, dim=1)
        mass = largest.square()
        weights[users] = mass / mass.sum(dim=1, keepdim=True).clamp(min=torch.finfo(mass.dtype).tiny)
    return SheafTargets(worth, items, weights)
