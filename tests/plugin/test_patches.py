"""The table of replacements in RecBole: each row's target is RecBole's own, and is replaced exactly once."""

import pytest

from recbole_sheaf.plugin import patches
from recbole_sheaf.plugin.patches import PATCHES, owner_of
from recbole_sheaf.plugin.recbole_compat import original

rows = pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: f"{patch.owner}.{patch.name}")


@rows
def test_the_target_exists_in_recbole(patch):
    theirs = original(patch.owner, patch.name)
    if patch.added:
        assert theirs is getattr(object, patch.name, None), "RecBole has this attribute: the row replaces it"
    else:
        module = getattr(theirs, "__module__", None) or theirs.__name__  # the latter of a module
        assert module.split(".")[0] in ("recbole", "torch", "ray"), "not RecBole's: somebody was here before"


@rows
def test_it_is_replaced_exactly_once(patch):
    now, theirs = getattr(owner_of(patch), patch.name), original(patch.owner, patch.name)
    assert now is not theirs
    patches.apply()
    assert getattr(owner_of(patch), patch.name) is now and original(patch.owner, patch.name) is theirs


def test_no_target_stands_in_two_rows_and_every_row_has_its_reason():
    targets = [(patch.owner, patch.name) for patch in PATCHES]
    assert len(set(targets)) == len(targets)
    assert all(patch.reason for patch in PATCHES)
