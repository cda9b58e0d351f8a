"""What is tested here is around trainings, of models whose own tests check their shapes."""

import pytest


@pytest.fixture(autouse=True)
def quick(as_users_run):
    """Without shape checks."""
