"""The command ``recbole-sheaf``: parse, call, print.

A command's module imports what is heavy when it runs, so that its help comes at once.
"""

import importlib
import sys
from importlib import metadata
from typing import Optional

from recbole_sheaf.cli.language import argparse_in, help_language, say, written_whole
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.environment import let_threads_sleep, place_among_processes
from recbole_sheaf.errors import ConfigError

COMMANDS = {
    "convert": "write a dataset folder from your tables and vectors: CSV, Parquet, npy, safetensors",
    "audit": "look at a dataset before training: leaks, cold items, what content is worth",
    "encode": "make vectors from the texts or images of items: TF-IDF, sentence-transformers, vision models",
    "run": "train and evaluate one model, or several side by side",
    "compare": "run a grid of datasets, models, ablations and seeds into one store",
    "tune": "search the hyperparameters of models, the same budget for each",
    "results": "list, filter and export what a store holds, with significance",
    "report": "write what a store holds as a document: HTML, Markdown, LaTeX, in English and Russian",
    "evaluate": "load a checkpoint and give its validation and test metrics",
    "update": "train a checkpoint on with new interactions, users and items: a new dataset and checkpoint",
    "export": "write a checkpoint's embeddings to a file (npz, Parquet, DuckDB, ...), PostgreSQL or Qdrant",
    "recommend": "top lists of users, from a checkpoint or from exported embeddings",
    "similar": "items like an item, from a checkpoint or from exported embeddings",
    "embed-items": "place items that the model never met by their content, nothing retrained",
    "explain": "take a score apart: stalks, item sheaf, and the user's items that speak for an item",
    "judge": "judge vectors of items as vectors: what near items share, one modality found from another",
    "serve": "answer requests over HTTP: recommendations, similar items, vectors, and a page to see them",
    "classify": "node classification with the models of Neural Sheaf Diffusion",
    "table": "one table from the result files of several runs",
    "models": "list the models that --model takes",
}

USAGE = "usage: recbole-sheaf COMMAND [options]"
HEADING = "commands:"
MORE = "'recbole-sheaf COMMAND --help' explains a command."


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Run a subcommand; gives the exit code, 2 for input that was refused."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        with written_whole():
            print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"recbole-sheaf {metadata.version('recbole-sheaf')}")
        return 0
    if arguments[0] not in COMMANDS:
        print(f"recbole-sheaf: there is no command '{arguments[0]}'\n\n{usage()}", file=sys.stderr)
        return 2
    processes = place_among_processes().processes
    if processes > 1 and arguments[0] != "run":
        raise ConfigError(
            f"{processes} processes were started together, and each would do all of '{arguments[0]}'; start it without "
            "torchrun, which serves the command 'run' alone"
        )
    let_threads_sleep()
    with argparse_in(help_language()):
        return importlib.import_module(f"recbole_sheaf.cli.{arguments[0].replace('-', '_')}").main(arguments[1:])


def usage() -> str:
    """The list of commands, in the reader's language."""
    commands = "\n".join(f"  {name:11} {say(what)}" for name, what in COMMANDS.items())
    return f"{say(USAGE)}\n\n{say(HEADING)}\n{commands}\n\n{say(MORE)}"
