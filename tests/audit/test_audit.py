"""Datasets with planted faults, of which each is found and nothing else is; one without; and how it is told."""

import json
from pathlib import Path

import numpy as np
import pytest

from recbole_sheaf.audit import audit_dataset
from recbole_sheaf.cli import main
from tests.audit.datasets import ITEMS, PARTS, USERS, made, written
from tests.conftest import REPOSITORY

FINDINGS = [
    *("repeated pairs", "future of the same user", "future of all users", "cold users", "cold items"),
    *("histories of users", "histories of items"),
    *("missing content: image", "near-duplicates: image", "content and co-choice: image"),
]


@pytest.fixture
def clean(workplace):
    """Lines and vectors without a fault."""
    return made(np.random.default_rng(0))


@pytest.fixture
def write(workplace):
    """Writes a dataset 'shop' and gives the settings that read it."""
    cache = {"cache_dir": str(workplace / "cache")}
    return lambda lines, vectors, name="shop": {**written(workplace / "data" / name, lines, vectors), **cache}


def amiss(audit):
    return {finding.title: finding.verdict for finding in audit.findings if finding.verdict != "ok"}


def finding(audit, title):
    return next(each for each in audit.findings if each.title == title)


def test_nothing_is_amiss_with_a_clean_one(clean, write):
    audit = audit_dataset("shop", settings=write(*clean))
    assert [each.title for each in audit.findings] == FINDINGS
    assert amiss(audit) == {} and audit.verdict == "ok"
    assert audit.sizes == {"users": USERS, "items": ITEMS, "train": 8 * USERS, "valid": USERS, "test": USERS}


def leaking(lines, n=10):
    """The first pairs of training once more in test."""
    return {**lines, "test": lines["test"] + [(user, item, 2300) for user, item, _ in lines["train"][: 8 * n : 8]]}


@pytest.mark.parametrize("keep", [{}, {"repeated_interactions": "keep"}])
def test_a_leak_across_parts_is_found_whether_run_drops_it_or_not(clean, write, keep):
    lines, vectors = clean
    audit = audit_dataset("shop", settings={**write(leaking(lines), vectors), **keep})
    assert amiss(audit) == {"repeated pairs": "broken"} and audit.verdict == "broken"
    found = finding(audit, "repeated pairs")
    assert found.numbers["share_of_test_in_train"] == pytest.approx(10 / (USERS + 10))
    assert found.numbers["share_of_valid_in_train"] == 0 and set(found.examples) <= {f"u{user}" for user in range(10)}
    assert audit.sizes["test"] == USERS + 10 * bool(keep)


def test_near_duplicates_are_found(clean, write):
    lines, vectors = clean
    image = vectors["image"].copy()
    image[1:8] = image[0]
    image[21] = image[20] + 0.001
    audit = audit_dataset("shop", settings=write(lines, {"image": image}))
    assert amiss(audit) == {"near-duplicates: image": "look"}
    found = finding(audit, "near-duplicates: image")
    assert (found.numbers["groups"], found.numbers["items_in_largest_group"]) == (2, 8)
    assert found.numbers["share_of_items_with_equal_row"] == 8 / ITEMS
    assert set(found.examples) <= {f"i{item}" for item in range(8)}


def test_noise_content_is_found_beside_content_that_tells(clean, write):
    lines, vectors = clean
    noise = np.random.default_rng(7).standard_normal((ITEMS, 16))
    settings = write(lines, {**vectors, "audio": noise})
    assert amiss(audit_dataset("shop", settings=settings)) == {"content and co-choice: audio": "broken"}
    shuffled = audit_dataset("shop", settings={**settings, "modalities": ["image"], "features": "shuffled"})
    assert amiss(shuffled) == {"content and co-choice: image": "broken"}


def test_missing_rows_are_found(clean, write):
    lines, vectors = clean
    vectors["image"][::5] = np.nan
    audit = audit_dataset("shop", settings=write(lines, vectors))
    assert amiss(audit) == {"missing content: image": "look"}
    assert finding(audit, "missing content: image").numbers["share_without_row"] == 0.2


def test_a_random_split_of_the_same_interactions_knows_the_future(clean, write, workplace):
    lines, vectors = clean
    settings = write(lines, vectors)
    folder, rows = workplace / "data" / "shop", [row for part in lines.values() for row in part]
    text = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
    (folder / "shop.inter").write_text("\n".join([*text, text[1]]) + "\n")
    del settings["benchmark_filename"]
    both = {"future of the same user": "look", "future of all users": "look"}
    found = audit_dataset("shop", settings=settings)
    assert both.items() <= amiss(found).items()
    repeated = finding(found, "repeated pairs")  # in whichever parts the line fell that is there twice
    assert repeated.verdict == ("look" if any(repeated.numbers.values()) else "ok")
    in_time = audit_dataset("shop", settings={**settings, "split": "leave_one_out"})
    assert both.keys() & amiss(in_time).keys() == set()
    at_once = {"eval_args": {"order": "TO", "group_by": "none", "split": {"RS": [0.8, 0.1, 0.1]}}}
    assert both.keys() & amiss(audit_dataset("shop", settings={**settings, **at_once})).keys() == set()


def test_it_is_the_split_that_run_makes(toy_settings):
    """Times that are loaded for the audit alone change no part."""
    from recbole_sheaf.experiments.settings import resolve_configs
    from recbole_sheaf.experiments.splits import load_split

    sizes = load_split(resolve_configs(["MMSheaf"], "toy", [], toy_settings)[0]).sizes
    assert sizes.items() <= audit_dataset("toy", settings=toy_settings).sizes.items()


def test_content_that_is_not_there_is_said_and_refuses_nothing(clean, write):
    settings = write(clean[0], {})
    assert amiss(audit_dataset("shop", settings=settings)) == {"content": "look"}
    assert amiss(audit_dataset("shop", settings={**settings, "modalities": []})) == {}


def test_cold_items_on_purpose_are_no_fault(toy_settings):
    audit = audit_dataset("toy", settings={**toy_settings, "split": "cold_items"})
    found = finding(audit, "cold items")
    assert found.verdict == "ok" and found.numbers["share_of_test_items"] == 1


def test_ml_100k_as_the_documentation_shows_it(workplace, capsys):
    """943 users, 1,682 items, 100,000 ratings, no pair twice: as its README says."""
    assert main(["audit", "ml-100k", "--modalities=[genre]", "--cache_dir=cache", "--json=a.json"]) == 0
    sizes = json.loads(Path("a.json").read_text())["sizes"]
    assert (sizes["users"], sizes["items"], sum(sizes[part] for part in PARTS)) == (943, 1682, 100_000)
    said = capsys.readouterr().out
    page = (REPOSITORY / "docs" / "bring-your-data.md").read_text(encoding="utf-8")
    shown = next(block for block in page.split("```") if block.startswith("\n[look]"))
    assert [line for line in shown.splitlines()[1:] if line not in said.splitlines()] == []
    assert "[ok] repeated pairs" in said


def options(settings):
    return [f"--{key}={json.dumps(value)}" for key, value in settings.items()]


def test_the_command_shows_it_within_80_columns_and_writes_it(clean, write, workplace, capsys):
    lines, vectors = clean
    vectors["<b>вид"] = vectors.pop("image")
    lines = {part: [("<u>", *row[1:]) if row[0] == "u0" else row for row in rows] for part, rows in lines.items()}
    settings = options(write(leaking(lines), vectors))
    files = ["--to=out/a.html", "--json=out/a.json"]
    assert main(["audit", "shop", *settings, *files]) == 0
    said = capsys.readouterr().out.splitlines()
    assert max(map(len, said)) <= 80
    assert "[broken] repeated pairs" in said and "verdict: broken (9 ok, 0 look, 1 broken)" in said
    assert said[-1] == "written: out/a.html, out/a.json"
    found = json.loads((workplace / "out" / "a.json").read_text(encoding="utf-8"))
    assert found["verdict"] == "broken" and found["dataset"] == "shop" and found["sizes"]["users"] == USERS
    broken = next(each for each in found["findings"] if each["name"] == "repeated pairs")
    assert broken["numbers"]["share_of_test_in_train"] == pytest.approx(10 / 210)
    page = (workplace / "out" / "a.html").read_text(encoding="utf-8")
    assert "Audit of shop" in page and "&lt;b&gt;вид" in page and "&lt;u&gt;" in page
    assert "<b>вид" not in page and "<u>" not in page
    assert "http://" not in page and "https://" not in page and "src=" not in page
    assert page.index("broken</strong>") < page.index(">ok</td>")


def test_strict_fails_where_something_is_broken_and_there_alone(clean, write):
    lines, vectors = clean
    sound, faulty = options(write(lines, vectors)), options(write(leaking(lines), vectors, "leak"))
    assert main(["audit", "shop", *sound, "--strict"]) == 0
    assert main(["audit", "leak", *faulty, "--strict"]) == 1
    assert main(["audit", "leak", *faulty]) == 0


@pytest.mark.parametrize(
    "arguments",
    [["nowhere"], ["toy", "--splitt=time"], ["toy", "--to=."], ["toy", "--modalities=[nothing]"]],
)
def test_bad_input_is_one_sentence(toy, arguments, capsys):
    assert main(["audit", *arguments, "--data_path=data", "--cache_dir=cache"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
