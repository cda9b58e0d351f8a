"""``import recbole_sheaf`` costs nothing and changes nothing, and RecBole knows our models all the same."""

import logging
import os
import re
import subprocess
import sys
import textwrap
from importlib import resources

import numpy as np
import pytest
import torch
from recbole.config import Config

from recbole_sheaf.cli import COMMANDS
from tests.attack.exports import write_good

SLOW = pytest.mark.slow  # a process that imports RecBole for one more order


def python(code, *arguments, folder=None):
    """What a new process prints that runs the code in a folder, by default the current one."""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_the_import_alone_loads_no_heavy_module_and_leaves_the_process_as_it_was():
    code = """
        import logging, os, sys
        environ, modules = dict(os.environ), set(sys.modules)
        import recbole_sheaf
        heavy = {"torch", "recbole", "numpy", "pandas", "ray", "dgl", "sklearn"} & set(sys.modules)
        assert not heavy, heavy
        assert dict(os.environ) == environ and not logging.getLogger().handlers
        print("as it was")
    """
    assert python(code) == "as it was"


def test_help_loads_no_heavy_module():
    """Of any command: one process asks for all, since what one loads stays."""
    code = """
        import sys
        from recbole_sheaf.cli import COMMANDS, main
        for command in ([], *map(str.split, COMMANDS)):
            try:
                main([*command, "--help"])
            except SystemExit as end:
                assert not end.code
            heavy = {"torch", "recbole", "numpy", "pandas", "ray", "dgl", "sklearn"} & set(sys.modules)
            assert not heavy, (command, heavy)
    """
    shown = python(code)
    assert shown.startswith("usage: recbole-sheaf") and shown.count("usage: recbole-sheaf") == 1 + len(COMMANDS) > 15


def test_a_store_is_read_without_what_trains():
    code = """
        import sys
        import recbole_sheaf.cli.results, recbole_sheaf.store.results
        heavy = {"torch", "recbole", "ray", "dgl", "sklearn"} & set(sys.modules)
        assert not heavy, heavy
        print("light")
    """
    assert python(code) == "light"


def test_an_export_is_answered_from_without_what_trains(tmp_path):
    """By any command: one process asks all, since what one loads stays."""
    write_good(tmp_path / "toy.npz")
    code = """
        import sys
        from recbole_sheaf.cli import main
        asked = ["recommend --users=a --k=3", "similar --items=i0 --k=3", "explain --user=a --item=i5"]
        for name, *options in map(str.split, asked):
            sys.argv = ["recbole-sheaf", name, "toy.npz", *options]
            print(name)
            assert not main()
            heavy = {"recbole", "ray", "dgl", "sklearn", "duckdb", "matplotlib", "torch", "pandas"} & set(sys.modules)
            heavy |= {name for name in sys.modules if name.startswith("recbole_sheaf.models")}
            assert not heavy, (name, heavy)
    """
    answered = re.split("^(?:recommend|similar|explain)$", python(code, folder=tmp_path), flags=re.MULTILINE)
    assert [bool(answer.strip()) for answer in answered] == [False, True, True, True]


def test_choices_that_help_names_are_those_of_the_rooms():
    from recbole_sheaf.cli import results
    from recbole_sheaf.store.results import TABLES, UNFILTERED

    assert set(results.SHOWN) == {"means", "runs", "settings", "differences", *TABLES, *UNFILTERED}


@pytest.mark.parametrize(
    "imports",
    [
        "from recbole.utils import get_model; import recbole_sheaf",
        pytest.param("import recbole_sheaf; from recbole.utils import get_model", marks=SLOW),  # as in these tests
        pytest.param("import recbole; import recbole_sheaf; from recbole.utils import get_model", marks=SLOW),
        pytest.param("import recbole_sheaf.models.multimodal; from recbole.utils import get_model", marks=SLOW),
    ],
)
def test_recbole_knows_our_models_in_either_order_and_a_sequential_one_turns_nothing_on(imports):
    """RecBole's SINE, imported beside one, turns the detection of anomalies on: models take twice as long."""
    code = f"""
        {imports}
        from recbole_sheaf.plugin import patches
        from recbole_sheaf.plugin.recbole_compat import original
        from recbole_sheaf.plugin.registration import MODELS
        import recbole, sys
        assert get_model("MMSheaf").__module__ == MODELS["MMSheaf"]
        assert all(hasattr(patches.owner_of(patch), patch.name) and original(patch.owner, patch.name) is not
                   getattr(patches.owner_of(patch), patch.name) for patch in patches.PATCHES)
        assert "import_hook" not in type(recbole.__spec__.loader).__module__
        import torch
        from recbole.utils import get_model  # as it is now
        get_model("SASRec")
        print("recbole.model.sequential_recommender.sine" in sys.modules, torch.is_anomaly_enabled())
    """
    assert python(code) == "True False"


def test_what_the_hook_imports_needs_no_recbole():
    """Else a module would be asked for while it is half imported, whoever imported it first."""
    code = """
        import recbole_sheaf.settings.config, sys
        sys.modules["recbole"] = None  # from here on an import of it fails
        import recbole_sheaf.plugin.patches
        print("none")
    """
    assert python(code) == "none"


BPR = """
    import sys
    if sys.argv[1] == "with":
        import recbole_sheaf
    else:  # what RecBole alone fails without, on NumPy 2 and where Ray, TensorBoard and thop are not installed
        import numpy, types
        numpy.float_, numpy.complex_, numpy.unicode_ = numpy.float64, numpy.complex128, numpy.str_
        sys.modules["ray"] = types.SimpleNamespace(tune=None)
    import torch
    from recbole.quick_start import quick_start, run_recbole
    quick_start.get_flops = lambda *given: 0
    way, data_path = sys.argv[1:]
    del sys.argv[1:]

    def run_twice():
        for seed in (2020, 7):
            settings = {"epochs": 3, "seed": seed, "data_path": data_path, "show_progress": False, "state": "error"}
            result = run_recbole(model="BPR", dataset="toy", config_dict=settings, saved=False)
            print(result, torch.are_deterministic_algorithms_enabled(), torch.rand(1).item())

    run_twice()
    if way == "first without":
        import recbole_sheaf
        run_twice()
"""


def test_the_package_says_that_it_carries_types():
    assert (resources.files("recbole_sheaf") / "py.typed").is_file()


def test_recboles_bpr_has_the_same_numbers_without_us_and_once_we_are_there(toy):
    one, other, *beside = python(BPR, "first without", str(toy)).splitlines()
    assert "best_valid_score" in one and one != other
    assert beside == [one, other]


@pytest.mark.slow
def test_so_it_has_where_we_were_there_first(toy):
    without, beside = python(BPR, "without", str(toy)), python(BPR, "with", str(toy))
    assert "best_valid_score" in without and beside == without


@pytest.mark.parametrize("model", ["BPR", "MMSheaf"])
def test_building_a_config_leaves_the_process_as_it_was(workplace, model):
    torch.manual_seed(5)
    np.random.seed(5)

    def state():
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
            torch.get_num_threads(),
            logging.getLogger().handlers[:],
            logging.getLogger().level,
            torch.get_rng_state().tolist(),
            [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
            {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"},  # RecBole's own doing
        )

    before = state()
    Config(model=model, dataset="ml-100k")
    assert state() == before
