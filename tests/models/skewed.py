"""A made dataset of skewed activity: histories of 1 to 200, tastes planted in content, items new since training."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STRATA = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 40), (41, 200))


def write_skewed(
    folder: Path, n_users: int = 2000, n_items: int = 1000, tastes: int = 20, seed: int = 0, dislikes: float = 0.0
) -> None:
    """Three parts, ``<name>.{train,valid,test}.inter``, and one modality.

    An item belongs to a taste, and its vector is that of the taste with noise; a user has two tastes, and chooses nine
    times of ten among their items, by popularity. A tenth of the items is new: in training nobody chose them, in
    validation and test they are about 2 % of what is chosen. Median history 3, the longest 200.

    With ``dislikes`` each user dislikes so many items on average, by popularity too, eight of ten of the two tastes
    opposite to their own, and a fifth of them only in the time of the test: ``<name>.dislike.inter``.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    taste = rng.integers(0, tastes, n_items)
    popularity = rng.pareto(1.2, n_items) + 0.1
    new = np.zeros(n_items, dtype=bool)
    new[rng.choice(n_items, n_items // 10, replace=False)] = True
    popularity[new] *= 0.2 * popularity[~new].sum() / popularity[new].sum() / (n_items / new.sum())
    length = np.minimum(200, 1 + (rng.pareto(0.9, n_users) * 2).astype(int))
    parts: dict[str, list[str]] = {name: ["user_id:token\titem_id:token"] for name in ("train", "valid", "test")}
    disliked, apart = ["user_id:token\titem_id:token\tpart:token"], np.random.default_rng([seed, 1])
    for user in range(n_users):
        own = rng.choice(tastes, 2, replace=False)
        weight = popularity * np.where(np.isin(taste, own), 0.9 * tastes / 2, 0.1)
        asked = (2 if length[user] >= 3 else 1) if length[user] > 1 or user % 2 else 0
        old = np.where(new, 0.0, weight)
        history = rng.choice(n_items, int(length[user]), replace=False, p=old / old.sum())
        left = weight.copy()
        left[history] = 0.0
        later = rng.choice(n_items, 2 * asked, replace=False, p=left / left.sum())
        for name, items in (("train", history), ("valid", later[:asked]), ("test", later[asked:])):
            parts[name] += [f"u{user}\ti{item}" for item in items]
        if dislikes:
            opposite = np.isin(taste, (own + tastes // 2) % tastes)
            weight = np.where(new, 0.0, popularity * np.where(opposite, 0.8 * tastes / 2, 0.2))
            weight[[*history, *later]] = 0.0
            items = apart.choice(n_items, min(60, apart.poisson(dislikes)), replace=False, p=weight / weight.sum())
            disliked += [f"u{user}\ti{item}\t{'train' if apart.random() < 0.8 else 'test'}" for item in items]
    for name, lines in parts.items():
        (folder / f"{folder.name}.{name}.inter").write_text("\n".join(lines) + "\n")
    if dislikes:
        (folder / f"{folder.name}.dislike.inter").write_text("\n".join(disliked) + "\n")
    listed = "".join(f"i{item}\n" for item in range(n_items))
    (folder / f"{folder.name}.item").write_text(f"item_id:token\n{listed}")
    centres = rng.standard_normal((tastes, 16))
    matrix = (centres[taste] + 0.7 * rng.standard_normal((n_items, 16))).astype(np.float32)
    (folder / "features").mkdir()
    tokens = np.array([f"i{item}" for item in range(n_items)])
    np.savez(folder / "features" / "video.npz", item_id=tokens, feature=matrix)


class Served(NamedTuple):
    """Users of one stratum and what they are served, in the first 20."""

    users: int
    recall: float
    ndcg: float
    new_in_lists: float
    new_held_out: float


def by_history(trained: Any, split: Any) -> dict[str, Served]:
    """By the length of users' histories, and of all: recall, NDCG, and the share of items that nobody had chosen."""
    train_part, _, test_part = split.parts
    dataset, rankings = split.dataset, trained.judgement.rankings
    degree = np.bincount(train_part.inter_feat[dataset.iid_field].numpy(), minlength=dataset.item_num)
    length = np.bincount(train_part.inter_feat[dataset.uid_field].numpy(), minlength=dataset.user_num)
    wanted: dict[int, set[int]] = {}
    for user, item in zip(*(test_part.inter_feat[field].tolist() for field in (dataset.uid_field, dataset.iid_field))):
        wanted.setdefault(user, set()).add(item)
    lists = dict(zip(rankings.users.tolist(), rankings.top[:, :20].tolist()))
    discount = 1 / np.log2(np.arange(20) + 2)
    found = {}
    for low, high in [*STRATA, (0, 10**9)]:
        users = [user for user in lists if low <= length[user] <= high]
        hits = [[item in wanted[user] for item in lists[user]] for user in users]
        counts = np.array([len(wanted[user]) for user in users])
        ideal = discount.cumsum()[np.minimum(counts, 20) - 1]
        found["all" if high == 10**9 else f"{low}-{high}"] = Served(
            len(users),
            float((np.sum(hits, axis=1) / counts).mean()),
            float((hits @ discount / ideal).mean()),
            float((degree[[lists[user] for user in users]] == 0).mean()),
            float(np.mean([degree[item] == 0 for user in users for item in wanted[user]])),
        )
    return found
