"""Lists and audiences that a platform asks for, by the command; and what it refuses."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from recbole_sheaf.cli import main
from recbole_sheaf.embeddings.new_users import with_clicks
from recbole_sheaf.embeddings.ranking import PieceScores
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.exports.files import read_embeddings, write_embeddings
from tests.cli.test_commands import _arguments
from tests.conftest import TOY, write_toy
from tests.embeddings.toys import history_of, restored, scores_by_definition


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With an export, the table of its items and lists of items."""
    folder, elsewhere = tmp_path_factory.mktemp("export"), tmp_path_factory.mktemp("data")
    write_toy(elsewhere / "data" / "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        patch.setattr("sys.argv", ["pytest"])
        settings = {**TOY, "data_path": str(elsewhere / "data"), "cache_dir": str(elsewhere / "cache")}
        embeddings = embeddings_of(restored("LightGCN", settings))
    write_embeddings(replace(embeddings, item_is_new=np.arange(60) >= 55), folder / "x.npz")
    lines = [f"i{item}\ta{item % 4}\t{item}" for item in range(60)]
    (folder / "toy.item").write_text("\n".join(["item_id:token\tauthor:token\tduration:float", *lines]) + "\n")
    (folder / "shown.txt").write_text("i3\ni8\n")
    return folder


@pytest.fixture
def embeddings(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return read_embeddings(folder / "x.npz")


def listed(capsys, *arguments):
    assert main(["recommend", "x.npz", *arguments]) == 0
    said = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(said.out))), said.err


def best(embeddings, user, allowed):
    """Items down the list of dense scores."""
    row = int(embeddings.user_rows([user])[0])
    scores, seen = scores_by_definition(embeddings)[row], history_of(embeddings, row, (0, 1, 2))
    order = sorted(range(60), key=lambda place: -scores[place])
    return [
        str(embeddings.items[place]) for place in order if place not in seen and allowed(str(embeddings.items[place]))
    ]


def test_filters_and_candidates_leave_the_best_of_what_is_left(embeddings, capsys):
    options = ["--users=u4", "--without=@shown.txt", "--where=duration between 2 and 40", "--item-table=toy.item"]
    found, _ = listed(capsys, *options, "--k=9", "--at-most=2", "--per=author")
    left = best(embeddings, "u4", lambda item: item not in ("i3", "i8") and 2 <= int(item[1:]) <= 40)
    of_two = [
        item for nth, item in enumerate(left) if [int(i[1:]) % 4 for i in left[:nth]].count(int(item[1:]) % 4) < 2
    ]
    assert [row["item"] for row in found] == of_two and len(of_two) == 8
    found, _ = listed(capsys, "--user=u4", "--among=i1,i2,i20,i21,i22", "--without=i22")
    assert [row["item"] for row in found] == best(embeddings, "u4", ["i1", "i2", "i20", "i21"].__contains__)


def test_clicks_are_those_of_the_user(embeddings, capsys):
    found, _ = listed(capsys, "--user=u4", "--clicked=i2,i41", "--k=60")
    clicked = with_clicks(embeddings, "u4", ["i2", "i41"])
    (scores,) = PieceScores(clicked)(np.array([0]))
    seen = history_of(clicked, 0, (0, 1, 2))
    order = [place for place in sorted(range(60), key=lambda place: -scores[place]) if place not in seen]
    assert [row["item"] for row in found] == embeddings.items[order].tolist()
    assert {row["user"] for row in found} == {"u4"}


def test_users_nobody_knows_get_popular_items_and_it_is_said(embeddings, capsys):
    found, said = listed(capsys, "--users=x,u4,y", "--unknown=popular", "--k=3", "--without=i7")
    assert [row["user"] for row in found] == ["u4"] * 3 + ["x"] * 3 + ["y"] * 3
    assert [row["item"] for row in found[:3]] == best(embeddings, "u4", lambda item: item != "i7")[:3]
    counts = [sum(item in history_of(embeddings, user) for user in range(30)) for item in range(60)]
    order = sorted((item for item in range(60) if embeddings.items[item] != "i7"), key=lambda item: -counts[item])
    assert [(row["item"], float(row["score"])) for row in found[3:6]] == [
        (str(embeddings.items[item]), counts[item]) for item in order[:3]
    ]
    assert "does not know 'x', 'y': listed last, by popularity" in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_audiences_of_new_items_are_written_as_lists_are(embeddings, folder, tmp_path, capsys, ending):
    path = tmp_path / f"audiences.{ending}"
    assert main(["recommend", "x.npz", "--audience=new", "--k=4", "--per-user=1", f"--to={path}"]) == 0
    assert "(5 items, up to 4 of 30 users each, 1 a user)" in capsys.readouterr().out
    scores, taken = scores_by_definition(embeddings), {}
    pairs = ((-scores[user][item], item, user) for item in range(55, 60) for user in range(30))
    for _, item, user in sorted(pairs):
        free = not any(user in users for users in taken.values()) and len(taken.get(item, [])) < 4
        if free and item not in history_of(embeddings, user, (0, 1, 2)):
            taken.setdefault(item, []).append(user)
    expected = [(str(embeddings.items[i]), str(embeddings.users[u])) for i in range(55, 60) for u in taken[i]]
    ranks = [1 + place for i in range(55, 60) for place in range(len(taken[i]))]
    if ending == "jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [(line["item"], user) for line in lines for user in line["users"]] == expected
    elif ending == "csv":
        rows = list(csv.DictReader(path.open()))
        assert [(row["item"], row["user"]) for row in rows] == expected
        assert [int(row["rank"]) for row in rows] == ranks
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        assert list(zip(table["item"].to_pylist(), table["user"].to_pylist())) == expected
        assert table.column_names == ["item", "rank", "user", "score"] and table["rank"].to_pylist() == ranks


def test_audiences_of_named_items_among_some_users(embeddings, capsys):
    found, _ = listed(capsys, "--audience=i3,i9", "--users=u1,u2,u5,u8", "--seen=kept")
    scores = scores_by_definition(embeddings)
    rows = embeddings.user_rows(["u1", "u2", "u5", "u8"])
    for item in ("i3", "i9"):
        (place,) = embeddings.item_rows([item])
        order = sorted(rows.tolist(), key=lambda user: -scores[user][place])
        assert [row["user"] for row in found if row["item"] == item] == embeddings.users[order].tolist()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--where=duration <", "--item-table=toy.item"], "is no SQL"),
        (["--where=exists(from read_csv('toy.item'))", "--item-table=toy.item"], "holds a subquery"),
        (["--where=length < 3", "--item-table=toy.item"], "where names the column 'length'"),
        (["--where=duration < 0", "--item-table=toy.item"], "without and where leave none"),
        (["--where=duration < 3"], "an export knows no table of its items"),
        (["--where=duration < 3", "--item-table=absent.item"], "there is no table of items absent.item"),
        (["--at-most=2"], "--at-most is given without --per"),
        (["--per=author"], "--per is given without --at-most"),
        (["--at-most=0", "--per=author", "--item-table=toy.item"], "--at-most=0 is below 1"),
        (
            ["--at-most=1", "--per=autor", "--item-table=toy.item"],
            "--per names the column 'autor' (did you mean 'author'",
        ),
        (["--among=i3", "--without=i3"], "of 1 items to choose among"),
        (["--among=i3x"], "knows no item 'i3x'"),
        (["--without=@shown.list"], "@shown.list names a file that ends in '.list', expected .csv, .tsv, .txt"),
        (["--without=@absent.txt"], "absent.txt cannot be read"),
        (["--without=i3x"], "knows no item 'i3x'"),
        (["--clicked=i3"], "--clicked is given without --user"),
        (["--clicked=i3", "--users=u1,u2"], "--clicked is of one user of the data, and 2 are named"),
        (["--clicked=i3x", "--user=u1"], "knows no item 'i3x'"),
        (["--clicked=i3", "--user=nobody"], "knows no user 'nobody'"),
        (["--user=nobody"], "knows no user 'nobody'"),
        (["--per-user=3"], "--per-user is of --audience"),
        (["--audience=i3", "--per-user=0"], "--per-user=0 is below 1; give a whole number from 1"),
        (["--audience=i3", "--k=0"], "--k=0 is below 1; give a whole number from 1"),
        (["--audience=i3x"], "knows no item 'i3x'"),
        (["--audience=i3", "--users=nobody"], "knows no user 'nobody'"),
        (["--audience=i3", "--where=true"], "--where is of lists of users, not of --audience"),
        (["--audience=i3", "--at-most=3"], "--at-most is of lists of users, not of --audience"),
    ],
)
def test_refusals_are_one_sentence_and_exit_code_2(embeddings, capsys, options, said):
    assert main(["recommend", "x.npz", *options]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line and "Error: " in line


def test_an_index_knows_no_groups(embeddings, capsys):
    options = ["--approximate", "--at-most=1", "--per=author", "--item-table=toy.item"]
    assert main(["recommend", "x.npz", *options]) == 2
    assert "an index knows no groups of items" in capsys.readouterr().err


def test_a_checkpoint_has_its_table_and_is_judged_by_its_audiences(toy, workplace, capsys):
    lines = [f"i{item}\t{item}" for item in range(60)]
    (toy / "toy" / "toy.item").write_text("\n".join(["item_id:token\tduration:float", *lines]) + "\n")
    settings = {key: value for key, value in TOY.items() if key != "embedding_size"}
    arguments = [text for text in _arguments(toy, split="cold_items") if text.split("=")[0][2:] in {*settings, "split"}]
    arguments += [f"--data_path={toy}", f"--cache_dir={toy.parent / 'cache'}"]
    assert main(["run", "--model=ItemSheaf", "--dataset=toy", "--result_file=run.json", *arguments]) == 0
    checkpoint = json.loads((workplace / "run.json").read_text())["checkpoint"]
    capsys.readouterr()
    assert main(["recommend", checkpoint, "--user=u4", "--where=duration < 20", "--seen=kept"]) == 0
    found = {row["item"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert found == {f"i{item}" for item in range(20)}
    assert main(["evaluate", checkpoint, "--audience", "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)["ndcg@100"]
    assert list(judged) == ["model", "most active users", "nearest histories in content"]
    assert main(["evaluate", checkpoint, "--audience"]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {name} " in printed and f"{value:.4f}" in printed for name, value in judged.items())
