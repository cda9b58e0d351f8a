"""The setting ``modalities``: what a list may hold, and one sentence for each way to get it wrong."""

import pytest

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.settings.config import RULES, check_ranges
from recbole_sheaf.settings.modality_choices import ModalityChoice, chosen_modalities

VIDEO = {"name": "video", "file": "clips.npy", "normalise": "rows"}
TITLE = {"name": "title", "columns": ["title", "plot"], "text_dim": 8}


def test_names_and_mappings_stand_side_by_side():
    assert chosen_modalities(["image", TITLE, VIDEO, {"name": "audio", "normalise": "columns"}]) == [
        ModalityChoice("image"),
        ModalityChoice("title", columns=["title", "plot"], text_dim=8),
        ModalityChoice("video", file="clips.npy", normalise="rows"),
        ModalityChoice("audio", normalise="columns"),
    ]
    assert chosen_modalities("auto") == [ModalityChoice("auto")] and chosen_modalities(None) == []
    assert [choice.by_name for choice in chosen_modalities(["image", TITLE, VIDEO])] == [True, False, False]


@pytest.mark.parametrize("allowed", ["auto", "files_else_text", "image", [], None, ["image"], ["image", TITLE, VIDEO]])
def test_what_is_allowed_passes(allowed):
    check_ranges({"modalities": allowed})


WRONG = {
    "key": ([{**TITLE, "colums": 1}], "no setting of an entry of modalities has the name 'colums' (did you mean 'col"),
    "both": ([{**VIDEO, "columns": ["a"]}], "has a file and columns; give one of them"),
    "both, none": ([{**VIDEO, "columns": []}], "has a file and columns; give one of them"),
    "no name": ([{"columns": ["title"]}], "the entry {'columns': ['title']} of modalities has no name; add one"),
    "twice": (["video", VIDEO], "modalities names 'video' more than once; name each once"),
    "twice plain": (["image", "image"], "modalities names 'image' more than once; name each once"),
    "no column": ([{"name": "x", "columns": []}], "has no column in columns"),
    "one column": ([{"name": "x", "columns": "title"}], "an entry of modalities.columns is 'title', expected a list"),
    "number": ([{"name": "x", "columns": [3]}], "an entry of an entry of modalities.columns is 3, expected a text"),
    "dim": ([{**TITLE, "text_dim": 0}], "an entry of modalities.text_dim is 0, expected a whole number >= 1"),
    "dim alone": ([{"name": "title", "text_dim": 8}], "has text_dim but no columns"),
    "how": ([{**VIDEO, "normalise": "row"}], "expected one of none, rows, columns (did you mean 'rows'?)"),
    "ending": ([{"name": "v", "file": "v.csv"}], "has a file of another kind than .npz, .npy, .parquet, .safetensors"),
    "word": ([{"name": "auto", "normalise": "rows"}], "has the name auto, a word for several"),
    "path": ([{**TITLE, "name": "../x"}], "an entry of modalities.name is '../x', expected a text such as title"),
    "hidden": ([{**TITLE, "name": ".x"}], "an entry of modalities.name is '.x', expected a text such as title"),
    "kind": ([["image"]], "an entry of modalities is ['image'], expected a text or 'key: value' lines with keys among"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence(case):
    given, message = WRONG[case]
    with pytest.raises(ConfigError) as error:
        check_ranges({"modalities": given})
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 250


def test_a_mapping_alone_stands_in_no_list_and_is_refused():
    with pytest.raises(ConfigError, match="modalities is {'name': .*, expected a text or a list, each entry a text or"):
        RULES["modalities"].check("modalities", VIDEO)


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a:b"])
def test_text_modalities_name_no_file_elsewhere(name):
    with pytest.raises(ConfigError, match="a name in text_modalities is "):
        check_ranges({"text_modalities": {name: ["title"]}})
    check_ranges({"text_modalities": {"Заголовок 2.0": ["title"]}})
