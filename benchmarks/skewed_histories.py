"""What each stratum of history length is served, on made data of skewed activity; see docs/results/defaults.md.

python benchmarks/skewed_histories.py OUT.csv [--users=20000] [--seeds 1 2 3] [--models MMSheaf ...]

Histories of 1 to 200 interactions, tastes planted in content, a tenth of the items new since training
(tests/models/skewed.py). Data of seed s are drawn anew and the models trained with seed s. A row for each model, seed
and stratum of history: users, Recall@20, NDCG@20, the share of new items in the lists and among what was held out.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import train
from tests.models.skewed import by_history, write_skewed

MODELS = {
    "MMSheaf": ("MMSheaf", {}),
    "stalks alone": ("MMSheaf", {"item_sheaf_weight": 0.0}),
    "fixed weights": (
        "MMSheaf",
        {"item_sheaf_weight": 8.0, "item_sheaf_rarity": 3.0, "item_sheaf_user_power": 0.0},
    ),
    "FREEDOM": ("FREEDOM", {}),
    "LightGCN softmax": ("LightGCN", {"loss": "softmax", "embedding_size": 128, "learning_rate": 0.003}),
    "EASE": ("EASE", {}),
    "ItemSheaf": ("ItemSheaf", {}),
}


def main() -> None:
    """Train, and append a row for each stratum as each model ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=4_000)
    parser.add_argument("--tastes", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    asked = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole reads it
    fresh = not asked.out.exists()
    with tempfile.TemporaryDirectory() as folder, asked.out.open("a", newline="") as file:
        rows = csv.writer(file)
        if fresh:
            rows.writerow(["model", "seed", "history", "users", "recall@20", "ndcg@20", "new in lists", "new held out"])
        for seed in asked.seeds:
            data = Path(folder) / str(seed)
            write_skewed(data / "skewed", asked.users, asked.items, asked.tastes, seed)
            for label in asked.models:
                model, own = MODELS[label]
                settings = {"data_path": str(data), "benchmark_filename": ["train", "valid", "test"], "seed": seed}
                settings.update(show_progress=False, state="warning", epochs=60, stopping_step=8, **own)
                settings.update(cache_dir=str(Path(folder) / "cache"), checkpoint_dir=str(Path(folder) / "saved"))
                (config,) = resolve_configs([model], "skewed", [], settings)
                split = load_split(config)
                trained = train(config, split)
                for name, found in by_history(trained, split).items():
                    rows.writerow([label, seed, name, *(f"{value:.6g}" for value in found)])
                file.flush()
                whole = {name: trained.result.test[name] for name in ("recall@20", "ndcg@20")}
                print(label, seed, whole, trained.result.chosen, flush=True)


if __name__ == "__main__":
    main()
