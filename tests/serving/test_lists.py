"""Requests of a platform: filters, several users, clicks, users nobody knows; and what of them is refused."""

import re

import numpy as np
import pytest

from recbole_sheaf.embeddings.new_users import with_clicks
from recbole_sheaf.embeddings.ranking import PieceScores
from recbole_sheaf.exports.sources import Source
from recbole_sheaf.serving.catalogue import Catalogue
from recbole_sheaf.serving.limits import MOST_CHOSEN, MOST_LISTED, MOST_USERS
from tests.embeddings.toys import history_of, scores_by_definition
from tests.serving.conftest import client_of

AUTHORS = [f"a{item % 4}" for item in range(60)]


@pytest.fixture(scope="module")
def client(embeddings, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "toy.item"
    lines = [f"i{item}\t{AUTHORS[item]}\t{item}" for item in range(60)]
    path.write_text("\n".join(["item_id:token\tauthor:token\tduration:float", *lines]) + "\n")
    catalogue = Catalogue(Source(embeddings), item_table=path)
    catalogue.read_table()
    return client_of(catalogue)


def asked(client, **body):
    answer = client.post("/recommend", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def items_of(found):
    return [each["item"] for each in found["items"]]


def expected(embeddings, user, k, allowed=lambda number: True, most=60):
    """The best items down the list of dense scores, so many of an author."""
    row = int(embeddings.user_rows([user])[0])
    scores, seen = scores_by_definition(embeddings)[row], set(history_of(embeddings, row, (0, 1, 2)))
    taken = []
    for place in sorted(range(60), key=lambda place: -scores[place]):
        number = int(embeddings.items[place][1:])
        authors = [AUTHORS[int(item[1:])] for item in taken]
        if place not in seen and allowed(number) and len(taken) < k and authors.count(AUTHORS[number]) < most:
            taken.append(str(embeddings.items[place]))
    return taken


def test_filters_leave_the_best_of_what_is_left(client, embeddings):
    body = {"where": "duration between 2 and 40", "at_most": 2, "per": "author"}
    body["without"] = best = items_of(asked(client, user="u4", k=3, **body))
    found = asked(client, user="u4", k=7, **body)
    left = expected(embeddings, "u4", 7, lambda number: f"i{number}" not in best and 2 <= number <= 40, 2)
    assert items_of(found) == left and len(left) == 7 and "by" not in found
    explained = asked(client, user="u4", k=7, explain=True, **body)
    assert items_of(explained) == left and "parts" in explained["items"][0]
    candidates = [f"i{number}" for number in range(20, 30)]
    among = asked(client, user="u4", among=candidates, seen="masked")
    assert items_of(among) == expected(embeddings, "u4", 20, lambda number: 20 <= number < 30)


def test_several_users_get_their_own_lists_in_their_order(client, embeddings):
    users = ["u9", "u4", "nobody", "u17"]
    firsts = asked(client, users=users, k=1, unknown="popular")["lists"]
    without = sorted({item for each in firsts for item in items_of(each)})
    found = asked(client, users=users, k=5, unknown="popular", without=without)["lists"]
    assert [each["user"] for each in found] == users
    for each in found:
        if each["user"] != "nobody":
            assert items_of(each) == expected(embeddings, each["user"], 5, lambda number: f"i{number}" not in without)
            assert "by" not in each
    counts = [0] * 60
    for user in range(len(embeddings.users)):
        for item in history_of(embeddings, user):
            counts[item] += embeddings.items[item] not in without
    best = sorted(range(60), key=lambda item: -counts[item])[:5]
    assert items_of(found[2]) == embeddings.items[best].tolist() and found[2]["by"] == "popularity"
    assert [item["score"] for item in found[2]["items"]] == [counts[item] for item in best]
    alone = asked(client, user="nobody", k=5, unknown="popular", without=without)
    assert alone == {"items": found[2]["items"], "by": "popularity", "model": "MMSheaf", "version": ""}


def test_several_users_keep_what_they_have_seen_where_that_is_asked(client, embeddings):
    masked, kept = (asked(client, users=["u9", "u4"], k=60, seen=seen)["lists"] for seen in ("masked", "kept"))
    for user, without, every in zip(("u9", "u4"), masked, kept):
        assert set(items_of(every)) == set(embeddings.items.tolist())
        assert items_of(without) == expected(embeddings, user, 60)


def test_clicks_move_the_list_and_are_left_out_of_it(client, embeddings):
    clicked = ["i2", "i40", "i57"]
    found = asked(client, user="u4", clicked=clicked, k=8, explain=True)
    longer = with_clicks(embeddings, "u4", clicked)
    (scores,) = PieceScores(longer)(np.array([0]))
    seen = set(history_of(longer, 0, (0, 1, 2)))
    best = [place for place in sorted(range(60), key=lambda place: -scores[place]) if place not in seen][:8]
    assert items_of(found) == embeddings.items[best].tolist() and not set(clicked) & set(items_of(found))
    assert all(sum(item["parts"].values()) == pytest.approx(item["score"], abs=1e-5) for item in found["items"])


WRONG = [
    ({"user": "u4", "where": "duration <"}, 400, "^where=.* is no SQL"),
    ({"user": "u4", "where": "exists(from read_csv('x'))"}, 400, "^where=.* holds a subquery"),
    ({"user": "u4", "where": "read_text('/etc/passwd') = ''"}, 400, "^where=.* calls 'read_text'"),
    ({"user": "u4", "where": "length < 3"}, 400, "where names the column 'length'"),
    ({"user": "u4", "where": "x" * 2001}, 422, "where: .*at most 2000 char"),
    ({"user": "u4", "where": "duration < 0"}, 400, "without and where leave none"),
    ({"user": "u4", "at_most": 2}, 422, "^give both at_most and per"),
    ({"user": "u4", "at_most": 0, "per": "author"}, 422, "at_most: .*greater than or equal to 1"),
    ({"user": "u4", "at_most": 2, "per": "autor"}, 400, "per=... names the column 'autor' .did you mean 'author'"),
    ({"user": "u4", "without": ["i4x"]}, 404, "knows no item 'i4x'"),
    ({"user": "u4", "without": ["i4"] * (MOST_CHOSEN + 1)}, 422, f"without: .*at most {MOST_CHOSEN} items"),
    ({"user": "u4", "among": ["i4"], "without": ["i4"]}, 400, "of 1 items to choose among"),
    ({"user": "u4", "among": "new"}, 400, "among is new, but there are no new items"),
    ({"users": []}, 422, "users: .*at least 1 item"),
    ({"users": ["u4"] * (MOST_USERS + 1)}, 422, f"users: .*at most {MOST_USERS} items"),
    ({"users": ["u4"] * 11, "k": 1000}, 422, f"11 lists of 1000 items are 11,000, and at most {MOST_LISTED:,}"),
    ({"users": ["u4", "u4x"]}, 404, "knows no user 'u4x'"),
    ({"users": ["u4"], "explain": True}, 422, "^explain is of one user"),
    ({"users": ["u4"], "clicked": ["i1"]}, 422, "^clicked is of one user"),
    ({"users": ["u4"], "user": "u4"}, 422, "^give one of user, users and items"),
    ({"user": "u4x", "unknown": "refused"}, 404, "knows no user 'u4x'"),
    ({"user": "u4", "clicked": ["i4x"]}, 404, "knows no item 'i4x'"),
    ({"user": "u4x", "clicked": ["i4"], "unknown": "popular"}, 404, "knows no user 'u4x'"),
]


@pytest.mark.parametrize("body, status, sentence", WRONG)
def test_what_is_wrong_is_said_in_a_sentence(client, body, status, sentence):
    answer = client.post("/recommend", json=body)
    assert answer.status_code == status and list(answer.json()) == ["error"], answer.text
    said = answer.json()["error"]
    assert re.search(sentence, said) and "\n" not in said and len(said) < 700


def test_an_export_without_a_table_says_how_to_give_one(embeddings):
    client = client_of(Catalogue(Source(embeddings)))
    answer = client.post("/recommend", json={"user": "u4", "where": "duration < 3"})
    assert answer.status_code == 404 and "give one by item_table=shop" in answer.json()["error"]
