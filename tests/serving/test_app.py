"""Answers are those of the embeddings, and what is wrong with a request is said in a sentence."""

import asyncio
import json
import re
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest
from starlette.exceptions import HTTPException

from recbole_sheaf.embeddings import explain, similar_items, top_lists, with_users
from recbole_sheaf.embeddings.embeddings import TRAIN
from recbole_sheaf.exports.sources import Source
from recbole_sheaf.files.plain_text import one_line
from recbole_sheaf.serving.app import build_app
from recbole_sheaf.serving.catalogue import Catalogue
from recbole_sheaf.serving.limits import MOST_BYTES, MOST_ITEMS, LimitedBody
from tests.embeddings.toys import history_of
from tests.serving.conftest import client_of


def listed(answer):
    assert answer.status_code == 200, answer.text
    return [(item["item"], item["score"]) for item in answer.json()["items"]]


def expected(lists, items):
    ((_, places, scores),) = (each for some in lists for each in some)
    return list(zip(items[places].tolist(), [pytest.approx(score, rel=1e-6) for score in scores.tolist()]))


@pytest.mark.parametrize("seen", ["masked", "kept"])
@pytest.mark.parametrize("user", ["u4", "u17"])
def test_lists_of_a_user_are_those_of_the_embeddings(client, embeddings, user, seen):
    answer = client.post("/recommend", json={"user": user, "k": 7, "seen": seen})
    lists = top_lists(embeddings, embeddings.user_rows([user]), 7, seen=seen)
    assert listed(answer) == expected(lists, embeddings.items)


def test_seen_items_are_masked_unless_they_are_kept(client, embeddings):
    row = int(embeddings.user_rows(["u4"])[0])
    has = set(embeddings.items[history_of(embeddings, row, (0, 1, 2))].tolist())
    masked, kept = (
        {item for item, _ in listed(client.post("/recommend", json={"user": "u4", "k": 60, "seen": seen}))}
        for seen in ("masked", "kept")
    )
    assert kept == set(embeddings.items.tolist()) and masked == kept - has
    default = listed(client.post("/recommend", json={"user": "u4"}))
    assert len(default) == 20 and not has & {item for item, _ in default}


def test_items_stand_for_somebody_the_model_never_met(client, embeddings):
    items = ["i2", "i6", "i10", "i6"]
    lists = top_lists(with_users(embeddings, {"somebody": items}), np.array([0]), 5)
    answer = client.post("/recommend", json={"items": items, "k": 5, "explain": True})
    assert listed(answer) == expected(lists, embeddings.items)
    for item in answer.json()["items"]:
        assert sum(item["parts"].values()) == pytest.approx(item["score"], abs=1e-5)
        assert {each["item"] for each in item["contributions"]} == {"i2", "i6", "i10"}
    again = client.post("/recommend", json={"user": "u4", "k": 5})
    assert listed(again) == expected(top_lists(embeddings, embeddings.user_rows(["u4"]), 5), embeddings.items)


def test_parts_and_loudest_items_are_those_of_explain(client, embeddings):
    answer = client.post("/recommend", json={"user": "u9", "k": 60, "explain": True}).json()["items"]
    assert len(answer) > 40
    for item in answer:
        alone = explain(embeddings, "u9", item["item"])
        assert item["parts"] == pytest.approx(alone.parts, abs=1e-6) and list(item["parts"]) == list(alone.parts)
        assert [each["item"] for each in item["contributions"]] == [token for token, _ in alone.contributions[:3]]
        says = [each["contribution"] for each in item["contributions"]]
        assert says == pytest.approx([value for _, value in alone.contributions[:3]], abs=1e-6)
    assert list(answer[0]["parts"]) == client.get("/health").json()["parts"]
    assert "parts" not in client.post("/recommend", json={"user": "u9"}).json()["items"][0]


@pytest.mark.parametrize("by", ["embeddings", "coefficients"])
def test_similar_items_are_those_of_the_embeddings(client, embeddings, by):
    answer = client.post("/similar", json={"item": "i3", "k": 6, "by": by})
    lists = similar_items(embeddings, embeddings.item_rows(["i3"]), 6, by)
    assert listed(answer) == expected(lists, embeddings.items)


def test_vectors_give_the_score_with_what_the_history_says(client, embeddings):
    user, item, somebody = (
        client.post("/embed", json=whose).json() for whose in ({"user": "u4"}, {"item": "i8"}, {"items": ["i2", "i6"]})
    )
    row, place = embeddings.user_rows(["u4"])[0], embeddings.item_rows(["i8"])[0]
    says = embeddings.coefficients[history_of(embeddings, row, (TRAIN,)), place].sum()
    score = np.dot(user["vector"], item["vector"]) + says
    assert score == pytest.approx(explain(embeddings, "u4", "i8").score, abs=1e-5)
    assert [block["name"] for block in item["blocks"]] == ["id", "image", "text", "item popularity"]
    np.testing.assert_allclose(
        somebody["vector"], with_users(embeddings, {"x": ["i2", "i6"]}).user_vectors[0], rtol=1e-6
    )


def test_titles_come_along_where_there_are_some(client):
    items = {item["item"]: item for item in client.post("/recommend", json={"user": "u3", "k": 60}).json()["items"]}
    similar = client.post("/similar", json={"item": "i5", "k": 59}).json()["items"]
    titled = [item.get("title") for item in similar if item["item"] == "i3"]
    assert titled == ["Item no. 3"] and all("title" not in items[item] for item in items if item != "i3")


def test_no_answer_holds_a_control_character(embeddings):
    """Of tokens, titles or the model's name: JSON gives each by its number, the description leaves it out."""
    odd = ["a\x9b31m", "b\u202ec", "d\u2028e", "f\x1b[2J\x85g"]
    items = embeddings.items.astype(object)
    items[: len(odd)] = odd
    held = replace(embeddings, items=items.astype(str), metadata={**embeddings.metadata, "model": "x\x9b31m"})
    client = client_of(Catalogue(Source(held), titles={token: token for token in odd}))
    asked = {"user": "u4", "k": 60, "seen": "kept", "explain": True}
    answers = [client.post("/recommend", json=asked), client.post("/similar", json={"item": odd[0], "k": 59})]
    answers += [client.get("/names", params={"kind": "item", "text": text}) for text in ("\x9b", "\u202e", "31m")]
    answers += [client.get("/health"), client.get("/openapi.json"), client.get("/docs")]
    answers += [client.post("/similar", json={"item": odd[0] + "x"}), client.post("/similar", json={"ite\x9bm": 1})]
    answers += [client.get("/posters/" + quote(odd[1]))]
    assert [answer.status_code for answer in answers] == [200] * 8 + [404, 422, 404]
    for answer in answers:
        assert one_line(answer.text.replace("\n", "")) == answer.text.replace("\n", ""), answer.url
    found = answers[0].json()["items"]
    assert set(odd) <= {item["item"] for item in found} and set(odd) <= {item.get("title") for item in found}
    assert answers[2].json()[0] == {"token": odd[0], "title": odd[0]}
    assert answers[5].json()["model"] == "x\x9b31m"


def test_health_says_what_is_served(client):
    assert client.get("/health").json() == {
        "status": "ok",
        "model": "MMSheaf",
        "version": "",
        "dataset": "toy",
        "users": 30,
        "items": 60,
        "parts": ["id", "image", "text", "item popularity", "mean of rare items", "item sheaf"],
    }


WRONG = [
    ("recommend", {"user": "u4x"}, 404, "knows no user 'u4x' .did you mean 'u4'"),
    ("recommend", {"items": ["i3", "i4x"]}, 404, "knows no item 'i4x' .did you mean 'i4'"),
    ("recommend", {"user": ""}, 422, "user: .*at least 1 char"),
    ("recommend", {"user": "u" * 501}, 422, "user: .*at most 500"),
    ("recommend", {"user": "u4", "k": 61}, 400, "k is 61, but there are 60 items to choose from"),
    ("recommend", {"user": "u4", "k": 0}, 422, "k: .*greater than or equal to 1 .it is 0"),
    ("recommend", {"user": "u4", "k": 1001}, 422, "k: .*less than or equal to 1000"),
    ("recommend", {"user": "u4", "k": "5"}, 422, "k: .*valid integer .it is '5'"),
    ("recommend", {"user": "u4", "k": True}, 422, "k: .*valid integer"),
    ("recommend", {"user": "u4", "k": 101, "explain": True}, 422, "k is 101, and at most 100 scores are explained"),
    ("recommend", {"user": "u4", "seen": "no"}, 422, "seen: .*'masked' or 'kept' .it is 'no'"),
    ("recommend", {"user": "u4", "sen": "kept"}, 422, "sen: Extra inputs are not permitted"),
    ("recommend", {"user": "u4", "items": ["i3"]}, 422, "^give one of user, users and items"),
    ("recommend", {}, 422, "^give one of user, users and items"),
    ("recommend", {"items": []}, 422, "items: .*at least 1 item"),
    ("recommend", {"items": ["i3"] * (MOST_ITEMS + 1)}, 422, f"items: .*at most {MOST_ITEMS} items"),
    ("recommend", [1], 422, "valid dictionary"),
    ("similar", {"item": "i4x"}, 404, "knows no item 'i4x' .did you mean 'i4'"),
    ("similar", {"item": "i4", "k": 60}, 400, "k is 60, but there are 59 items"),
    ("similar", {}, 422, "item: Field required; see /docs$"),
    ("embed", {"user": "u4x"}, 404, "knows no user 'u4x'"),
    ("embed", {"item": "i4x"}, 404, "knows no item 'i4x'"),
    ("embed", {"user": "u4", "item": "i4"}, 422, "^give one of user, item and items"),
]


@pytest.mark.parametrize("path, body, status, sentence", WRONG)
def test_what_is_wrong_is_said_in_a_sentence(client, path, body, status, sentence):
    answer = client.post(f"/{path}", json=body)
    assert answer.status_code == status and list(answer.json()) == ["error"]
    said = answer.json()["error"]
    assert re.search(sentence, said) and "\n" not in said and len(said) < 500


def test_a_body_that_is_no_json_is_said_to_be_none(client):
    answer = client.post("/recommend", content=b'{"user": ', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and answer.json()["error"].startswith("the body is no JSON (Expecting value")
    assert client.post("/recommend", content=b"\xff\xfe", headers={"Content-Type": "application/json"}).is_client_error
    assert client.get("/nowhere").json() == {"error": "Not Found"}


async def asked(app, headers, receive):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/recommend", "raw_path": b"/recommend", "query_string": b""}
    own = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), *headers]
    await app({**scope, "headers": own, "scheme": "http", "http_version": "1.1"}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])["error"]


def test_a_body_that_says_it_is_100_mb_is_refused_unread(embeddings):
    async def receive():
        raise AssertionError("the body was read")

    headers = [(b"content-length", b"100000000")]
    status, headers, said = asyncio.run(asked(build_app(Catalogue(Source(embeddings))), headers, receive))
    assert status == 413 and headers[b"connection"] == b"close"
    assert said == f"the body has more than {MOST_BYTES:,} bytes; send fewer items at once"


@pytest.mark.parametrize("claimed", [[], [(b"content-length", b"10")], [(b"content-length", b"x")]])
def test_a_body_that_grows_is_refused_at_the_limit(embeddings, claimed):
    came = 0

    async def receive():
        nonlocal came
        came += 1 << 16
        return {"type": "http.request", "body": b" " * (1 << 16), "more_body": came < 4 * MOST_BYTES}

    status, _, _ = asyncio.run(asked(build_app(Catalogue(Source(embeddings))), claimed, receive))
    assert status == 413 and came == MOST_BYTES + (1 << 16)


def test_a_body_that_is_not_whole_in_time_is_refused():
    pieces = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive():
        for piece in pieces:
            return piece
        await asyncio.sleep(30)

    async def reads(scope, receive, send):
        while (await receive())["more_body"]:
            pass

    limited = LimitedBody(reads, seconds=0.05)({"type": "http", "headers": []}, receive, None)
    with pytest.raises(HTTPException, match="the body was not whole after 0.05 s") as refused:
        asyncio.run(asyncio.wait_for(limited, 10))
    assert refused.value.status_code == 408 and refused.value.headers == {"Connection": "close"}


def test_a_list_as_long_as_may_be_fits_the_body(client):
    items = [f"{number:0500}" for number in range(MOST_ITEMS)]
    answer = client.post("/recommend", json={"items": items})
    assert answer.status_code == 404 and "and 997 more" in answer.json()["error"]


def test_a_model_without_pieces_recommends_and_says_what_it_cannot(scores_alone):
    catalogue = Catalogue(scores_alone)
    catalogue.warm()
    client = client_of(catalogue)
    assert [item for item, _ in listed(client.post("/recommend", json={"user": "u4", "k": 2, "seen": "kept"}))] == [
        str(catalogue.embeddings.items[59]),
        str(catalogue.embeddings.items[58]),
    ]
    assert client.get("/health").json()["parts"] == []
    for path, body, sentence in (
        ("recommend", {"user": "u4", "explain": True}, "have no parts"),
        ("recommend", {"items": ["i3"]}, "only training gives it a user's vector"),
        ("similar", {"item": "i3"}, "neither embeddings nor coefficients"),
        ("embed", {"user": "u4"}, "MMSheaf has no vectors"),
    ):
        answer = client.post(f"/{path}", json=body)
        assert answer.status_code == 400 and sentence in answer.json()["error"]


def test_half_precision_answers_the_same_to_three_digits(embeddings, client):
    catalogue = Catalogue(Source(embeddings.with_floats("float16")))
    half = client_of(catalogue)
    body = {"user": "u4", "k": 30, "explain": True}
    exact, rounded = (dict(listed(each.post("/recommend", json=body))) for each in (client, half))
    shared = exact.keys() & rounded.keys()
    assert len(shared) > 25
    assert [rounded[item] for item in shared] == pytest.approx([exact[item] for item in shared], abs=0.01)
    assert half.post("/similar", json={"item": "i3", "by": "coefficients"}).status_code == 200
    assert catalogue.embeddings.item_vectors.dtype == np.float32  # half precision would be turned into it each time
