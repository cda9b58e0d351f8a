"""Export, recommend, similar, embed-items and explain as people call them, and what they refuse."""

import csv
import io
import json
import re

import numpy as np
import pandas as pd
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.cli.explain import _table
from recbole_sheaf.cli.export import SCORER
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.errors import CheckpointError
from recbole_sheaf.experiments.checkpoints import restore
from recbole_sheaf.exports.files import ENDINGS, read_embeddings, write_embeddings
from recbole_sheaf.exports.sources import open_source
from recbole_sheaf.features import write_features
from recbole_sheaf.serving.catalogue import Catalogue
from tests.cli.test_commands import _arguments
from tests.conftest import write_toy

COMMANDS = ("export", "recommend", "similar", "embed-items", "explain", "judge")


@pytest.fixture
def checkpoint(toy, workplace, capsys):
    """Of an MMSheaf on the toy dataset."""
    assert main(["run", "--model=MMSheaf", "--dataset=toy", "--result_file=run.json", *_arguments(toy)]) == 0
    capsys.readouterr()
    return json.loads((workplace / "run.json").read_text())["checkpoint"]


@pytest.fixture
def export(checkpoint, workplace, capsys):
    assert main(["export", checkpoint, "--to=x.npz", "--coefficients=all", "--dtype=float32"]) == 0
    printed = capsys.readouterr().out
    assert "30 users, 60 items" in printed and "id 8, image 8, text 8" in printed and "written: x.npz" in printed
    return "x.npz"


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_an_export_and_its_checkpoint_recommend_alike(checkpoint, export, workplace, capsys):
    lists = []
    for source in (checkpoint, export):
        assert main(["recommend", source, "--users=u3,u4", "--k=5"]) == 0
        lists.append(rows(capsys.readouterr().out))
    assert lists[0] == lists[1] and len(lists[0]) == 10
    assert [row["user"] for row in lists[0]] == ["u3"] * 5 + ["u4"] * 5
    assert [row["rank"] for row in lists[0][:5]] == list("12345")
    interactions = {tuple(line.split("\t")) for line in (workplace / "data/toy/toy.inter").read_text().splitlines()}
    assert not {(row["user"], row["item"]) for row in lists[0]} & interactions
    assert main(["recommend", export, "--users=u3", "--k=40", "--seen=kept"]) == 0
    kept = {(row["user"], row["item"]) for row in rows(capsys.readouterr().out)}
    assert kept & interactions
    assert main(["recommend", export, "--users=u3", "--k=60"]) == 0
    assert len(rows(capsys.readouterr().out)) == 48  # 12 of 60 are left out, and no place is filled with them


def test_files_of_lists_agree(export, workplace, capsys):
    pytest.importorskip("pyarrow")
    for ending in ("csv", "jsonl", "parquet"):
        assert main(["recommend", export, "--k=4", f"--to=out/lists.{ending}"]) == 0
        assert f"written: out/lists.{ending} (30 users" in capsys.readouterr().out
    table = pd.read_csv("out/lists.csv")
    assert len(table) == 120
    pd.testing.assert_frame_equal(pd.read_parquet("out/lists.parquet"), table, check_dtype=False, rtol=1e-5)
    lines = [json.loads(line) for line in (workplace / "out/lists.jsonl").read_text().splitlines()]
    assert [line["user"] for line in lines] == table.user.unique().tolist()
    assert [item for line in lines for item in line["items"]] == table["item"].tolist()
    np.testing.assert_allclose([score for line in lines for score in line["scores"]], table.score, rtol=1e-5)
    assert sorted(path.name for path in (workplace / "out").iterdir()) == ["lists.csv", "lists.jsonl", "lists.parquet"]


def test_visitors_come_as_a_file_of_their_items(export, workplace, capsys):
    (workplace / "visitors.csv").write_text("user,item\neven,i2\nodd,i1\neven,i4\neven,i8\nodd,i3\nodd,i5\n")
    assert main(["recommend", export, "--users=visitors.csv", "--k=8"]) == 0
    found = rows(capsys.readouterr().out)
    assert [row["user"] for row in found] == ["even"] * 8 + ["odd"] * 8
    assert not {row["item"] for row in found[:8]} & {"i2", "i4", "i8"}
    assert sum(int(row["item"][1:]) % 2 == 0 for row in found[:8]) > 5
    assert sum(int(row["item"][1:]) % 2 == 1 for row in found[8:]) > 5
    (workplace / "some.txt").write_text("u5\nu1\n")
    assert main(["recommend", export, "--users=some.txt", "--k=1"]) == 0
    assert [row["user"] for row in rows(capsys.readouterr().out)] == ["u5", "u1"]


def test_new_items_are_placed_and_recommended(checkpoint, workplace, capsys):
    signs = np.repeat(np.array([[1.0], [-1.0]], dtype=np.float32), 8, axis=1)
    write_features(workplace / "fresh" / "image.npz", ["odd-one", "even-one"], signs)
    assert main(["embed-items", checkpoint, "--features=fresh", "--to=with_new.npz", "--dtype=float16"]) == 0
    assert "2 new items placed (with content: image 2, text 0)" in capsys.readouterr().out
    assert read_embeddings(workplace / "with_new.npz").item_vectors.dtype == np.float16
    assert main(["recommend", "with_new.npz", "--users=u3,u4", "--among=new", "--k=1"]) == 0
    assert [row["item"] for row in rows(capsys.readouterr().out)] == ["odd-one", "even-one"]
    assert main(["similar", "with_new.npz", "--items=odd-one", "--k=3"]) == 0
    assert all(int(row["similar"][1:]) % 2 for row in rows(capsys.readouterr().out))


def test_smaller_exports_say_what_they_cost_and_are_answered_from_in_every_format(checkpoint, workplace, capsys):
    """By the lists of the numbers that are left, which are those of no other."""
    pytest.importorskip("pyarrow"), pytest.importorskip("faiss")
    assert (
        main(["export", checkpoint, "--to=x.npz", "--coefficients=5", "--dtype=float16", "--scorer=out/mine.py"]) == 0
    )
    printed = capsys.readouterr().out
    assert (
        "at most 5 coefficients into an item, " in printed
        and "vectors and coefficients in 16 bits: Recall@20 " in printed
    )
    assert "; on validation, 30 users\nwritten: x.npz" in printed and "written: out/mine.py" in printed
    assert (workplace / "out/mine.py").read_bytes() == SCORER.read_bytes()
    left = read_embeddings(workplace / "x.npz")
    assert left.metadata["reduced"]["coefficients_into_an_item"] == np.diff(left.coefficients.indptr).max() == 5
    assert left.coefficients.data.dtype == left.item_vectors.dtype == np.float16
    (lists,) = top_lists(left, left.user_rows(["u3"]), 5)
    expected = left.items[lists.items[0]].tolist()
    (others,) = top_lists(embeddings_of(restore(checkpoint)), left.user_rows(["u3"]), 60)
    assert not np.allclose(lists.scores[0], others.scores[0][:5], rtol=0.01)
    like, said = [], []
    for ending in ENDINGS:
        write_embeddings(left, workplace / f"y{ending}")
        for options in (["--k=5"], ["--k=5", "--approximate"], ["--k=5", "--clicked=i1"]):
            assert main(["recommend", f"y{ending}", "--user=u3", *options]) == 0
            found = [row["item"] for row in rows(capsys.readouterr().out)]
            assert len(found) == 5 and (options[-1] == "--clicked=i1" or found == expected)
        assert main(["recommend", f"y{ending}", "--audience=i1,i2", "--k=3"]) == 0
        assert len(rows(capsys.readouterr().out)) == 6
        assert main(["similar", f"y{ending}", "--items=i3", "--k=3"]) == 0
        like.append([row["similar"] for row in rows(capsys.readouterr().out)])
        assert main(["explain", f"y{ending}", "--user=u3", "--item=i7", "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out))
        assert sum(said[-1]["parts"].values()) == pytest.approx(said[-1]["score"], rel=1e-3)
        catalogue = Catalogue(open_source(workplace / f"y{ending}"))
        assert [entry.item for entry in catalogue.recommend("u3", None, 5, explain=True)] == expected
    assert like == like[:1] * 4 and [each["rank"] for each in said] == [said[0]["rank"]] * 4


def test_new_items_beside_a_smaller_catalogue_move_none_of_its_numbers(checkpoint, workplace, capsys):
    assert main(["export", checkpoint, "--to=x.npz", "--coefficients=5"]) == 0
    write_features(workplace / "fresh" / "image.npz", ["new"], np.ones((1, 8), dtype=np.float32))
    assert main(["embed-items", checkpoint, "--features=fresh", "--to=y.npz", "--coefficients=5"]) == 0
    assert "at most 5 coefficients into an item, " in capsys.readouterr().out
    old, new = (read_embeddings(workplace / name) for name in ("x.npz", "y.npz"))
    n, ends = len(old.items), old.coefficients.indptr
    assert np.array_equal(old.item_vectors, new.item_vectors[:n, : old.item_vectors.shape[1]])
    assert np.array_equal(ends, new.coefficients.indptr[: n + 1])
    assert np.array_equal(old.coefficients.data, new.coefficients.data[: ends[-1]])


def test_explain_adds_up_in_text_and_json(checkpoint, export, capsys):
    assert main(["explain", checkpoint, "--user=u3", "--item=i7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(found["parts"].values()) == pytest.approx(found["score"], rel=1e-5)
    assert main(["explain", export, "--user=u3", "--item=i7", "--most=2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"user u3, item i7: score {found['score']:.4f}")
    assert "| item sheaf" in printed and "the 2 largest of" in printed


def test_a_model_without_pieces_recommends_by_itself_and_exports_nothing(toy, workplace, capsys):
    arguments = [text for text in _arguments(toy) if "embedding_size" not in text]
    assert main(["run", "--model=MultiVAE", "--dataset=toy", "--result_file=run.json", *arguments]) == 0
    checkpoint = json.loads((workplace / "run.json").read_text())["checkpoint"]
    capsys.readouterr()
    assert main(["recommend", checkpoint, "--users=u3", "--k=5"]) == 0
    assert len(rows(capsys.readouterr().out)) == 5
    assert main(["export", checkpoint, "--to=x.npz"]) == 2
    assert "MultiVAE makes its scores neither of vectors" in capsys.readouterr().err
    assert not (workplace / "x.npz").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["recommend", "x.npz", "--users=u33"], "knows no user 'u33' (did you mean 'u3'"),
        (["recommend", "x.npz", "--users=absent.csv"], "absent.csv cannot be read"),
        (["recommend", "x.npz", "--users=, ,"], "names nobody"),
        (
            ["recommend", "x.npz", "--users=ragged.csv"],
            "another number of columns than its first line, which has 2 (first: line 2 has 3)",
        ),
        (["recommend", "x.npz", "--users=empty.csv"], "empty.csv names nobody"),
        (["recommend", "x.npz", "--users=known.csv"], "user 'u3' is in the data already"),
        (["recommend", "x.npz", "--k=61"], "k is 61, but there are 60 items"),
        (["recommend", "x.npz", "--k=0"], "k is 0"),
        (["recommend", "x.npz", "--to=lists.txt"], "ends in '.txt', expected one of .csv, .jsonl, .parquet"),
        (["recommend", "x.npz", "--to=x.npz/lists.csv"], "cannot be written"),
        (["recommend", "x.npz", "--among=new"], "there are no new items"),
        (["recommend", "x.npz", "--data_path=data"], "leave it out"),
        (["recommend", "absent.npz"], "there is no file absent.npz"),
        (["recommend", "absent.pth"], "there is no checkpoint absent.pth"),
        (["similar", "x.npz", "--items=i61"], "knows no item 'i61'"),
        (
            ["similar", "x.npz", "--items=known.csv"],
            "known.csv is 'user,item'; expected it to name the columns, item alone",
        ),
        (["similar", "x.npz", "--k=60"], "k is 60, but there are 59 items"),
        (["explain", "x.npz", "--user=u1", "--item=i99"], "knows no item 'i99'"),
        (["embed-items", "x.npz", "--features=data", "--to=y.npz"], "x.npz is an export, which holds numbers of a mod"),
        (
            ["export", "x.npz", "--to=y.npz"],
            "x.npz is an export, which holds numbers of a model but not the model; give",
        ),
        (["evaluate", "x.npz"], "x.npz is an export, which holds numbers of a model but not the model; give the check"),
        (["recommend", "x.npz", "--users=swapped.csv"], "user 'u3' is in the data already"),
        (["recommend", "x.npz", "--users=item.csv"], "the first line of item.csv is 'item'; expected it to name the c"),
        (["similar", "x.npz", "--items=user.csv"], "the first line of user.csv is 'user_id'; expected it to name the"),
        (["recommend", "x.npz", "--users=nameless.csv"], "nameless.csv is 'new,i3'; expected it to name the columns"),
        (["export", "absent.pth", "--to=y.npz"], "there is no checkpoint absent.pth"),
        *[
            (
                ["export", "absent.pth", "--to=y.npz", f"--coefficients={given}"],
                f"--coefficients='{given}' is no whole n",
            )
            for given in ("0", "-5", "some", "2.5", "")
        ],
        (["embed-items", "absent.pth", "--features=data", "--to=y.npz", "--coefficients=0"], "'0' is no whole number"),
        (["export", "absent.pth", "--to=y.npz", "--scorer=y.txt"], "'y.txt' ends in '.txt', expected one of .py"),
        (["export", "absent.pth", "--to=y.duckdb", "--scorer=y.py"], "--scorer reads an .npz alone; export to one"),
        (["export", "absent.pth", "--to=qdrant:y", "--scorer=y.py"], "--scorer reads an .npz alone; export to one"),
        (["export", "absent.pth", "--to=y.zip"], "ends in '.zip'"),
        (["embed-items", "absent.pth", "--features=data", "--to=y.csv"], "ends in '.csv'"),
    ],
)
def test_refusals_are_one_sentence_and_exit_code_2(one_export, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(one_export)
    before = sorted(one_export.iterdir())
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line and "Error: " in line
    assert sorted(one_export.iterdir()) == before


@pytest.fixture(scope="module")
def one_export(tmp_path_factory):
    """A folder with an export of an untrained LightGCN and some files, for commands that change nothing."""
    from recbole_sheaf.embeddings.reading import embeddings_of
    from recbole_sheaf.exports.files import write_embeddings
    from tests.conftest import TOY
    from tests.embeddings.toys import restored

    folder = tmp_path_factory.mktemp("export")
    elsewhere = tmp_path_factory.mktemp("data")
    write_toy(elsewhere / "data" / "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        patch.setattr("sys.argv", ["pytest"])
        settings = {**TOY, "data_path": str(elsewhere / "data"), "cache_dir": str(elsewhere / "cache")}
        write_embeddings(embeddings_of(restored("LightGCN", settings)), folder / "x.npz")
    (folder / "ragged.csv").write_text("u1,i2\nu2,i3,x\n")
    (folder / "empty.csv").write_text("user,item\n\n")
    (folder / "known.csv").write_text("user,item\nu3,i1\n")
    (folder / "swapped.csv").write_text("item_id,user_id\ni1,u3\n")
    (folder / "item.csv").write_text("item\nu3\n")
    (folder / "user.csv").write_text("user_id\ni3\n")
    (folder / "nameless.csv").write_text("new,i3\n")
    return folder


def test_a_checkpoint_of_another_dataset_is_refused(checkpoint, toy, workplace, capsys):
    write_toy(workplace / "other" / "toy", n_users=20, n_items=50)
    assert main(["export", checkpoint, "--to=y.npz", "--data_path=other"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("CheckpointError: ") and "was trained on other data: of toy.inter, it had" in line
    assert not (workplace / "y.npz").exists()


def test_data_that_were_moved_are_found_by_data_path(checkpoint, export, workplace, capsys):
    (workplace / "data").rename(workplace / "moved")
    assert main(["recommend", checkpoint, "--users=u3", "--k=2"]) == 2
    assert main(["recommend", checkpoint, "--users=u3", "--k=2", "--data_path=moved"]) == 0
    from_checkpoint = capsys.readouterr().out
    assert main(["recommend", export, "--users=u3", "--k=2"]) == 0
    assert capsys.readouterr().out == from_checkpoint
    assert main(["export", checkpoint, "--to=y.npz", "--data_path=moved"]) == 0


ASKED = {
    "export": ["--to=y.npz"],
    "recommend": ["--users=u3"],
    "similar": ["--items=i3"],
    "embed-items": ["--features=fresh", "--to=y.npz"],
    "explain": ["--user=u3", "--item=i3"],
    "judge": ["--k=5"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("trust", [False, True])
def test_a_pickle_is_read_on_demand_alone(workplace, monkeypatch, command, trust):
    asked = []

    def read_checkpoint(path, trusted):
        asked.append((str(path), trusted))
        raise CheckpointError("as if it were damaged")

    monkeypatch.setattr("recbole_sheaf.experiments.checkpoints.read_checkpoint", read_checkpoint)
    assert main([command, "x.pth", *ASKED[command], *["--trust-checkpoint"] * trust]) == 2
    assert asked == [("x.pth", trust)]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0 and f"recbole-sheaf {command} " in capsys.readouterr().out.split("example", 1)[1]


def test_explain_shows_a_token_as_it_is():
    """Not as a number that it looks like, nor as a further column."""

    def shown(*tokens):
        text = _table(("part", "says"), [(token, 0.123456789) for token in tokens])
        assert text.count("0.1235") == len(tokens)
        return [line.strip("| ").partition(" | ")[0].strip() for line in text.splitlines()[2:]]

    assert shown("1e5", "007") == ["1e5", "007"]
    assert shown("a|b") == ["a\\|b"]


def test_judge_prints_and_writes_what_is_judged(workplace, checkpoint, export, capsys):
    table = workplace / "genres.item"
    table.write_text("item_id:token\tgenre:token\n" + "".join(f"i{item}\tG{item % 2}\n" for item in range(1, 61)))
    assert main(["judge", checkpoint, f"--item-table={table}", "--k=5", "--to=judged.csv"]) == 0
    printed = capsys.readouterr().out
    judged = rows((workplace / "judged.csv").read_text())
    assert {"fused", "content together"} <= {row["vectors"] for row in judged} and "written: judged.csv" in printed
    assert {"audience", "genre", "recall@5", "MRR"} == {row["measure"] for row in judged}
    for row in judged:
        assert float(row["lift"]) == pytest.approx(float(row["value"]) / float(row["chance"]))
        assert f"| {float(row['value']):.4f} |" in re.sub(" +", " ", printed)
    assert main(["judge", export, "--k=5", "--to=other.csv"]) == 0
    alone = rows((workplace / "other.csv").read_text())
    assert not any("content" in row["vectors"] or row["measure"] == "genre" for row in alone)
    shared = {(row["items"], row["vectors"], row["measure"]): row["count"] for row in judged}
    assert all(shared[row["items"], row["vectors"], row["measure"]] == row["count"] for row in alone)
    for given, sentence in (
        ([export, "--columns=genre"], "--columns are given and there is no item table"),
        ([export, f"--item-table={table}", "--columns=gener"], "names 'gener' (did you mean 'genre'?)"),
        ([export, "--k=0"], "k is 0, expected 1 or more"),
        ([export, "--to=x.parquet"], ".csv"),
    ):
        assert main(["judge", *given]) == 2
        assert sentence in capsys.readouterr().err, given
