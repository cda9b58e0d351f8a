"""What is tested here is around trainings, of models whose own tests check their shapes."""

import pytest

from recbole_sheaf.experiments.runs import run_models


@pytest.fixture(autouse=True)
def quick(unchecked_shapes):
    """Without shape checks."""


@pytest.fixture
def results(home, request):
    """Of a model's run in the module's ``home``, by its ``settings``, made once."""
    made = vars(request.module).setdefault("_made", {})

    def result(model):
        if (home, model) not in made:
            made[home, model] = run_models([model], "toy", overrides=request.module.settings(model, home))[0]
        return made[home, model]

    return result
