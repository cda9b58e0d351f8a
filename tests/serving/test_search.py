"""Names against a scan of all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recbole_sheaf.serving.catalogue import Names

WORDS = st.text("abİß\n ", max_size=4)


@given(st.lists(WORDS, min_size=1, max_size=12, unique=True), st.lists(WORDS, max_size=12), WORDS, st.integers(1, 5))
def test_names_have_the_text_in_them(tokens, words, text, most):
    tokens = np.array([f"t{token}" for token in tokens], dtype=str)
    titles = dict(zip(tokens.tolist(), words))
    found = Names(tokens, titles).find(text, most)
    wanted = text.lower().strip().replace("\n", " ")
    has = [
        token for token in tokens.tolist() if wanted in f"{token} {titles.get(token, '')}".lower().replace("\n", " ")
    ]
    assert found == has[:most]


def test_the_name_itself_comes_first_and_once():
    names = Names(np.array(["10", "1", "11"]), {})
    assert names.find("1", 5) == ["1", "10", "11"] and names.find("1", 2) == ["1", "10"] and names.find("2", 5) == []
