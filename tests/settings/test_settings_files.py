"""Files of settings from strangers: read when they are what they say, refused in a sentence and in time when not."""

import os
from pathlib import Path

import pytest
import yaml

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.settings.settings_files import DEEPEST, MOST_BYTES, MOST_VALUES, SettingsLoader, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{here}: &{here} [{', '.join([f'*{before}'] * 10)}]\n" for before, here in zip("abcdefgh", "bcdefghi")
)
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3000))


def written(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_numbers_texts_and_merged_mappings(tmp_path):
    text = (
        "learning_rate: 1e-3\nreg_weight: 1e-05\nname: e3\nday: 2020-01-31\nbase: &b {x: 1, y: 2}\nm: {<<: *b, y: 3}\n"
    )
    assert read_yaml(written(tmp_path, text)) == {
        "learning_rate": 0.001,
        "reg_weight": 1e-05,
        "name": "e3",
        "day": "2020-01-31",
        "base": {"x": 1, "y": 2},
        "m": {"x": 1, "y": 3},
    }
    assert read_yaml(written(tmp_path, b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")) == {"a": 1, "b": 2}
    assert read_yaml(written(tmp_path, "")) == read_yaml(written(tmp_path, "# nothing\n")) == {}


@pytest.mark.parametrize(
    "text, message",
    [
        ("- 1\n- 2\n", "holds a list, expected 'key: value' lines"),
        ("only words", "holds a str, expected 'key: value' lines"),
        ("0\n", "holds a int, expected 'key: value' lines"),
        ("a: [1\n", "expected ',' or ']'"),
        ("a: 1\n  b: 2\n", "line 2, column 4: not readable as YAML"),
        ("a: *b\n", "line 1, column 4: not readable as YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "not readable as YAML: but found another document"),
        ("? [1, 2]\n: 3\n", "not readable as YAML: found unhashable key"),
        ("a: !!int x\n", "not readable as YAML: invalid literal for int()"),
        (f"a: {'9' * 5000}\n", "not readable as YAML: Exceeds the limit"),
        ("a: !!python/object/apply:os.getcwd []\n", "line 1, column 4: not readable as YAML: could not determine"),
        ("a: 1\x00\n", "characters are not allowed"),
        ("a: 1\na: 2\n", "line 1, key 'a': stands here and again on line 2; give it once"),
        ("a: {b: 1, c: {d: 1, d: 1}}\n", "line 1, key 'd': stands here and again on line 1"),
        ("1: a\n", "has the key 1, expected the name of a setting"),
        ("true: a\n", "has the key True, expected the name of a setting"),
        (b"name: caf\xe9\n", "is no UTF-8 text (at byte 9); save it as UTF-8"),
        (os.urandom(300) + b"\xff", "is no UTF-8 text"),
        ("a: &a [*a]\n", "has the alias *a inside of &a itself; remove it"),
        (BOMB, f"holds more than {MOST_VALUES} values once its aliases are written out"),
        (CHAIN, f"holds more than {MOST_VALUES} values"),
        (f"a: {'[' * 3000}{']' * 3000}\n", "nest"),
        (f"a: {'[' * 100}{']' * 100}\n", f"is nested deeper than {DEEPEST} levels"),
        (f"a: {'{b: ' * 3000}{'}' * 3000}\n", "nest"),
        ("a: [" + "1, " * (MOST_VALUES + 1) + "]\n", f"holds more than {MOST_VALUES} values"),
        ("a: " + "x" * MOST_BYTES, f"is larger than {MOST_BYTES} bytes"),
    ],
)
def test_what_is_no_settings_file_is_refused(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        read_yaml(path)
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "absent.yaml", "there is no settings file"),
        (tmp_path, "expected a regular file"),
        (tmp_path / "pipe", "expected a regular file"),
        (Path("/dev/zero"), "expected a regular file"),
        (Path("x" * 5000), "there is no settings file"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_yaml(path)


def test_a_file_read_again_is_as_it_stands_whatever_was_done_to_what_it_gave_before(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("a: [1, 2]\n")
    read_yaml(path)["a"].append(3)
    assert read_yaml(path) == {"a": [1, 2]}
    path.write_text("a: [1, 4]\n")
    assert read_yaml(path) == {"a": [1, 4]}


def test_the_process_wide_yaml_loader_stays_as_it_was():
    assert yaml.load("1e-3", Loader=SettingsLoader) == 0.001
    assert yaml.safe_load("1e-3") == "1e-3" and str(yaml.safe_load("2020-01-31")) == "2020-01-31"
