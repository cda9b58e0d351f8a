"""A made dataset without a fault, split at two points in time, to plant faults in."""

from pathlib import Path

import numpy as np

TASTES, OF_TASTE, USERS = 5, 20, 200
ITEMS = TASTES * OF_TASTE
PARTS = ("train", "valid", "test")
SETTINGS = {"benchmark_filename": list(PARTS), "text_modalities": {}}


def made(rng):
    """Lines of each part, (user, item, time), and vectors that know the taste: users have ten items of their own."""
    lines = {name: [] for name in PARTS}
    for user in range(USERS):
        items = OF_TASTE * (user % TASTES) + rng.permutation(OF_TASTE)[:10]
        for place, item in enumerate(items.tolist()):
            part = PARTS[max(0, place - 7)]
            lines[part].append((f"u{user}", f"i{item}", 1000 * PARTS.index(part) + int(rng.integers(500))))
    taste = np.repeat(np.eye(TASTES), OF_TASTE, axis=0)
    vectors = np.concatenate([taste, 0.2 * rng.standard_normal((ITEMS, 8))], axis=1)
    return lines, {"image": vectors}


def written(folder: Path, lines, vectors):
    """Write it as ``folder``; gives the settings that read it."""
    (folder / "features").mkdir(parents=True)
    for part, rows in lines.items():
        text = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
        (folder / f"{folder.name}.{part}.inter").write_text("\n".join(text) + "\n")
    for name, matrix in vectors.items():
        tokens = np.array([f"i{item}" for item in range(len(matrix))])
        there = ~np.isnan(matrix).any(axis=1)
        np.savez(folder / "features" / f"{name}.npz", item_id=tokens[there], feature=matrix[there].astype(np.float32))
    return {**SETTINGS, "data_path": str(folder.parent)}
