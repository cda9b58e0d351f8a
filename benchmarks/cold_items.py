"""Ranks items without training interactions among themselves, by models that know them from content alone.

    python -m benchmarks.cold_items --dataset=tiktok --data_path=DIR --out=cold.jsonl
    python -m benchmarks.cold_items --dataset=ml-1m --data_path=DIR --cold_share=0.1 --out=cold.jsonl

Cold items are those without training interactions; ``--cold_share`` makes a random share of the items cold by taking
their interactions out of the training part. Models are trained and their epoch is chosen on validation as in every
run. Then each user's cold items of the test part are looked for among all cold items: Recall@20, a mean over the users
who have any. ``all`` is the usual test Recall@20 over all items. Beside the models: content neighbours, the mean cosine
of an item's centred content and that of the user's history, and chance. A JSON line per row goes to ``--out``.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_model
from torch import Tensor
from torch.nn.functional import normalize

from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import LoadedSplit, load_split
from recbole_sheaf.experiments.training import train
from recbole_sheaf.models.multimodal import read_modalities

TOP = 20
ROWS = {  # name: model and settings
    "MMSheaf": ("MMSheaf", {}),
    "MMSheaf, item_sheaf_rarity 0": ("MMSheaf", {"item_sheaf_rarity": 0.0}),
    "MMSheaf, item_sheaf_map identity": ("MMSheaf", {"item_sheaf_map": "identity"}),
    "MMSheaf, item_sheaf_weight 0": ("MMSheaf", {"item_sheaf_weight": 0.0}),
    "ItemSheaf": ("ItemSheaf", {}),
    "ItemSheaf, restriction_map identity": ("ItemSheaf", {"restriction_map": "identity"}),
    "VBPR": ("VBPR", {}),
    "VBPR, softmax": ("VBPR", {"loss": "softmax"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data_path", required=True)
    parser.add_argument("--cold_share", type=float, default=0.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    split, cold = None, None
    for seed in options.seeds:
        for name in options.rows:
            config = configured(*ROWS[name], options.dataset, options.data_path, seed)
            if split is None:
                split, cold = with_cold_items(load_split(config), options.cold_share)
                for baseline, value in {"content neighbours": neighbours(config, split), "chance": None}.items():
                    write(options.out, options.dataset, baseline, None, cold_recall(value, split, cold))
            run = train(config, split)
            model = get_model(config["model"])(config, split.parts[0]).to(config["device"])
            checkpoint = torch.load(run.result.checkpoint, weights_only=True)
            model.load_state_dict(checkpoint["state_dict"])
            figures = cold_recall(every_score(model.eval()), split, cold)
            write(options.out, options.dataset, name, seed, {**figures, "all": run.result.test["recall@20"]})


def configured(model: str, settings: dict, dataset: str, data_path: str, seed: int):
    common = {"data_path": data_path, "seed": seed, "epochs": 60, "stopping_step": 8, "show_progress": False}
    common.update(metrics=["Recall", "NDCG"], topk=[TOP], valid_metric=f"Recall@{TOP}")
    return resolve_configs([model], dataset, (), {**common, **settings})[0]


def with_cold_items(split: LoadedSplit, share: float) -> tuple[LoadedSplit, Tensor]:
    """The split whose training part lacks a random share of the items, and which items it lacks then."""
    training, *others = split.parts
    items = training.inter_feat[training.iid_field]
    drawn = torch.rand(training.item_num, generator=torch.Generator().manual_seed(2020)) < share
    training = training.copy(training.inter_feat[~drawn[items]])
    cold = torch.bincount(training.inter_feat[training.iid_field], minlength=training.item_num) == 0
    cold[0] = False
    return replace(split, parts=[training, *others]), cold


def matrix(part) -> Tensor:
    out = torch.zeros(part.user_num, part.item_num)
    out[part.inter_feat[part.uid_field], part.inter_feat[part.iid_field]] = 1.0
    return out


def every_score(model) -> Tensor:
    users = torch.arange(model.n_users).split(1024)
    with torch.no_grad():
        return torch.cat([model.full_sort_predict(Interaction({"user_id": u})).view(len(u), -1) for u in users])


def neighbours(config, split: LoadedSplit) -> Tensor:
    history, scores = matrix(split.parts[0]), 0.0
    for features in read_modalities(config, split.parts[0]).values():
        rows = features.matrix - features.matrix[features.present].mean(0)
        rows = normalize(rows) * features.present.unsqueeze(1)
        scores = scores + history @ rows @ rows.T
    return scores


def cold_recall(scores, split: LoadedSplit, cold: Tensor) -> dict:
    """Recall@20 among cold items, its standard error, users and items; the expectation of a random order for None."""
    held = matrix(split.parts[2])[:, cold]
    users = held.sum(1) > 0
    held = held[users]
    if scores is None:
        recall = torch.full((len(held),), TOP / int(cold.sum()))
    else:
        recall = held.gather(1, scores[users][:, cold].topk(TOP).indices).sum(1) / held.sum(1)
    error = recall.std() / len(recall) ** 0.5
    return {"cold": float(recall.mean()), "error": float(error), "users": len(held), "items": int(cold.sum())}


def write(out: Path, dataset: str, name: str, seed, figures: dict) -> None:
    row = {"dataset": dataset, "row": name, "seed": seed}
    row.update({key: round(value, 5) for key, value in figures.items()})
    with out.open("a") as file:
        print(json.dumps(row), file=file)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
