"""A user who joins the graph, by the definition of a step."""

import pytest
import torch

from recbole_sheaf.sheaf.new_user import user_sources


@pytest.mark.parametrize("step_size", [1.0, 0.6])
def test_the_sum_over_a_history_is_the_mean_over_the_layers_of_a_node_that_joins(step_size):
    signals = list(torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)))
    degree, history = torch.tensor([3, 0, 1, 7, 2]), [1, 3, 4]
    x = total = torch.zeros(3)
    for signal in signals[:-1]:
        received = sum(signal[i] / (max(int(degree[i]), 1) * len(history)) ** 0.5 for i in history)
        x = (1 - step_size) * x + step_size * received
        total = total + x
    found = user_sources(signals, degree, step_size)[history].sum(0) / len(history) ** 0.5
    torch.testing.assert_close(found, total / len(signals))
