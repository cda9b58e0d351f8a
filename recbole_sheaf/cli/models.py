"""``recbole-sheaf models``: the names that ``--model`` takes."""

from typing import Optional

from recbole_sheaf.cli.parser import Parser
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.plugin.registration import MODELS, recbole_model_names


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Print our models, then RecBole's."""
    Parser(prog="recbole-sheaf models", description="List the models.").parse_args(argv)
    print("recbole_sheaf: " + ", ".join(MODELS))
    print("RecBole: " + ", ".join(name for name in recbole_model_names() if name not in MODELS))
    return 0
