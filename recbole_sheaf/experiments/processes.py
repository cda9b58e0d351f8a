"""Processes that train one model together: what the first tells the others, and what all of them add up.

``torchrun`` starts them and writes into their environment who is who; they talk over gloo, which every PyTorch for CPUs
has. What the first says goes as JSON and tensors go as bytes, so that nothing that arrives runs code.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Optional

import torch
import torch.distributed as dist
from torch import Tensor

from recbole_sheaf.environment import place_among_processes
from recbole_sheaf.errors import ConfigError, PartnerLost, first_line

BACKEND = "gloo"
LONGEST_WAIT = timedelta(hours=2)  # for one that is alive and says nothing; one that has died is noticed at once


@dataclass(frozen=True)
class Team:
    """This process among those that train together.

    Every method is called by all of them, in the same order.

    Attributes:
        rank: 0 is the first, which validates, decides and writes.
        size: of the team.
    """

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    def hear(self, said: Any = None) -> Any:
        """What the first process says, in each of them; what the others give is not looked at.

        Args:
            said: what JSON can hold.

        Raises:
            PartnerLost: if the first has ended, or another before it.
        """
        text = json.dumps(said).encode() if self.leads else b""
        length = torch.tensor([len(text)])
        self.take(length)
        letters = torch.zeros(int(length), dtype=torch.uint8)
        if self.leads:
            letters = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        self.take(letters)
        return json.loads(bytes(letters.tolist()))

    def take(self, tensor: Tensor) -> None:
        """Give a tensor the values that the first process has in it; of any type.

        Raises:
            PartnerLost: as :meth:`hear`.
        """
        flat = tensor.detach().reshape(-1).contiguous()
        _together(dist.broadcast, flat.view(torch.uint8), src=0)
        tensor.detach().copy_(flat.view(tensor.shape))

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in each of them.

        Raises:
            PartnerLost: if one has ended.
        """
        total = tensor.detach().clone()
        _together(dist.all_reduce, total)
        return total

    def agree(self, number: int) -> bool:
        """Whether all processes have the same number.

        Raises:
            PartnerLost: if one has ended.
        """
        ends = torch.tensor([number, -number])
        _together(dist.all_reduce, ends, op=dist.ReduceOp.MAX)
        return bool(ends[0] == -ends[1])


def _together(call: Callable[..., Any], tensor: Tensor, **options: Any) -> None:
    with noticing_losses():
        call(tensor, **options)


@contextlib.contextmanager
def noticing_losses() -> Iterator[None]:
    """A context that says in a sentence that another process is gone; what else goes wrong within passes.

    gloo raises plain RuntimeErrors, which name a file of its own.
    """
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or BACKEND in str(error).lower()):
            raise
        raise PartnerLost(
            "another process of this training has ended or does not answer, as its own output may say; start the "
            "command again, which goes on after the last whole epoch"
        ) from error


@contextlib.contextmanager
def team_of_command() -> Iterator[Optional[Team]]:
    """A context with the processes that ``torchrun`` has started beside this one; None where it is alone.

    Raises:
        ConfigError: if this PyTorch has no gloo.
        PartnerLost: if they do not find each other.
    """
    rank, size = place_among_processes()
    if size == 1:
        yield None
        return
    if not (dist.is_available() and dist.is_backend_available(BACKEND)):
        raise ConfigError(
            f"{size} processes are to train together, which takes {BACKEND}, and this PyTorch is built without it; "
            "install another PyTorch, or start one process"
        )
    try:
        dist.init_process_group(BACKEND, timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise PartnerLost(
            f"process {rank} of {size} does not find the others ({first_line(error)}); start them by torchrun, all at "
            "once, with an address and a port that each of them reaches"
        ) from error
    try:
        yield Team(rank, size)
    finally:
        dist.destroy_process_group()
