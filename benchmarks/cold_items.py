"""Ranks items without training interactions, by models that know them from content alone: a JSON line per row.

    python -m benchmarks.cold_items --dataset=tiktok --data_path=DIR --out=cold.jsonl
    python -m benchmarks.cold_items --dataset=ml-1m --split=cold_items --data_path=DIR --out=cold.jsonl

What a row holds is what ``recbole-sheaf run`` says of the same settings: Recall and NDCG among all items, among cold
items alone (``cold recall@20``, over the users who have any at test), and of a random order of these (``chance
recall@20``); the validation score that chose the epoch stands apart. ``--split`` is left out where a dataset brings its
own.
"""

import argparse
import json
from pathlib import Path

from recbole_sheaf.experiments.carry_out import split_of
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.training import train

ROWS = {  # name: model and settings
    "ContentKNN": ("ContentKNN", {}),
    "ItemSheaf": ("ItemSheaf", {}),
    "ItemSheaf, restriction_map identity": ("ItemSheaf", {"restriction_map": "identity"}),
    "MMSheaf": ("MMSheaf", {}),
    "MMSheaf, item_sheaf_rarity 0": ("MMSheaf", {"item_sheaf_rarity": 0.0}),
    "MMSheaf, item_sheaf_map identity": ("MMSheaf", {"item_sheaf_map": "identity"}),
    "MMSheaf, item_sheaf_weight 0": ("MMSheaf", {"item_sheaf_weight": 0.0}),
    "VBPR": ("VBPR", {}),
    "VBPR, softmax": ("VBPR", {"loss": "softmax"}),
}
COMMON = {"epochs": 60, "stopping_step": 8, "show_progress": False, "metrics": ["Recall", "NDCG"], "topk": [10, 20]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data_path", required=True)
    parser.add_argument("--split", choices=["cold_items"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    common = {**COMMON, "valid_metric": "Recall@20", "data_path": options.data_path, "split": options.split}
    for seed in options.seeds:
        for name in options.rows:
            model, settings = ROWS[name]
            (config,) = resolve_configs([model], options.dataset, (), {**common, "seed": seed, **settings})
            result = train(config, split_of(config)).result
            row = {"dataset": options.dataset, "split": options.split, "row": name, "seed": seed}
            row.update(valid=round(result.valid["recall@20"], 5), **{k: round(v, 5) for k, v in result.test.items()})
            with options.out.open("a") as file:
                print(json.dumps(row), file=file)
            print(json.dumps(row))


if __name__ == "__main__":
    main()
