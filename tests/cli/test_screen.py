"""How wide a table may be: the terminal's width, and a fixed one for files."""

import os

import pytest

from recbole_sheaf.cli.screen import columns_across


@pytest.mark.parametrize(("watched", "terminal", "expected"), [(True, 80, 80), (True, 240, 100), (False, 80, 100)])
def test_a_table_is_no_wider_than_the_terminal(monkeypatch, watched, terminal, expected):
    monkeypatch.setattr("sys.stdout.isatty", lambda: watched, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback: os.terminal_size((terminal, 24)))
    assert columns_across(100) == expected
