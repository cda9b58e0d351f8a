"""Our list of modules is torch's, apart from what a type checker learns of it."""

import copy
import pickle

from torch import nn

from recbole_sheaf.layers.module_list import ModuleList


def test_it_is_torchs_list():
    ours: ModuleList[nn.Linear] = ModuleList(nn.Linear(2, size) for size in (1, 2))
    theirs = nn.ModuleList(ours)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert [layer.out_features for layer in ours] == [1, 2] and ours[1].out_features == len(ours) == 2
    assert len(copy.deepcopy(ours)) == len(pickle.loads(pickle.dumps(ours))) == 2 and repr(ours) == repr(theirs)
