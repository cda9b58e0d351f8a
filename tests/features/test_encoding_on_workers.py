"""Content encoded by several workers: the matrix of one process, and no vector of another content or model."""

import numpy as np
import pytest

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.features import encoding
from recbole_sheaf.features.encoding import Elsewhere, Recipe, encode_items
from recbole_sheaf.workers.pools import ProcessWorkers, ThisProcess
from tests.features.encoders import mixing, other_weights

TEXTS = ["a", "bb", "", "cccc", "bb", "eeeee", "ffffffff", "g" * 9]
RECIPE = Recipe(mixing, (3,))


def encoded(texts, cache, workers=None, recipe=RECIPE):
    tokens = [f"i{place}" for place in range(len(texts))]
    elsewhere = None if workers is None else Elsewhere(workers, recipe, 1)
    return encode_items(tokens, texts, [f"h{text}" for text in texts], RECIPE.encoder(), cache, elsewhere)


@pytest.mark.parametrize("workers", [ThisProcess(), ProcessWorkers(2)], ids=["one", "two"])
def test_workers_give_the_matrix_of_one_process(workers, tmp_path):
    alone = encoded(TEXTS, tmp_path / "alone")
    found = encoded(TEXTS, tmp_path / "workers", workers)
    assert (found.tokens, found.undecoded) == (alone.tokens, alone.undecoded) and found.undecoded == ["i2"]
    np.testing.assert_array_equal(found.matrix, alone.matrix)
    assert alone.matrix.tolist()[0] == [1, 3]  # batches of three distinct texts: what lies beside a text shows


def test_a_stop_keeps_whole_batches_so_that_the_rest_has_the_company_it_would_have_had(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "SHARD", 2)  # no multiple of the batch
    texts = [letter * length for length, letter in enumerate("abcdefghi", start=1)]
    whole = encoded(texts, tmp_path / "whole").matrix
    calls, encode_batch = [], encoding.encode_batch

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise ConfigError("stopped")
        return encode_batch(*arguments)

    monkeypatch.setattr(encoding, "encode_batch", stops)
    with pytest.raises(ConfigError, match="stopped"):
        encoded(texts, tmp_path / "stopped", ThisProcess())
    np.testing.assert_array_equal(encoded(texts, tmp_path / "stopped", ThisProcess()).matrix, whole)
    assert [len(arguments[2]) for arguments in calls] == [3, 3, 3, 3]  # one of them twice: the one that was stopped


def test_a_worker_that_sees_another_file_or_another_model_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"here")
    with pytest.raises(
        DataError, match=r"another content in .*a\.jpg than this process; let all machines see the same"
    ):
        encoding.encode_batch(RECIPE, "mixing", [path], ["0" * 64], 1)
    with pytest.raises(DataError, match="cannot be read"):
        encoding.encode_batch(RECIPE, "mixing", [tmp_path / "absent.jpg"], ["0" * 64], 1)
    with pytest.raises(ConfigError, match="other weights of the model"):
        encoded(TEXTS, tmp_path, ThisProcess(), Recipe(other_weights, (3,)))
