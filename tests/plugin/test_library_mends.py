"""RecBole 1.2.1 on today's libraries: each mend gives what the releases of its day gave, and is needed."""

import io
import logging
import subprocess
import sys
import textwrap
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from recbole.config import Config
from recbole.data import create_dataset
from recbole.quick_start import quick_start, run_recbole
from recbole.trainer import hyper_tuning
from recbole.utils import utils

from recbole_sheaf.errors import EnvironmentMismatch
from recbole_sheaf.extras import from_ray
from recbole_sheaf.plugin import library_mends
from recbole_sheaf.plugin.library_mends import AnyRandomState, stand_ins
from recbole_sheaf.plugin.recbole_compat import original


def test_the_names_of_numpy_that_recbole_says_are_those_of_python():
    with pytest.raises(AttributeError, match="np.float_"):
        original("recbole.config.configurator:Config", "compatibility_settings")(None)
    Config.compatibility_settings(None)
    assert (np.float, np.int, np.bool, np.str) == (np.float64, np.int_, np.bool_, np.str_)
    assert (np.long, np.object, np.complex, np.unicode) == (np.int_, np.object_, np.complex128, np.str_)


def test_a_matrix_of_keys_takes_its_entries_in_their_order():
    """As LightGCN fills its own: (user, item) first, then (item, user)."""
    matrix = scipy.sparse.dok_matrix((4, 4), dtype=np.float32)
    entries = {(np.int32(0), np.int32(3)): 1, (np.int32(1), np.int32(2)): 1, (np.int32(3), np.int32(0)): 1}
    assert not hasattr(dict(vars(scipy.sparse.dok_array)), "_update"), "SciPy has it again: the mend is not needed"
    matrix._update(entries)
    assert list(matrix.keys()) == list(entries) and matrix.dtype == np.float32
    coo = scipy.sparse.coo_matrix(matrix)
    assert (coo.row.tolist(), coo.col.tolist(), coo.data.tolist()) == ([0, 1, 3], [3, 2, 0], [1, 1, 1])


USERS = """\
user_id:token\tage:token\tincome:float\ttags:token_seq
u0\t24\t10\ta b
u1\t\t20\t
u2\t24\t\ta
"""


def test_missing_values_are_padding_the_mean_and_nothing(toy):
    """u0 to u2 have a line, of which two have gaps; u3 and the others have none."""
    (toy / "toy" / "toy.user").write_text(USERS)
    load = {"inter": ["user_id", "item_id"], "user": ["user_id", "age", "income", "tags"]}
    settings = {"data_path": str(toy), "load_col": load, "filter_inter_by_user_or_item": False}
    config = Config("BPR", "toy", config_dict=settings)
    dataset = create_dataset(config)
    feat = dataset.get_user_feature()
    rows = dataset.token2id("user_id", ["u0", "u1", "u2", "u3"])
    age = dataset.token2id("age", "24")
    assert feat["age"][rows].tolist() == [age, 0, age, 0]
    assert feat["income"][rows].tolist() == [10, 20, 15, 15]
    assert [len(row) for row in feat["tags"][rows]] == [2, 0, 1, 0]


def test_a_tensor_of_a_column_is_its_own(toy):
    dataset = create_dataset(Config("BPR", "toy", config_dict={"data_path": str(toy)}))
    frame = dataset.inter_feat[["user_id"]].copy()
    assert not frame["user_id"].values.flags.writeable, "pandas lets columns be written again: the mend is not needed"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        users = dataset._dataframe_to_interaction(frame)["user_id"]
    before = frame["user_id"].tolist()
    users.zero_()
    assert frame["user_id"].tolist() == before and any(before)


def test_the_lengths_of_a_column_of_sequences_are_those_of_its_rows():
    column, agreed = pd.Series([np.arange(2), np.arange(0), np.arange(3)]), {"len": len}
    exec("def measured(column): return column.agg(len), len([1])", agreed)
    lengths, of_list = library_mends.lengths_of_rows(agreed["measured"])(column)
    assert (lengths.tolist(), of_list) == ([2, 0, 3], 1)


def test_an_exhaustive_search_draws_what_recboles_own_state_draws():
    ours, theirs = AnyRandomState(7), np.random.RandomState(7)
    assert [ours.integers(9) for _ in range(20)] == [theirs.randint(9) for _ in range(20)]
    assert not hasattr(theirs, "integers")
    assert hyper_tuning.exhaustive_search.__globals__["np"].random.RandomState is AnyRandomState


ALONE = """
    import sys
    for absent in ("ray", "tensorboard", "thop", "hyperopt", "plotly"):
        sys.modules[absent] = None  # as if it were not installed
    import recbole_sheaf
    from recbole_sheaf.plugin import library_mends
    library_mends.find_spec = lambda name: None
    from recbole.quick_start import run_recbole
    settings = {"epochs": 1, "data_path": sys.argv[1], "show_progress": False, "state": "info"}
    del sys.argv[1:]
    print(run_recbole(model="BPR", dataset="toy", config_dict=settings, saved=False)["best_valid_score"] > 0)
    print(sorted(name for name in sys.modules if name.split(".")[0] in ("ray", "tensorboard") and sys.modules[name]))
    print("torch.utils.tensorboard" in sys.modules)
"""


def test_recbole_trains_without_what_it_imports_and_hardly_uses(toy, workplace):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(ALONE), str(toy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True", "[]", "False"]
    assert "not counted, pip install thop" in done.stderr
    assert not (workplace / "log_tensorboard").exists()


@pytest.mark.parametrize("asked", [{}, {"log_tensorboard": True}])
def test_a_board_that_is_absent_is_no_fault_and_is_said_once(toy_settings, workplace, monkeypatch, caplog, asked):
    monkeypatch.setattr(library_mends, "find_spec", lambda name: None)
    library_mends.has_board.cache_clear()
    settings = {**toy_settings, "epochs": 1, "state": "info", **asked}
    with caplog.at_level("INFO"):
        for _ in range(2):
            assert run_recbole(model="BPR", dataset="toy", config_dict=dict(settings), saved=False)
    library_mends.has_board.cache_clear()
    assert len([line for line in caplog.messages if line.startswith("log_tensorboard: no curves are written")]) == 1
    assert not (workplace / "log_tensorboard").exists()


def test_a_board_that_is_there_is_the_real_one(tmp_path):
    pytest.importorskip("tensorboard")
    with utils.SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", 1.0, 0)
    assert next(tmp_path.iterdir()).name.startswith("events")


def test_ray_that_is_absent_or_of_old_is_named_when_it_is_used(monkeypatch):
    def version(name):
        raise library_mends.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    with pytest.raises(EnvironmentMismatch, match=r"Ray Tune needs ray, which is not .*; pip install \"ray>=2.31\"$"):
        getattr(quick_start.tune, "run")  # noqa: B009  # of a stand-in
    with pytest.raises(EnvironmentMismatch, match=r"^a Ray cluster needs ray, which is not installed; pip install"):
        from_ray("ray", "a Ray cluster")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.6.3")
    with pytest.raises(
        EnvironmentMismatch, match=r"finds ray 2.6.3, .* pkg_resources, which setuptools 82 took away; pip"
    ):
        from_ray("ray", "a Ray cluster")


def test_a_report_outside_of_ray_is_heard_by_nobody(monkeypatch):
    """A process that has Ray for something else is no trial: Ray Tune is not imported in the midst of a search."""
    monkeypatch.setitem(sys.modules, "ray", object())
    monkeypatch.delitem(sys.modules, "ray.tune", raising=False)
    assert quick_start.tune.report(ndcg=0.5) is None
    assert "ray.tune" not in sys.modules


def test_a_report_of_a_trial_goes_to_ray_as_todays_ray_takes_it(monkeypatch):
    reported = []
    monkeypatch.setitem(sys.modules, "ray.tune", object())
    monkeypatch.setattr(library_mends, "from_ray", lambda *names: type("Tune", (), {"report": reported.append}))
    quick_start.tune.report(ndcg=0.5, recall=0.25)
    assert reported == [{"ndcg": 0.5, "recall": 0.25}]


def test_what_stands_in_goes_and_what_a_process_has_stays(monkeypatch):
    real = object()
    monkeypatch.setitem(sys.modules, "ray", real)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(KeyError), stand_ins():
        assert sys.modules["ray"] is real
        assert sys.modules["torch.utils.tensorboard"].SummaryWriter
        raise KeyError
    assert sys.modules["ray"] is real and "torch.utils.tensorboard" not in sys.modules


def test_flops_are_counted_where_thop_is(monkeypatch):
    counted = original("recbole.utils.utils", "get_flops")
    monkeypatch.setattr(library_mends, "find_spec", lambda name: None)
    assert utils.get_flops(None, None, "cpu", logging.getLogger(), None).startswith("not counted, pip install thop")
    assert utils.get_flops.__wrapped__ is counted


def test_a_checkpoint_that_numpy_1_wrote_is_read_without_running_code():
    """It names NumPy's functions by the module that NumPy 2 renamed."""
    held = {"array": np.arange(3.0), "number": np.float64(2.5)}
    new, old = io.BytesIO(), io.BytesIO()
    torch.save(held, new)
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            assert not name.endswith("data.pkl") or b"numpy._core.multiarray" in content
            target.writestr(name, content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    old.seek(0)
    read = torch.load(old, weights_only=True)
    assert read["array"].tolist() == [0, 1, 2] and read["number"] == 2.5
