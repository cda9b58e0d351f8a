"""Judged rows against the measures by hand, on a model with cold items; columns of the item table."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from recbole_sheaf.embeddings.embeddings import Block, Embeddings, Histories
from recbole_sheaf.embeddings.item_groups import MOST_VALUES, item_groups
from recbole_sheaf.embeddings.item_judging import COLD, FUSED, WARM, Vectors, content_of, judge_items
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.errors import ConfigError, DataError
from tests.embeddings.toys import SOME_COLD, history_of, restored_in


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return restored_in(tmp_path_factory.mktemp("judged"), "MMSheaf", SOME_COLD)


@pytest.fixture(scope="module")
def embeddings(model):
    return embeddings_of(model)


def by_name(found):
    return {(each.items, each.vectors, each.measure): each for each in found}


def test_audiences_are_those_of_validation_and_test(model, embeddings):
    found = by_name(judge_items(embeddings, content_of(model), {}, k=4))
    chose = [set() for _ in range(60)]
    trained = set()
    for user in range(30):
        trained |= set(history_of(embeddings, user, (0,)))
        for item in history_of(embeddings, user, (1, 2)):
            chose[item].add(user)
    there = [item for item in range(60) if chose[item]]
    unit = embeddings.embeddings / np.linalg.norm(embeddings.embeddings, axis=1, keepdims=True)
    for side, asked in ((WARM, [i for i in there if i in trained]), (COLD, [i for i in there if i not in trained])):
        assert asked
        shares, chances = [], []
        for item in asked:
            others = sorted((j for j in there if j != item), key=lambda j: -float(unit[item] @ unit[j]))
            shares.append(np.mean([bool(chose[item] & chose[j]) for j in others[:4]]))
            chances.append(np.mean([bool(chose[item] & chose[j]) for j in others]))
        judged = found[side, FUSED, "audience"]
        assert judged.count == len(asked) and judged.value == pytest.approx(np.mean(shares))
        assert judged.chance == pytest.approx(np.mean(chances)) and judged.among_equals is not None
        assert judged.error == pytest.approx(np.std(shares, ddof=1) / np.sqrt(len(shares)))


def test_each_kind_of_vectors_and_each_direction_is_judged(model, embeddings):
    found = judge_items(embeddings, content_of(model), {}, k=4)
    kinds = {each.vectors for each in found if each.measure == "audience"}
    width = min(embeddings.embedded, sum(each.rows.shape[1] for each in content_of(model).values()))
    blocks = {"block id", "block image", "block text"}
    assert kinds == {FUSED, *blocks, "content image", "content text", "content together", f"content PCA {width}"}
    across = {each.vectors for each in found if each.measure == "recall@4" and each.items == WARM}
    assert {f"{one} to {other.removeprefix('block ')}" for one in blocks for other in blocks if one != other} <= across
    assert {"content image to text", "content text to image", "fused to content image"} <= across
    alone = judge_items(embeddings, {}, {}, k=4)
    assert {each.vectors for each in alone} < {each.vectors for each in found}
    assert by_name(alone)[WARM, FUSED, "audience"] == by_name(found)[WARM, FUSED, "audience"]


def test_the_seed_draws_the_half_that_is_fitted_and_nothing_else(model, embeddings):
    one, again, other = (by_name(judge_items(embeddings, {}, {}, 4, seed)) for seed in (0, 0, 1))
    assert one == again
    changed = {measure for (_, _, measure), judged in one.items() if judged != other[_key(judged)]}
    assert changed == {"recall@4", "MRR"}


def _key(judged):
    return judged.items, judged.vectors, judged.measure


def planted(n=200, shuffle=False):
    """Two blocks of which one is the other turned round, by ten tastes; users of the last part choose by taste."""
    rng = np.random.default_rng(0)
    taste = np.repeat(np.arange(10), n // 10)
    one = rng.normal(size=(10, 8))[taste] + 0.4 * rng.normal(size=(n, 8))
    rows = np.concatenate([one, one @ rng.normal(size=(8, 8))], axis=1).astype(np.float32)
    rows[:, 8:] = rng.permutation(rows[:, 8:]) if shuffle else rows[:, 8:]
    users, items = (
        np.repeat(np.arange(100), 8),
        np.concatenate([rng.permutation(20)[:8] + 20 * (u % 10) for u in range(100)]),
    )
    parts = rng.integers(0, 3, len(items))
    parts[np.isin(items % 20, (3, 4))] = 2  # two items of a taste are cold
    held = Histories.of(100, users, items, parts)
    names = np.array([f"i{item}" for item in range(n)])
    nobody = np.zeros((n, 0), np.float32)
    blocks = (Block("a", 0, 8), Block("b", 8, 16))
    return Embeddings(np.arange(100).astype(str), names, rows[:100], rows, blocks, nobody, held), taste


def test_planted_structure_is_found_of_warm_and_cold_items_and_shuffled_is_not():
    embeddings, _ = planted()
    right, wrong = (by_name(judge_items(planted(shuffle=shuffle)[0], {}, {})) for shuffle in (False, True))
    warm = len(warm_of(embeddings))
    for side, count in ((WARM, warm - warm // 2), (COLD, 200 - warm)):
        assert count > 20
        assert right[side, "block a to b", "recall@10"].count == count
        assert right[side, "block a to b", "recall@10"].value > 0.9
        chance = right[side, "block a to b", "recall@10"].chance
        assert chance == pytest.approx(10 / count) and wrong[side, "block a to b", "recall@10"].value < chance + 0.2
        audience = right[side, "block b", "audience"], wrong[side, "block b", "audience"]
        assert audience[0].value > 3 * audience[0].chance and audience[1].value < 1.7 * audience[1].chance


def warm_of(embeddings):
    """Rows of items with training interactions."""
    return set(embeddings.histories.items[embeddings.histories.parts == 0].tolist())


def test_items_without_a_vector_or_a_value_neither_ask_nor_are_near():
    embeddings, taste = planted()
    even, valued = np.arange(200) % 2 == 0, np.arange(200) % 5 > 0
    content = {"c": Vectors(np.where(even[:, None], embeddings.item_vectors[:, :8], 0), even)}
    members = sparse.csr_matrix(np.eye(10, dtype=np.float32)[taste] * valued[:, None])
    found = by_name(judge_items(embeddings, content, {"taste": members}))
    warm = np.array(sorted(warm_of(embeddings)))
    assert found[WARM, FUSED, "taste"].count == valued[warm].sum()
    assert found[WARM, "content c", "taste"].count == (valued & even)[warm].sum()
    assert found[WARM, "content c", "taste"].chance == pytest.approx(7 / 79)
    left = np.setdiff1d(warm, np.random.default_rng(0).permutation(warm)[: len(warm) // 2])
    assert found[WARM, "fused to content c", "recall@10"].count == even[left].sum() < len(left)
    assert (WARM, "content together", "taste") not in found  # which is the one modality


def test_no_more_items_than_neighbours_are_passed_over():
    embeddings, _ = planted()
    cold = 200 - len(warm_of(embeddings))
    found = by_name(judge_items(embeddings, {}, {}, k=cold))
    assert (WARM, "block a to b", f"recall@{cold}") in found
    assert (COLD, "block a to b", f"recall@{cold}") not in found
    with pytest.raises(ConfigError, match="k is 200, and no kind of vectors has more items than that to judge"):
        judge_items(embeddings, {}, {}, k=200)


def test_what_cannot_be_judged_is_refused(embeddings):
    without = replace(
        embeddings,
        user_vectors=embeddings.user_vectors[:, :0],
        item_vectors=embeddings.item_vectors[:, :0],
        blocks=(),
        item_embeddings=None,
    )
    with pytest.raises(ConfigError, match="MMSheaf has no vectors of items to judge"):
        judge_items(without, {}, {})
    with pytest.raises(ConfigError, match="k is 0, expected 1 or more"):
        judge_items(embeddings, {}, {}, k=0)


@pytest.fixture
def table(tmp_path):
    header = "item_id:token\ttitle:token_seq\tgenre:token_seq\tyear:token\tone:token\tlength:float"
    lines = [
        f"i{item}\tword{item} more{item}\tA{item % 3} B{item % 2} A{item % 3}\t{year}\tx\t{item}"
        for item, year in enumerate(["", "in 1", "in 2", "in 3"] * 15)
    ]
    path = tmp_path / "toy.item"
    path.write_text("\n".join([header, *lines, "stranger\tx\tC\t9\tx\t1"]) + "\n")
    return path


def test_columns_with_few_values_are_taken_by_word_or_by_cell(table):
    items = np.array(["i5", "i3", "absent", "i4"])
    found = item_groups(table, np.array([f"i{item}" for item in range(60)]))
    assert list(found) == ["genre", "year"] and 2 * 60 > MOST_VALUES
    assert [held.shape[1] for held in found.values()] == [5, 3]
    some = item_groups(table, items, ["genre", "title"])
    assert list(some) == ["genre", "title"] and some["genre"].max() == 1
    overlap = (some["genre"] @ some["genre"].T).toarray()
    assert overlap.tolist() == [[2, 1, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2]]
    assert (some["title"] @ some["title"].T).toarray().tolist() == np.diag([2, 2, 0, 2]).tolist()


@pytest.mark.parametrize("column", ["gener", "length", "item_id"])
def test_a_column_that_is_not_there_or_of_no_tokens_is_refused(table, column):
    with pytest.raises(
        ConfigError, match=f"names '{column}'.*no column of tokens in toy.item; it has title, genre, year"
    ):
        item_groups(table, np.array(["i1"]), [column])


def test_a_table_of_other_things_is_refused(tmp_path):
    (tmp_path / "x.item").write_text("length:float\tgenre:token\n1\tA\n")
    with pytest.raises(DataError, match="begins with 'length:float'; expected item_id:token first"):
        item_groups(tmp_path / "x.item", np.array(["i1"]))
