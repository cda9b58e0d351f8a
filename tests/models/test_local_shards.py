"""The local item sheaf on workers: the arcs and coefficients of one process, to the last digit."""

import warnings

import pytest
import torch

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.layers.item_sheaf import fit_item_sheaf
from recbole_sheaf.models.local_shards import LocalShards
from recbole_sheaf.sheaf import local_item_sheaf
from recbole_sheaf.sheaf.item_arcs import choose_neighbours
from recbole_sheaf.sheaf.item_sheaf import ridge_diagonal
from recbole_sheaf.sheaf.item_signals import gram_matrix, item_signals
from recbole_sheaf.sheaf.local_item_sheaf import local_transport
from recbole_sheaf.workers.pools import ProcessWorkers, ThisProcess

K, PAIRS, BYTES = 6, 400, 2**13  # so small that there are many chunks


@pytest.fixture(scope="module")
def signals():
    """Of 60 items in float32, histories of very different lengths, and an item that nobody chose."""
    drawn = torch.Generator().manual_seed(3)
    chance = torch.linspace(0.02, 0.5, 90).unsqueeze(1).expand(90, 60)
    chosen = torch.rand(90, 60, generator=drawn) < chance
    chosen[:, 17] = False
    content = torch.randn(60, 4, generator=drawn) / 4
    return item_signals(*chosen.nonzero(as_tuple=True), 90, 60, content, history_power=0.5)


def alone(signals, ridge, gram):
    near = choose_neighbours(signals, ridge, K, PAIRS)
    return local_transport(signals, near, ridge, gram, content=False, chunk_bytes=BYTES)


def equal(found, expected):
    return all(torch.equal(getattr(found, n), getattr(expected, n)) for n in ("neighbours", "weights", "variance"))


@pytest.mark.parametrize("way", ["gram", "pairs", "signals"])
def test_shards_are_what_one_process_makes(signals, way, monkeypatch):
    """With M at hand, with M made whole as a sparse matrix, and with blocks made from the signals one by one."""
    ridge = ridge_diagonal(signals.diagonal, 2.0, 0.2)
    gram = gram_matrix(signals, content=False) if way == "gram" else None
    if way == "signals":
        monkeypatch.setattr(local_item_sheaf, "SPARSE_PAIRS", 0)
    shards, submit = [], ThisProcess.submit
    monkeypatch.setattr(ThisProcess, "submit", lambda self, *given: shards.append(given[0]) or submit(self, *given))
    with ThisProcess() as workers:
        found = LocalShards(workers, 1, PAIRS, BYTES)(signals, ridge, K, gram)
    assert equal(found, alone(signals, ridge, gram))
    assert all(sum(call.__name__ == name for call in shards) > 3 for name in ("arcs_of_shard", "maps_of_shard"))


def test_what_a_cluster_hands_over_is_read_without_a_warning(signals):
    """Ray's arrays cannot be written to, of which PyTorch warns."""

    class Store(ThisProcess):
        def submit(self, *given):
            future = super().submit(*given)
            made = future.result()
            for array in made if isinstance(made, tuple) else [made]:
                array.setflags(write=False)
            return future

    ridge = ridge_diagonal(signals.diagonal, 2.0, 0.2)
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings(), Store() as workers:
            warnings.simplefilter("error")
            found = LocalShards(workers, 1, PAIRS, BYTES)(signals, ridge, K)
    finally:
        torch.set_warn_always(False)
    assert equal(found, alone(signals, ridge, None))


def test_two_processes_fit_the_sheaf_of_one(signals):
    options = {"neighbours": K, "ridge": 2.0, "backend": "torch"}
    with ProcessWorkers(2) as workers:
        found = fit_item_sheaf(signals, local_maps=LocalShards(workers, chunk_pairs=PAIRS), **options)
        with pytest.raises(ConfigError, match="item_sheaf_neighbours is 60"):
            LocalShards(workers)(signals, torch.ones(60), 60)
    expected = fit_item_sheaf(
        signals,
        local_maps=lambda signals, ridge, k, gram: local_transport(
            signals, choose_neighbours(signals, ridge, k, PAIRS), ridge, gram, content=False
        ),
        **options,
    )
    assert torch.equal(found.weights, expected.weights) and torch.equal(found.hubs_in, expected.hubs_in)
    assert torch.equal(found.graph.src, expected.graph.src) and found.ridge_loss == expected.ridge_loss
