"""Every test starts from the same random numbers."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    """Fix torch's generator, from which tests draw what Hypothesis does not."""
    torch.manual_seed(0)
