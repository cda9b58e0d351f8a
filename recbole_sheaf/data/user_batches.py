"""RecBole's loader of users, for losses that take a user's training interactions together."""

from typing import Any

from recbole.data.dataloader import UserDataLoader
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction

from recbole_sheaf.settings.config import LossSettings


class TrainingUsers(UserDataLoader):
    """Batches of the users who have training interactions, in a new order each epoch unless ``shuffle`` is off.

    No negatives are sampled. ``train_batch_size`` counts users. Batches of an epoch are equally large but for rounding,
    so that no step rests on a handful of users, and there are at least ``softmax_steps`` of them.
    """

    def __init__(self, config: Any, dataset: Any, sampler: Any, shuffle: bool = True) -> None:
        self.uid_field = dataset.uid_field
        users = dataset.inter_feat[self.uid_field].unique()
        self.user_list = Interaction({self.uid_field: users})
        self.sample_size = len(users)
        AbstractDataLoader.__init__(self, config, dataset, sampler, shuffle=shuffle)

    def _init_batch_size_and_step(self) -> None:
        min_steps = LossSettings.from_recbole(self.config).softmax_steps
        self.step = users_per_step(self.sample_size, self.config["train_batch_size"], min_steps)
        self.set_batch_size(self.step)


def users_per_step(users: int, most: int, min_steps: int) -> int:
    """The size of equal batches, at most ``most`` users each and at least ``min_steps`` of them where users suffice."""
    steps = max(-(-users // int(most)), min(min_steps, users), 1)
    return -(-users // steps)
