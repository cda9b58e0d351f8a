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
    checkpoint = options.parse_args(argv).checkpoint
    from recbole_sheaf.experiments.runs import evaluate_checkpoint

    print(json.dumps(evaluate_checkpoint(checkpoint)))
    return 0
