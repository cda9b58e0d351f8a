"""A made dataset of skewed activity: histories of 1 to 200, tastes planted in content, items new since training."""

from pathlib import Path

import numpy as np

STRATA = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 40), (41, 200))


def write_skewed(folder: Path, n_users: int = 2000, n_items: int = 1000, tastes: int = 20, seed: int = 0) -> None:
    """Three parts, ``<name>.{train,valid,test}.inter``, and one modality.

    An item belongs to a taste, and its vector is that of the taste with noise; a user has two tastes, and chooses nine
    times of ten among their items, by popularity. A tenth of the items is new: in training nobody chose them, in
    validation and test they are about 2 % of what is chosen. Median history 3, the longest 200.
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
    for name, lines in parts.items():
        (folder / f"{folder.name}.{name}.inter").write_text("\n".join(lines) + "\n")
    listed = "".join(f"i{item}\n" for item in range(n_items))
    (folder / f"{folder.name}.item").write_text(f"item_id:token\n{listed}")
    centres = rng.standard_normal((tastes, 16))
    matrix = (centres[taste] + 0.7 * rng.standard_normal((n_items, 16))).astype(np.float32)
    (folder / "features").mkdir()
    tokens = np.array([f"i{item}" for item in range(n_items)])
    np.savez(folder / "features" / "video.npz", item_id=tokens, feature=matrix)
