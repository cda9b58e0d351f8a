"""``recbole-sheaf evaluate``: the metrics of a checkpoint, in a process that did not train it."""

import argparse
import json
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.checkpoint_options import TRUST, refuse_export
from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Load, judge, print; gives the exit code."""
    options = parser().parse_args(argv)
    from recbole_sheaf.experiments.checkpoints import evaluate_checkpoint
    from recbole_sheaf.plugin.registration import check_model_name

    if options.model:
        check_model_name(options.model)
    refuse_export(options.checkpoint)
    named = options.checkpoint, options.data_path, options.trust_checkpoint
    found = _of_audiences(*named) if options.audience else evaluate_checkpoint(*named)
    show = _audience_table if options.audience else _table
    print(json.dumps(found) if options.json else show(found))
    return 0


def _of_audiences(checkpoint: Path, data_path: Optional[str], trust: bool) -> dict[str, Any]:
    from recbole_sheaf.embeddings.audience_judging import PLACES, judge_audiences
    from recbole_sheaf.experiments.checkpoints import restore

    restored = restore(checkpoint, data_path, trust)
    about = {key: restored.config[key] for key in ("model", "dataset", "seed")}
    return {**about, f"ndcg@{PLACES}": judge_audiences(restored)}


def parser() -> argparse.ArgumentParser:
    """Options of ``evaluate``."""
    options = Parser(
        prog="recbole-sheaf evaluate",
        description="Judge a checkpoint again: same split, same items left out, same metrics as the run that wrote it.",
        allow_abbrev=False,
    )
    options.add_argument(
        "checkpoint", type=Path, help="a .safetensors file that a run wrote into checkpoint_dir (saved/)"
    )
    options.add_argument("--model", help="where a model of your own is: package.module:MyModel")
    options.add_argument("--data_path", help="where the datasets lie, if not where they lay when the run was made")
    options.add_argument("--trust-checkpoint", action="store_true", help=TRUST)
    options.add_argument(
        "--audience", action="store_true", help="of items without training interactions: NDCG@100 of the users found"
    )
    options.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return options


def _audience_table(found: dict[str, Any]) -> str:
    """A line for each way to find an audience."""
    import pandas as pd

    from recbole_sheaf.evaluation import to_markdown

    metric = list(found)[-1]
    table = pd.DataFrame({"audience": list(found[metric]), metric: list(found[metric].values())}).round(4)
    return f"{found['model']} on {found['dataset']}, seed {found['seed']}, items new to it\n\n{to_markdown(table)}"


def _table(found: dict[str, Any]) -> str:
    """A line per metric, validation and test beside each other."""
    import pandas as pd

    from recbole_sheaf.evaluation import to_markdown

    columns = {part: pd.Series(found[part], dtype=float) for part in ("valid", "test")}
    table = pd.DataFrame(columns).round(4).rename_axis("metric").loc[list(found["test"])].reset_index()
    return f"{found['model']} on {found['dataset']}, seed {found['seed']}\n\n{to_markdown(table)}"
