"""Rows by token, and the nearest of very many tokens."""

import numpy as np
import pytest

from recbole_sheaf.embeddings import embeddings
from recbole_sheaf.embeddings.embeddings import TokenRows
from recbole_sheaf.errors import DataError


def test_rows_are_in_the_order_asked():
    rows = TokenRows("item", np.array(["b", "a", "c"]))
    assert rows(["c", "b", "c"]).tolist() == [2, 0, 2] and rows([]).tolist() == []
    assert "a" in rows and "d" not in rows


@pytest.mark.parametrize("token, near", [("v0000x", "'v0000'"), ("v9999x", "'v9999'"), ("v5000x", "'v5000'")])
def test_of_many_tokens_those_that_begin_alike_are_compared(monkeypatch, token, near):
    """At both ends too, and no more of them than are allowed."""
    compared = []
    monkeypatch.setattr(embeddings, "NAMES_COMPARED", 50)
    real = embeddings.nearest
    monkeypatch.setattr(
        embeddings, "nearest", lambda name, names: compared.append(len(names)) or real(name, names, count=1)
    )
    rows = TokenRows("user", np.array([f"v{number:04}" for number in np.random.default_rng(0).permutation(10_000)]))
    with pytest.raises(DataError, match=f"no user '{token}' .did you mean {near}"):
        rows([token])
    assert compared == [50]


def test_a_token_that_never_ends_is_cut_in_the_sentence():
    with pytest.raises(DataError) as refused:
        TokenRows("user", np.array(["a"]))(["x" * 10_000])
    assert len(str(refused.value)) < 300
