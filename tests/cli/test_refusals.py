"""Sentences of the library as commands say them."""

import pytest

from recbole_sheaf.cli.refusals import as_typed


@pytest.mark.parametrize(
    ("sentence", "typed"),
    [
        ("name the folder with data_path=...", "name the folder with --data_path"),
        ("data_path=... is given; leave it out", "--data_path is given; leave it out"),
        ("set it lower, for example topk=[5]", "set it lower, for example --topk=[5]"),
        ("give it as features=video=PATH:IDS", "give it as --features=video=PATH:IDS"),
        ("leave approximate=True out", "leave --approximate out"),
        ("add trust=True if you know", "add --trust-checkpoint if you know"),
        ("convert it with keep_split=False.", "convert it with --drop-split."),
        ("pass undirected=False", "pass undirected=False"),
        ("(target=ftp://...)", "(--to=ftp://...)"),
        (
            "name one with timestamp=COLUMN, or none with timestamp=",
            "name one with --time=COLUMN, or none with --time=",
        ),
        ("state is 'a=b'; the store is runs/seed=1.duckdb", "state is 'a=b'; the store is runs/seed=1.duckdb"),
        ("set PYTHONIOENCODING=utf-8", "set PYTHONIOENCODING=utf-8"),
        ("name yours by TIME_FIELD=COLUMN", "name yours by --TIME_FIELD=COLUMN"),
        ("two\nlines", "two lines"),
    ],
)
def test_parameters_become_options(sentence, typed):
    assert as_typed(sentence) == typed
