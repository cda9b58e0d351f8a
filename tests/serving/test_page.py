"""The page and its pictures: nothing from other hosts, no markup from strangers, no file but the pictures."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from starlette.testclient import TestClient

from recbole_sheaf.embeddings.embeddings import PARTS, Histories
from recbole_sheaf.errors import DataError
from recbole_sheaf.exports.sources import Source
from recbole_sheaf.serving.app import build_app
from recbole_sheaf.serving.catalogue import Catalogue
from recbole_sheaf.serving.posters import MOST_PICTURE, find_posters
from tests.embeddings.toys import history_of
from tests.serving.conftest import client_of
from tests.serving.listening import answer as raw
from tests.serving.listening import listening, request
from tests.serving.small_exports import small_embeddings

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc0500f0004"
    "850181dd8db01d0000000049454e44ae426082"
)
ATTACK = "<img src=x onerror=\"document.title='broken into'\"><b>&amp;"


@pytest.fixture
def folder(tmp_path):
    """Pictures of three items, and what is none."""
    posters = tmp_path / "posters"
    posters.mkdir()
    for name in ("i3.png", "i5.JPG", "i14.jpg", "stranger.png", "i7.svg", "i8.txt"):
        (posters / name).write_bytes(PIXEL)
    (posters / "i9.png").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    (posters / "i11.png").symlink_to(tmp_path / "secret.png")
    (posters / "i12.png").symlink_to(posters / "i3.png")
    return posters


def test_pictures_are_files_of_the_folder_named_after_items(embeddings, folder):
    found = find_posters(folder, embeddings)
    assert {item: picture.path.name for item, picture in found.items()} == {
        "i3": "i3.png",
        "i5": "i5.JPG",
        "i12": "i3.png",
        "i14": "i14.jpg",
    }
    assert found["i12"].media_type == "image/png" and found["i5"].media_type == "image/jpeg"


def test_a_picture_that_would_fill_the_memory_is_refused(embeddings, folder):
    os.truncate(folder / "i3.png", MOST_PICTURE + 1)
    with pytest.raises(
        DataError, match=r"2 pictures in .* more than 8 MiB .first: i3.png, 8.0 MiB.; make them smaller"
    ):
        find_posters(folder, embeddings)
    os.truncate(folder / "i3.png", MOST_PICTURE)
    assert len(find_posters(folder, embeddings)["i3"].read()) == MOST_PICTURE


def _other_content(path, secret):
    path.write_bytes(PIXEL[::-1])
    os.utime(path, ns=(0, 0))


def _shorter(path, secret):
    path.write_bytes(PIXEL[:-1])


def _same_content_anew(path, secret):
    shutil.copy2(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)


def _link_to(path, secret):
    path.unlink()
    path.symlink_to(secret)


def _hard_link_to(path, secret):
    path.unlink()
    os.link(secret, path)


def _link_to_another_picture(path, secret):
    path.unlink()
    path.symlink_to(path.with_name("i5.JPG"))


def _folder(path, secret):
    path.unlink()
    path.mkdir()


def _pipe(path, secret):
    path.unlink()
    os.mkfifo(path)


def _folder_swapped(path, secret):
    path.parent.rename(path.parent.with_name("before"))
    path.parent.symlink_to(secret.parent)


SWAPS = [
    *(_other_content, _shorter, _same_content_anew, _link_to, _hard_link_to, _link_to_another_picture),
    *(_folder, _pipe, _folder_swapped, lambda path, secret: path.unlink()),
]


@pytest.mark.parametrize("swap", SWAPS)
def test_a_picture_that_is_another_file_by_now_is_not_there(embeddings, folder, tmp_path, swap):
    client = client_of(Catalogue(Source(embeddings), posters=find_posters(folder, embeddings)))
    assert client.get("/posters/i14").status_code == 200
    secret = tmp_path / "elsewhere" / "i14.jpg"
    secret.parent.mkdir()
    secret.write_bytes(b"?" * len(PIXEL))
    os.utime(secret, ns=(0, (folder / "i14.jpg").stat().st_mtime_ns))
    swap(folder / "i14.jpg", secret)
    answer = client.get("/posters/i14")
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "the picture of 'i14' went away or was changed; start the server again to show it"
    }


def test_a_folder_without_pictures_of_items_is_refused(embeddings, tmp_path):
    with pytest.raises(DataError, match="no picture in .* is named after an item, such as i.*jpg"):
        find_posters(tmp_path, embeddings)
    with pytest.raises(DataError, match="absent is no folder"):
        find_posters(tmp_path / "absent", embeddings)


def test_a_picture_is_found_by_its_item_and_by_nothing_else(embeddings, folder):
    client = client_of(Catalogue(Source(embeddings), posters=find_posters(folder, embeddings)))
    answer = client.get("/posters/i3")
    assert answer.content == PIXEL and answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/posters/i5").headers["content-type"] == "image/jpeg"
    for wrong in ("../secret.png", "%2e%2e%2fsecret.png", "i11", "i7", "i9", "i3.png", "stranger", "//etc/passwd", ""):
        answer = client.get(f"/posters/{wrong}")
        assert answer.status_code == 404 and b"secret" not in answer.content.replace(b"secret.png", b"")
    items = client.post("/recommend", json={"user": "u3", "k": 60, "seen": "kept"}).json()["items"]
    told = {item["item"]: item["poster"] for item in items if "poster" in item}
    assert told == {item: f"posters/{item}" for item in ("i3", "i5", "i12", "i14")}


@pytest.mark.parametrize("path", ["", "page.js", "words.js", "page.css", "icon.svg"])
def test_the_page_is_whole_and_may_ask_this_server_alone(client, path):
    answer = client.get(f"/{path}")
    assert answer.status_code == 200 and len(answer.content) > 100
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "*" not in policy
    text = answer.text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|style=| on[a-z]+=", text)


def test_what_the_page_names_is_there(client):
    page, script = client.get("/").text, client.get("/page.js").text
    for name in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert client.get(f"/{name}").status_code == 200
    named = set(re.findall(r'\bat\("([^"]+)"\)', script)) | set(re.findall(r'of \["(k)", "(kept)"\]', script)[0])
    assert len(named) > 8 and named <= set(re.findall(r'id="([^"]+)"', page))
    assert re.findall(r'name="mode" value="(\w+)"', page) == re.findall(r"^  (\w+): \{ kind", script, re.M)


def words_of(client):
    """By language and key."""
    return json.loads(client.get("/words.js").text.partition("export const WORDS = ")[2].rstrip().rstrip(";"))


def test_the_page_says_the_same_in_each_language(client):
    words, page, script = words_of(client), client.get("/").text, client.get("/page.js").text
    assert list(words) == re.findall(r'href="\?language=(\w+)"', page) == ["en", "ru"]
    assert list(words["en"]) == list(words["ru"])
    for key, text in words["en"].items():
        there = words["ru"][key]
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", there)), key
        assert re.search("[а-яё]", there), f"{key} is in no Russian"
        assert not re.search("[а-яё]", text), f"{key} is in no English"
    for key, text in re.findall(r'data-text="(\w+)">([^<]*)<', page):
        assert words["en"][key] == text
    for key, text in re.findall(r'data-label="(\w+)" aria-label="([^"]*)"', page):
        assert words["en"][key] == text
    used = set(re.findall(r'data-(?:text|label)="(\w+)"', page)) | set(re.findall(r'say\("(\w+)"', script))
    used |= set(re.findall(r'(?:kind|heading): "(\w+)"', script)) | {"type_user", "type_item", "nobody", "nothing"}
    used |= {"score", "likeness", "valid", "test", "disliked"}
    assert used == {key for key in words["en"] if not key.startswith("part_")}


def operations(client):
    """What /openapi.json says of each, by its path."""
    paths = client.get("/openapi.json").json()["paths"]
    return {path: operation for path, methods in paths.items() for operation in methods.values()}


def test_each_operation_is_described_in_sentences(client):
    described = operations(client)
    assert len(described) == 7
    for path, operation in described.items():
        assert re.fullmatch(r"[A-Z].{20,}\.", operation["summary"]) and operation["summary"].count(" ") > 4, path
        assert operation["description"].endswith(".") and operation["description"] != operation["summary"], path
        for parameter in operation.get("parameters", []):
            assert len(parameter.get("description", "")) > 10, f"{path}: {parameter['name']}"
        for status, answer in operation["responses"].items():
            assert re.fullmatch(r"[A-Z].{20,}\.", answer["description"]), f"{path}: {status}"
            assert status == "200" or answer["content"]["application/json"]["schema"]["$ref"].endswith("/Refusal"), path
    of_bodies = {"200", "400", "404", "408", "413", "421", "422", "503"}
    assert all(set(described[path]["responses"]) == of_bodies for path in ("/recommend", "/similar", "/embed"))
    assert (
        set(described["/history"]["responses"])
        == {"200", "404", "421", "422"}
        == set(described["/posters/{item}"]["responses"])
    )
    assert set(described["/names"]["responses"]) == {"200", "421", "422"}
    assert set(described["/health"]["responses"]) == {"200", "421"}


def test_each_field_of_a_request_is_described(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Recommend", "Similar", "Embed"):
        for field, described in schemas[name]["properties"].items():
            assert len(described.get("description", "")) > 8, f"{name}.{field}"


def test_the_page_of_requests_asks_no_other_host(client):
    docs = client.get("/docs").text
    for address in re.findall(r"""(?:src|href)=["']([^"']+)["']""", docs):
        assert address.startswith("/") and not address.startswith("//") and client.get(address).status_code == 200
    described = client.get("/openapi.json").json()["paths"]
    of_the_page = {"/names", "/history", "/posters/{item}"}
    assert {"/recommend", "/similar", "/embed", "/health"} | of_the_page == set(described)
    assert client.get("/redoc").status_code == 404


def test_other_sites_are_not_let_in(client):
    answer = client.get("/health", headers={"Origin": "https://elsewhere.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = client.options(
        "/recommend", headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    )
    assert asked.status_code == 405 and not [name for name in asked.headers if name.startswith("access-control")]


OWN = [
    "localhost",
    "localhost:8000",
    "LOCALHOST",
    "LocalHost.:80",
    "localhost.",
    "127.0.0.1",
    "127.0.0.1:8000",
    "127.1.2.3",
]
OWN += ["127.255.255.254:1", "[::1]", "[::1]:8000", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:8000", "[::FFFF:7f00:1]"]
STRANGE = ["elsewhere.example", "elsewhere.example:8000", "127.0.0.1.elsewhere.example", "localhost.elsewhere.example"]
STRANGE += [
    "[",
    "",
    "@localhost.x",
    "elsewhere.example@localhost",
    "localhost/..",
    "localhost:80:80",
    "localhost:x",
    "[::1",
]
STRANGE += ["xlocalhost", "localhost..", ".localhost", "128.0.0.1", "0.0.0.0", "127.1", "0x7f.1", "2130706433", "[::2]"]
STRANGE += [
    "[::ffff:10.0.0.1]",
    "[localhost]",
    "::1",
    "127.0.0.1,elsewhere.example",
    "elsewhere.example localhost",
    "*",
]


def test_every_name_of_the_loopback_is_answered_and_no_other(client):
    for host in OWN:
        assert client.get("/health", headers={"Host": host}).status_code == 200, host
    for host in STRANGE:
        answer = client.get("/health", headers={"Host": host})
        assert answer.status_code == 421, host
        assert "answers as localhost or a loopback address alone" in answer.json()["error"]


def test_names_that_are_given_are_answered_too(embeddings):
    client = TestClient(build_app(Catalogue(Source(embeddings)), ["MyBox.", ""]), base_url="http://mybox:80")
    assert client.get("/health").status_code == 200
    assert client.get("/health", headers={"Host": "localhost"}).status_code == 200
    refused = client.get("/health", headers={"Host": "[not a host]"})
    assert refused.status_code == 421 and "answers as localhost or mybox or a loopback" in refused.json()["error"]


def test_head_is_answered_wherever_get_is(embeddings, folder):
    app = build_app(Catalogue(Source(embeddings), posters=find_posters(folder, embeddings)))
    client = TestClient(app, base_url="http://127.0.0.1")
    paths = [route.path for route in app.routes if "GET" in getattr(route, "methods", ())]
    assert {"/", "/health", "/names", "/posters/{item:path}", "/docs", "/openapi.json", "/page.js"} <= set(paths)
    asked = [path.replace("{item:path}", item) for path in paths for item in ("i3", "i4")]
    with listening(app) as (_, port):
        for path in [*asked, "/names?kind=item&text=i3", "/nowhere", "/recommend"]:
            got = client.get(path)
            status, head, body = raw(port, request("HEAD", path, b"", "Connection: close\r\n", ""))
            assert (status, body) == (got.status_code, b""), path
            if path != "/metrics":  # which counts what was asked meanwhile
                assert f"content-length: {got.headers['content-length']}".encode() in head, path


def test_names_are_offered_by_token_and_title(embeddings):
    client = client_of(Catalogue(Source(embeddings), titles={"i3": "The Öresund", "i13": "A bridge"}))
    assert client.get("/names?kind=item&text=öRES").json() == [{"token": "i3", "title": "The Öresund"}]
    assert client.get("/names?kind=user&text=u29").json() == [{"token": "u29"}]
    assert client.get("/names?kind=item&text=i13").json()[0] == {"token": "i13", "title": "A bridge"}
    assert len(client.get("/names?kind=user").json()) == 30 and len(client.get("/names?kind=item").json()) == 50
    assert client.get("/names?kind=bird").status_code == client.get("/names").status_code == 422
    assert client.get(f"/names?kind=user&text={'x' * 501}").status_code == 422


def test_a_history_has_its_parts_titles_and_pictures(embeddings, folder):
    """Of the user whose parts are most, in the order in which they count."""
    pictures = find_posters(folder, embeddings)
    client = client_of(Catalogue(Source(embeddings), {"i3": "Item no. 3"}, pictures))
    for row, user in enumerate(embeddings.users.tolist()):
        answer = client.get("/history", params={"user": user, "k": 60}).json()
        has = {
            part: embeddings.items[history_of(embeddings, row, (place,))].tolist() for place, part in enumerate(PARTS)
        }
        assert [(each["item"], each["part"]) for each in answer["items"]] == [
            (item, part) for part in PARTS for item in has[part]
        ]
        assert (answer["user"], answer["held"], answer["count"]) == (user, True, len(answer["items"]))
        for each in answer["items"]:
            assert each.get("title") == ("Item no. 3" if each["item"] == "i3" else None)
            assert each.get("poster") == (f"posters/{each['item']}" if each["item"] in pictures else None)
    first = client.get("/history", params={"user": user, "k": 2}).json()
    assert first["items"] == answer["items"][:2] and first["count"] == answer["count"] > 2


def test_what_a_user_dislikes_comes_last(model):
    kinds = np.array([-1, 2, -2, 0, 1])
    histories = Histories.of(2, np.zeros(5, dtype=int), np.arange(5), kinds)
    catalogue = Catalogue(Source(replace(small_embeddings("First", range(5)), histories=histories)))
    named = [("i3", "train"), ("i4", "valid"), ("i1", "test"), ("i0", "disliked"), ("i2", "disliked")]
    assert catalogue.history("u0", 9) == (5, named) and catalogue.history("u1", 9) == (0, [])
    assert client_of(catalogue).get("/history?user=u1").json()["held"] is True


def test_an_export_without_histories_says_so(client):
    answer = client_of(Catalogue(Source(small_embeddings("First", range(4))))).get("/history?user=u0").json()
    assert (answer["held"], answer["count"], answer["items"]) == (False, 0, [])
    for asked, status, sentence in (
        ("user=u4x", 404, "knows no user 'u4x' .did you mean 'u4'"),
        ("", 422, "user: Field required"),
        ("user=u4&k=0", 422, "k: .*greater than or equal to 1"),
        ("user=u4&k=1001", 422, "k: .*less than or equal to 1000"),
        (f"user={'u' * 501}", 422, "user: .*at most 500"),
    ):
        answer = client.get(f"/history?{asked}")
        assert answer.status_code == status and re.search(sentence, answer.json()["error"]), asked


@pytest.fixture
def address(embeddings, folder):
    """A server that listens in this process."""
    titles = {item: f"Item no. {item[1:]}" for item in embeddings.items.tolist()}
    titles["i4"] = titles["i5"] = ATTACK
    with listening(build_app(Catalogue(Source(embeddings), titles, find_posters(folder, embeddings)))) as (_, port):
        yield f"http://127.0.0.1:{port}"


def seen_in_a_browser(address, tmp_path, language="en"):
    """The document after its scripts have run in a browser of this language."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/browser"]
    command += [f"--accept-lang={language}", "--virtual-time-budget=10000", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def cards_of(dom):
    return re.findall(r"<li>(?:(?!</?ol).)*?</li>", dom.partition('<ol id="list">')[2].partition("</ol>")[0])


def pieces_of(card):
    """Left and right ends of the parts of a bar, per cent of it, and the places of its marks."""
    number = r"(-?[\d.e-]+)%"
    ends = re.findall(rf'class="part"[^>]* style="left: {number}; width: {number};', card)
    marks = dict(re.findall(rf'<i class="(\w+)" style="left: {number};', card))
    return (
        [(float(left), float(left) + float(width)) for left, width in ends],
        float(marks["zero"]),
        float(marks["sum"]),
    )


needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here; Debian has it as the package 'chromium'"
)


@needs_chromium
def test_a_browser_shows_titles_pictures_and_parts_and_runs_no_title(address, embeddings, tmp_path):
    dom = seen_in_a_browser(f"{address}/#items=i4&items=i5", tmp_path)
    cards = cards_of(dom)
    assert len(cards) == 12 and "<title>recbole-sheaf</title>" in dom and '<section id="owned" hidden' in dom
    assert "&lt;img src=x onerror=" in dom and "<img src=x" not in dom and dom.count("<b>") == 0
    assert all("Item no." in card or "&lt;img" in card for card in cards)
    for part in ("id", "image", "text", "item sheaf"):
        assert sum(f"</span>{part} " in card for card in cards) > 6
    assert "say most: Item no. " not in dom and "say most: &lt;img" in dom
    shown = [float(re.search(r"score (-?[\d.]+)<", card)[1]) for card in cards]
    assert shown == sorted(shown, reverse=True) and 'id="refused" role="alert" hidden' in dom
    similar = seen_in_a_browser(f"{address}/#similar=i1", tmp_path)
    assert similar.count('<div class="about">') == 12 and 'src="posters/i3"' in similar
    assert "knows no user 'nobody'" in seen_in_a_browser(f"{address}/#user=nobody", tmp_path)


@needs_chromium
def test_bars_have_one_scale_for_all_items(client, address, tmp_path):
    """The pieces are those of the answer times one factor, of whichever item; marks stand at 0 and the score."""
    cards = cards_of(seen_in_a_browser(f"{address}/#user=u4", tmp_path))
    items = client.post("/recommend", json={"user": "u4", "k": 12, "explain": True}).json()["items"]
    sides = [[sum(v for v in item["parts"].values() if (v < 0) == low) for item in items] for low in (True, False)]
    low, high = min(sides[0]), max(sides[1])
    assert low < 0 < high
    for card, item in zip(cards, items, strict=True):
        pieces, zero, score = pieces_of(card)
        assert zero == pytest.approx(100 * -low / (high - low), abs=0.01)
        assert score == pytest.approx(zero + 100 * item["score"] / (high - low), abs=0.02)
        ends = {True: zero, False: zero}
        for (left, right), value in zip(pieces, item["parts"].values(), strict=True):
            start, end = ends[value < 0], ends[value < 0] + 100 * value / (high - low)
            assert (left, right) == pytest.approx((min(start, end), max(start, end)), abs=0.02)
            ends[value < 0] = end


@needs_chromium
def test_the_page_speaks_the_language_of_the_browser_or_of_the_address(address, embeddings, tmp_path):
    dom = seen_in_a_browser(f"{address}/#user=u4", tmp_path, "ru-RU,ru")
    assert '<html lang="ru">' in dom and ">Рекомендации</h1>" in dom and "For user" not in dom
    assert "MMSheaf на toy: пользователей 30, объектов 60" in dom and "</span>пучок на объектах " in dom
    assert re.search(r"оценка −?\d+,\d{3}<", dom) and "Шкала у всех полос одна" in dom
    assert 'href="?language=en#user=u4"' in dom and re.search(r'aria-current="true"[^>]*>Русский', dom)
    dom = seen_in_a_browser(f"{address}/?language=en#user=nobody", tmp_path, "ru-RU,ru")
    assert '<html lang="en">' in dom and ">Recommendations</h1>" in dom and ">the model knows no user" in dom
    dom = seen_in_a_browser(f"{address}/?language=xx#user=u4", tmp_path, "de-DE,de")
    assert '<html lang="en">' in dom
    owned = dom.partition('<ol id="history">')[2].partition("</ol>")[0]
    has = client_history(embeddings, "u4")
    assert f"What user u4 has: {len(has)}<" in dom
    assert re.findall(r'class="name">(Item no. \d+|&lt;img)', owned) == [title_of(item) for item in has[:12]]
    assert bool(re.search(r'<button id="whole"[^>]* hidden', dom)) == (len(has) <= 12)


def client_history(embeddings, user):
    """Items of a user: those of the training, then those kept for validation and test."""
    row = int(embeddings.user_rows([user])[0])
    return [item for part in (0, 1, 2) for item in embeddings.items[history_of(embeddings, row, (part,))].tolist()]


def title_of(item):
    return "&lt;img" if item in ("i4", "i5") else f"Item no. {item[1:]}"


@needs_chromium
def test_the_page_says_that_there_are_no_histories(tmp_path):
    with listening(build_app(Catalogue(Source(small_embeddings("First", range(12)))))) as (_, port):
        dom = seen_in_a_browser(f"http://127.0.0.1:{port}/#user=u0", tmp_path)
    assert re.search(r'<p id="owned-note">What is served holds no histories of users', dom)
    assert re.search(r'<button id="whole"[^>]* hidden', dom) and len(cards_of(dom)) == 12
