"""The file of one's own service gives the lists of ``recommend``, with NumPy and nothing else."""

import csv
import io
import json
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.cli.export import SCORER
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.embeddings.reduction import reduction_of
from recbole_sheaf.exports.files import read_embeddings, write_embeddings
from recbole_sheaf.exports.scorer import Scorer
from tests.attack import exports
from tests.embeddings.toys import SOME_COLD, restored

MODELS = [
    ("MMSheaf", {}),
    ("MMSheaf", {"item_sheaf_neighbours": 5, "loss": "bpr"}),
    ("ItemSheaf", {}),
    ("EASE", {}),
    ("LightGCN", {}),
    ("LightGCN", {"loss": "softmax", "softmax_popularity": 1.0}),
]
NEW = {"somebody": ["i2", "i4", "i8", "i2"], "another": ["i1"]}


def recommended(capsys, *options):
    """Items and scores by user, as the command lists them."""
    assert main(["recommend", "x.npz", *options]) == 0
    found = {}
    for row in csv.DictReader(io.StringIO(capsys.readouterr().out)):
        found.setdefault(row["user"], []).append((row["item"], float(row["score"])))
    return found


def same(ours, theirs):
    """Scores to rounding, and items in their order but for those that nothing but rounding tells apart."""
    assert list(ours) == list(theirs)
    for user, listed in theirs.items():
        scores = np.array([score for _, score in listed])
        np.testing.assert_allclose([score for _, score in ours[user]], scores, rtol=1e-5, atol=1e-6)
        apart = np.abs(np.diff(scores, prepend=np.inf, append=-np.inf)) > 1e-5 * max(np.abs(scores).max(), 1e-3)
        for place in np.flatnonzero(apart[:-1] & apart[1:])[:-1]:  # the last may be tied with who is not there
            assert ours[user][place][0] == listed[place][0]


@pytest.mark.parametrize("size", [{"coefficients": "all", "dtype": "float32"}, {"coefficients": 7}])
@pytest.mark.parametrize("name, chosen", MODELS)
def test_lists_are_those_of_the_command(toy_settings, workplace, capsys, name, chosen, size):
    embeddings = embeddings_of(restored(name, {**toy_settings, **SOME_COLD, **chosen}))
    if embeddings.coefficients is None:
        size = {**size, "coefficients": "all"}
    write_embeddings(reduction_of(embeddings, **size).of(embeddings), workplace / "x.npz")
    scorer = Scorer("x.npz")
    same({user: scorer.recommend(user, 12) for user in scorer.users}, recommended(capsys, "--k=12"))
    (workplace / "new.csv").write_text("user,item\n" + "".join(f"{u},{i}\n" for u in NEW for i in NEW[u]))
    ours = {user: scorer.recommend_for(items, 12) for user, items in NEW.items()}
    same(ours, recommended(capsys, "--users=new.csv", "--k=12"))
    chosen_from = [f"i{item}" for item in range(1, 40)]
    ours = {"u3": scorer.recommend("u3", 6, without=["i5", "i7"], among=chosen_from)}
    same(ours, recommended(capsys, "--user=u3", "--k=6", "--without=i5,i7", f"--among={','.join(chosen_from)}"))


def test_new_items_are_ranked_and_what_a_user_has_is_not(workplace, capsys):
    exports.write_good(workplace / "x.npz")
    scorer = Scorer("x.npz")
    lists = {user: scorer.recommend(user, 8) for user in scorer.users}
    same(lists, recommended(capsys, "--k=8"))
    assert [len(found) for found in lists.values()] == [5, 5, 5, 5]  # of eight, three are the user's in some part
    assert any(item == "i7" for found in lists.values() for item, _ in found)  # placed by content
    whole = read_embeddings(workplace / "x.npz")
    assert scorer.metadata["model"] == "MMSheaf" and scorer.items == whole.items.tolist()


def test_it_needs_numpy_alone_and_is_what_export_writes(workplace):
    exports.write_good(workplace / "x.npz")
    (workplace / "vendored.py").write_bytes(SCORER.read_bytes())
    code = """
        import sys
        before = set(sys.modules)
        import vendored, json
        scorer = vendored.Scorer("x.npz")
        lists = [scorer.recommend("a", 3), scorer.recommend_for(["i1", "i2"], 3)]
        new = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
        assert new == {"numpy", "vendored"}, new
        print(json.dumps(lists))
    """
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, '.')\n{textwrap.dedent(code)}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=workplace, timeout=60)
    assert done.returncode == 0, done.stderr
    scorer = Scorer("x.npz")
    expected = [scorer.recommend("a", 3), scorer.recommend_for(["i1", "i2"], 3)]
    assert json.loads(done.stdout) == [[list(pair) for pair in found] for found in expected]


def altered(**changes):
    return lambda arrays, metadata: arrays.update(changes)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda arrays, metadata: metadata.update(recbole_sheaf_embeddings=2), "is of format 2, expected 1"),
        (altered(item_vectors=np.zeros((8, 6))), "has item_vectors of type float64, expected float32 or float16"),
        (altered(coefficient_values=np.zeros(8, dtype="V2")), "has coefficient_values of type |V2, expected float32"),
    ],
)
def test_what_it_does_not_know_is_refused(workplace, change, words):
    arrays, metadata = exports.good_arrays(), exports.good_metadata()
    change(arrays, metadata)
    (workplace / "x.npz").write_bytes(exports.npz(arrays, metadata))
    with pytest.raises(ValueError, match=re.escape(words)):
        Scorer(workplace / "x.npz")


def test_files_of_something_else_and_unknown_tokens_are_refused(toy_settings, workplace):
    np.savez(workplace / "y.npz", item_id=np.array(["a"]))
    with pytest.raises(ValueError, match="y.npz is no export of recbole-sheaf"):
        Scorer(workplace / "y.npz")
    exports.write_good(workplace / "x.npz")
    scorer = Scorer(workplace / "x.npz")
    with pytest.raises(KeyError, match="nobody"):
        scorer.recommend("nobody")
    with pytest.raises(KeyError, match="nothing"):
        scorer.recommend_for(["i1", "nothing"])
    with pytest.raises(ValueError, match="nothing is chosen"):
        scorer.recommend_for([])
    write_embeddings(embeddings_of(restored("BPR", toy_settings)), workplace / "z.npz")
    with pytest.raises(ValueError, match="BPR gives a user a vector by training alone"):
        Scorer(workplace / "z.npz").recommend_for(["i1"])
