"""``recbole-sheaf evaluate``: the metrics of a checkpoint, in a process that did not train it."""

import argparse
import json
from pathlib import Path
from typing import Optional

from recbole_sheaf.cli.refusals import one_sentence


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Load, evaluate, print JSON."""
    options = argparse.ArgumentParser(prog="recbole-sheaf evaluate", description="Metrics of a saved checkpoint.")
    options.add_argument("checkpoint", type=Path, help="a .pth file that a run wrote into checkpoint_dir (saved/)")
    options.add_argument("--model", help="where a model of your own is: package.module:MyModel")
    given = options.parse_args(argv)
    from recbole_sheaf.experiments.runs import evaluate_checkpoint
    from recbole_sheaf.registration import check_model_name

    if given.model:
        check_model_name(given.model)
    print(json.dumps(evaluate_checkpoint(given.checkpoint)))
    return 0
