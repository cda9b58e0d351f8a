"""What is tested here is around trainings, of models whose own tests check their shapes."""

import pytest


@pytest.fixture(autouse=True)
def quick(unchecked_shapes):
    """Without shape checks."""
