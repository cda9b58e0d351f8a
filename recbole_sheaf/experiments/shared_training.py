r"""One training by several processes, each with a part of every batch, and the losses of one process to rounding.

All processes hold the whole model, graph and all, and draw the same batches of users. A batch's loss is the mean over
its P pairs; process r takes every R-th user, with :math:`P_r` pairs, runs the model over all nodes, and has the loss
:math:`L_r` of its users against all items. Then

.. math:: L = \sum_r \frac{P_r}{P} L_r, \qquad \nabla L = \frac{1}{R} \sum_r \nabla \Bigl( \frac{R P_r}{P} L_r \Bigr),

of which the right side is what DistributedDataParallel makes of the gradients, a plain mean over processes. Penalties
on parameters alone are in each :math:`L_r`, and the weights sum to 1. So histories of any length may fall to any
process. It holds for models that say ``splits_batches``: the loss is a mean over pairs, and no random draw depends on
the batch. Draws over items or nodes are the same everywhere, since each epoch starts from the generators of the first
process.

What is split is the softmax, b n_items f for b users; the diffusion over all nodes and the optimiser's step are
repeated by each process, and each step adds up a gradient of all parameters.
"""

import zlib
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.experiments.processes import Team, noticing_losses
from recbole_sheaf.experiments.training_state import can_resume

QUIET = {  # settings of a process that only helps
    "show_progress": False,
    "state": "ERROR",
    "log_to_file": False,
    "log_tensorboard": False,
    "log_wandb": False,
}


class SharedLoss(nn.Module):
    """The loss of a whole batch, differentiated along this process's users of it alone.

    The value is that of the batch in every process; gradients, averaged over the processes, are.
    """

    def __init__(self, model: Any, team: Team) -> None:
        super().__init__()
        self.trained = nn.ParameterList(model.parameters())
        # not the module itself, whose buffers, such as content, would be sent around before each step
        self._of = (model, team)

    def forward(self, interaction: Any) -> Tensor:
        """Loss of a batch of users, of whom this process takes every ``team.size``-th."""
        model, team = self._of
        own = interaction[team.rank :: team.size]
        counts, users = model.softmax.counts, model.USER_ID
        loss = model.calculate_loss(own) * (counts[own[users]].sum() / counts[interaction[users]].sum())
        of_batch = team.add_up(loss)
        averaged = loss * team.size
        return averaged + (of_batch - averaged).detach()


class SharedTraining:
    """Stands between a RecBole trainer and its epochs, so that the processes of a team train one model.

    Before each epoch the others take over what the first has: parameters, what validation decided, the counter of early
    stopping, and the generators that order users and draw items. Validation is the first's, and they hear its result.

    Raises:
        ConfigError: if the model, its loss or the device cannot be shared.
    """

    def __init__(self, trainer: Any, team: Team, train_data: Any) -> None:
        refuse_unshared(trainer, team, train_data)
        self.trainer, self.team, self.train_data = trainer, team, train_data
        self.loss: Optional[DistributedDataParallel] = None
        self._train_epoch, trainer._train_epoch = trainer._train_epoch, self.train_epoch
        self._valid_epoch, trainer._valid_epoch = trainer._valid_epoch, self.valid_epoch

    def start_at(self, epochs: int) -> None:
        """Hold the processes to the same number of epochs that are over.

        Raises:
            DataError: in each process, if one has read another state.
        """
        if not self.team.agree(epochs):
            raise DataError(
                f"process {self.team.rank} goes on after {epochs} epochs and another process after more or fewer; give "
                "all of them one checkpoint_dir, or remove the folder of this run from it"
            )

    def train_epoch(self, train_data: Any, epoch_idx: int, loss_func: Any = None, show_progress: bool = False) -> Any:
        """RecBole's training epoch, each batch shared.

        Raises:
            PartnerLost: if another process is gone.
            ConfigError: if the processes' draws parted.
        """
        with noticing_losses():
            self._take_over()
            if self.loss is None:
                shared, some = SharedLoss(self.trainer.model, self.team), train_data.user_list[: self.team.size]
                self.loss = DistributedDataParallel(shared, find_unused_parameters=leaves_out(self.trainer.model, some))
            losses = self._train_epoch(train_data, epoch_idx, self.loss, show_progress)
            if not self.team.agree(zlib.crc32(torch.get_rng_state().numpy().tobytes())):
                raise ConfigError(
                    f"random draws of {self.trainer.config['model']} depend on which users a process has, so its "
                    "processes do not train one model; train it by one process"
                )
        return losses

    def valid_epoch(self, *args: Any, **kwargs: Any) -> tuple[float, dict[str, float]]:
        """RecBole's validation, by the first process.

        Raises:
            PartnerLost: if another process is gone.
        """
        found: list[Any] = []
        if self.team.leads:
            score, result = self._valid_epoch(*args, **kwargs)
            found = [float(score), {name: float(value) for name, value in result.items()}]
        score, result = self.team.hear(found)
        return score, result

    def _take_over(self) -> None:
        model, trainer = self.trainer.model, self.trainer
        trainer.cur_step = self.team.hear(trainer.cur_step)
        kept = model.state_dict()
        for name, buffer in model.named_buffers():
            if name in kept:  # such as which form the item sheaf has; the others are made of data and settings
                self.team.take(buffer)
        for generator in (torch.default_generator, self.train_data.generator):
            state = generator.get_state()
            self.team.take(state)
            generator.set_state(state)


def leaves_out(model: Any, interaction: Any) -> bool:
    """Whether the loss of users does not look at some parameter, as that of an item graph that is not in use.

    DistributedDataParallel has to know. Costs a step; no random number is used up.
    """
    with torch.random.fork_rng(devices=[]):
        loss = model.train().calculate_loss(interaction)
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return any(gradient is None for gradient in gradients)


def refuse_unshared(trainer: Any, team: Team, train_data: Any) -> None:
    """Refuse what several processes cannot train together.

    Raises:
        ConfigError: if the model does not split batches or has another loss than the softmax, the device is no CPU, or
            a batch has fewer users than there are processes.
    """
    model, name = trainer.model, trainer.config["model"]
    if trainer.device.type != "cpu":
        raise ConfigError(
            f"{team.size} processes train on the CPU, but the device is {trainer.device}; set use_gpu=False"
        )
    if not (getattr(model, "splits_batches", False) and can_resume(trainer)):
        raise ConfigError(
            f"the loss of {name} is not known to be a sum over the users of a batch, which {team.size} processes could "
            "share; train it by one process"
        )
    if model.softmax is None:
        raise ConfigError(
            f"{name} is to be trained by {team.size} processes with loss bpr, whose batches are of interactions; set "
            "loss=softmax, or start one process"
        )
    if train_data.step < team.size:
        raise ConfigError(
            f"{team.size} processes share batches of {train_data.step} users; start at most {train_data.step}, or set "
            "a larger train_batch_size or a smaller softmax_steps"
        )
