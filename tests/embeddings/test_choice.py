"""Lists under filters against a walk down all scores, one item after another; conditions against a file's lines."""

import numpy as np
import pytest

from recbole_sheaf.embeddings import ranking
from recbole_sheaf.embeddings.choice import Wanted
from recbole_sheaf.embeddings.item_table import ItemTable
from recbole_sheaf.embeddings.ranking import AtMost, popular_lists, top_lists
from recbole_sheaf.errors import ConfigError, DataError
from tests.embeddings.toys import history_of, scores_by_definition

HEADER = "item_id:token\tcategory:token\tduration:float\tauthor:token\twords:token_seq\tvector:float_seq\tlike:token"


def cells_of(item):
    """Of item number ``item``, every eleventh without a category, every seventh without an author."""
    category = "" if item % 11 == 0 else ("news", "sport", "it's")[item % 3]
    author = "" if item % 7 == 0 else f"a{item % 5}"
    return [f"i{item}", category, str(item * 1.5), author, "Action Comedy", "1 2", "1"]


@pytest.fixture
def embeddings(once, toy):
    return once("ItemSheaf")


@pytest.fixture
def table(workplace, embeddings):
    """Lines in another order than the rows, and none for item 59."""
    lines = ["\t".join(cells_of(item)) for item in reversed(range(59))]
    (workplace / "toy.item").write_text("\n".join([HEADER, *lines]) + "\n")
    return ItemTable(workplace / "toy.item", embeddings)


def numbers(embeddings):
    return [int(token[1:]) for token in embeddings.items.tolist()]


def walked(scores, left_out, k, group_of, most):
    """Items from the best score down, each unless its group is full."""
    taken, full = [], {}
    for item in np.argsort(-scores, kind="stable").tolist():
        group = group_of[item]
        if item in left_out or len(taken) == k or (group != "" and full.get(group, 0) == most):
            continue
        full[group] = full.get(group, 0) + 1
        taken.append(item)
    return taken


@pytest.mark.parametrize(
    "condition, true",
    [
        ("category = 'news' and duration < 60", lambda c: c[1] == "news" and float(c[2]) < 60),
        ("category in ('sport', 'it''s')", lambda c: c[1] in ("sport", "it's")),
        ("not (category = 'news')", lambda c: c[1] not in ("news", "")),  # what is NULL is not true
        ("author is null or duration / 3 > 20.4", lambda c: c[3] == "" or float(c[2]) / 3 > 20.4),
        ("LIKE = '1' and Duration between 3 and 4.5", lambda c: 3 <= float(c[2]) <= 4.5),
        ("words = 'Action Comedy'", lambda c: c[0] != "i59"),
        ('cast("like" as int) = 1', lambda c: c[0] != "i59"),
    ],
)
def test_a_condition_is_true_of_the_lines_of_which_it_is(embeddings, table, condition, true):
    lines = [cells_of(item) if item != 59 else ["i59", "", "nan", "", "", "", ""] for item in numbers(embeddings)]
    expected = [item != 59 and true(cells) for item, cells in zip(numbers(embeddings), lines)]
    if condition.startswith("author is null"):
        expected = [item == 59 or is_true for item, is_true in zip(numbers(embeddings), expected)]
    assert table.where(condition).tolist() == expected and any(expected)
    assert table.where(condition).tolist() == expected  # asked again


@pytest.mark.parametrize(
    "condition, said",
    [
        ("category = ", "is no SQL"),
        ("true; drop table items", "is no SQL"),
        ("duration < (select 3)", "holds a subquery"),
        ("exists(from read_csv('/etc/passwd'))", "holds a subquery"),
        ("read_text('/etc/passwd') = ''", "calls 'read_text'"),
        ("getenv('HOME') = ''", "calls 'getenv'"),
        ("categori = 'news'", "names the column 'categori' .did you mean 'category'"),
        ("vector = '1 2'", "names the column 'vector'"),
        ("duration", "gives DOUBLE, neither true nor false"),
        ("cast(category as int) = 1", "cannot be told of the items in toy.item .*Could not convert string"),
    ],
)
def test_what_is_no_condition_over_the_columns_is_refused(table, condition, said):
    with pytest.raises(ConfigError, match=said) as refused:
        table.where(condition)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text, said",
    [
        ("item_id:token\tx:float\ni1\tmany\n", "cannot be told"),
        ("x:float\titem_id:token\n1\ti1\n", "odd.item begins with 'x:float'; expected item_id:token"),
        ("item_id\n1\n", "without a type"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(workplace, embeddings, text, said):
    (workplace / "odd.item").write_text(text)
    with pytest.raises((ConfigError, DataError), match=said):
        ItemTable(workplace / "odd.item", embeddings).where("x < 1")


def test_a_column_that_is_named_as_sql_is_no_door(workplace, embeddings):
    """A name with quotes would end where the name ends; of names that differ in case alone the first is there."""
    (workplace / "odd.item").write_text('item_id:token\ta" AS b FROM x:float\tA:float\ta:float\ni1\t1\t2\t3\n')
    table = ItemTable(workplace / "odd.item", embeddings)
    assert list(table.columns) == ["item_id", "A"] and table.where("a = 2").sum() == 1


@pytest.mark.parametrize("at_once", [2**24, 100])
@pytest.mark.parametrize("most", [1, 2])
def test_lists_take_the_best_that_still_may_come(embeddings, table, monkeypatch, most, at_once):
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", at_once)
    wanted = Wanted(without=["i3", "i8"], where="duration < 80", at_most=most, per="author")
    choice = wanted.of(embeddings, lambda: table)
    items, scores = numbers(embeddings), scores_by_definition(embeddings)
    left_out = {row for row, item in enumerate(items) if item in (3, 8) or not item * 1.5 < 80}
    rows = np.array([4, 0, 17])
    k = choice.length(14)
    lists = top_lists(embeddings, rows, k, allowed=choice.allowed, at_most=choice.at_most)
    found = {user: (places.tolist(), given) for some in lists for user, places, given in some}
    for user in rows.tolist():
        seen = set(history_of(embeddings, user, (0, 1, 2)))
        expected = walked(scores[user], left_out | seen, 14, [cells_of(item)[3] for item in items], most)
        assert found[user][0] == expected
        np.testing.assert_allclose(found[user][1], scores[user][expected], rtol=1e-4, atol=1e-6)


def test_candidates_are_the_items_that_are_named(embeddings):
    choice = Wanted(among=["i5", "i9", "i30"], without=["i9"]).of(embeddings, pytest.fail)
    assert sorted(embeddings.items[choice.allowed].tolist()) == ["i30", "i5"]
    assert choice.length(20) == 2
    assert Wanted().of(embeddings, pytest.fail).allowed is None


@pytest.mark.parametrize(
    "wanted, said",
    [
        (Wanted(among=["i3"], without=["i3"]), "of 1 items to choose among, without and where leave none"),
        (Wanted(where="duration < 0"), "of 60 items to choose among, without and where leave none"),
        (Wanted(at_most=2), "at_most=... is given without per="),
        (Wanted(per="author"), "per=... is given without at_most="),
        (Wanted(at_most=0, per="author"), "at_most=0 is below 1; give a whole number from 1"),
        (
            Wanted(at_most=1, per="autor"),
            "per=... names the column 'autor' .did you mean 'author'.*toy.item has item_id",
        ),
        (Wanted(among="new"), "among is new, but there are no new items"),
        (Wanted(without=["i3x"]), "knows no item 'i3x'"),
        (Wanted(among=["i3x"]), "knows no item 'i3x'"),
    ],
)
def test_what_leaves_nothing_or_says_half_is_refused(embeddings, table, wanted, said):
    with pytest.raises((ConfigError, DataError), match=said):
        wanted.of(embeddings, lambda: table)


@pytest.mark.parametrize("k", [0, 61])
def test_a_length_beyond_the_catalogue_is_refused_whatever_is_left(embeddings, k):
    with pytest.raises(ConfigError, match=f"k is {k}, but there are 60 items"):
        Wanted(without=["i1"]).of(embeddings, pytest.fail).length(k)


def test_popular_items_are_those_of_most_training_interactions(embeddings):
    counts = [0] * 60
    for user in range(len(embeddings.users)):
        for item in history_of(embeddings, user):
            counts[item] += 1
    allowed = np.arange(60) % 4 > 0
    groups = np.arange(60) % 3
    order = sorted((item for item in range(60) if allowed[item]), key=lambda item: (-counts[item], item))
    lists = list(popular_lists(embeddings, 2, 9, allowed))
    assert [some.rows.tolist() for some in lists] == [[0], [1]]
    assert all(some.items[0].tolist() == order[:9] for some in lists)
    assert lists[0].scores[0].tolist() == [counts[item] for item in order[:9]]
    (some,) = popular_lists(embeddings, 1, 9, allowed, AtMost(groups, 2))
    kept = some.items[0][np.isfinite(some.scores[0])].tolist()
    assert kept == [item for nth, item in enumerate(order) if [o % 3 for o in order[:nth]].count(item % 3) < 2]


def test_a_list_is_looked_for_far_down_where_one_group_has_the_best(workplace):
    """Beyond what is looked at first, and with equal scores in the order of their rows."""
    scores = np.repeat(np.arange(150.0, 0.0, -1.0), 2).astype(np.float32)[None]
    groups = np.where(np.arange(300) < 200, 0, np.arange(300) // 3)
    places, best = ranking.best_of_groups(scores, 3, AtMost(groups, 1))
    assert places.tolist() == [walked(scores[0], set(), 3, groups.tolist(), 1)] == [[0, 200, 201]]
    assert best.tolist() == scores[0][places].tolist()
