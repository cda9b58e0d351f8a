"""Libraries' warnings about their own code are hushed by name; whatever else they warn of is shown."""

import warnings

import pytest

from recbole_sheaf.experiments.library_warnings import KNOWN, hushed
from recbole_sheaf.experiments.runs import run_models

# As the libraries say them, with the module that Python lays them to.
SAID = [
    (
        FutureWarning,
        "recbole.trainer.trainer",
        "`torch.cuda.amp.GradScaler(args...)` is deprecated. Please use `torch.amp.GradScaler('cuda', args...)` "
        "instead.",
    ),
    (
        UserWarning,
        "recbole.model.general_recommender.lightgcn",
        "torch.sparse.SparseTensor(indices, values, shape, *, device=) is deprecated.  Please use "
        "torch.sparse_coo_tensor(indices, values, shape, dtype=, device=). (Triggered internally at ...)",
    ),
    (
        UserWarning,
        "recbole.model.general_recommender.dmf",
        "Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider converting the list to a "
        "single numpy.ndarray with numpy.array() before converting to a tensor. (Triggered internally at ...)",
    ),
]


def shown(category, module, message):
    """Whether a warning is shown inside, where every other would be."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with hushed():
            warnings.warn_explicit(message, category, "a.py", 1, module)
    return bool(told)


@pytest.mark.parametrize("category, module, message", SAID)
def test_what_libraries_say_of_themselves_is_passed_over(category, module, message):
    assert not shown(category, module, message)


@pytest.mark.parametrize("category, module, message", SAID)
def test_the_same_words_elsewhere_and_other_words_there_are_shown(category, module, message):
    assert shown(category, "somebody.elses", message)
    assert shown(category, module, f"Look out: {message}")
    assert shown(RuntimeWarning, module, message)


def test_every_entry_is_one_that_was_met():
    assert len(KNOWN) == len(SAID) and all(known.reason for known in KNOWN)


def test_the_filters_of_the_process_are_as_before():
    before = list(warnings.filters)
    with hushed():
        assert len(warnings.filters) == len(before) + len(KNOWN)
    assert warnings.filters == before


def test_a_run_warns_of_nothing(toy_settings):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", hidden)  # as Python does outside of tests
        run_models(["LightGCN", "MMSheaf"], "toy", (), toy_settings)
    assert [str(warning.message) for warning in told] == []
