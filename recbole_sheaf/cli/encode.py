"""``recbole-sheaf encode``: raw texts and images of items into a feature file."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.errors import ConfigError

EPILOG = """\
examples
  recbole-sheaf encode text videos.csv --columns=title,plot --to=data/shop/features/title.npz
  recbole-sheaf encode text videos.csv --columns=title --encoder=all-MiniLM-L6-v2 --to=data/shop/features/title.npz
  recbole-sheaf encode images posters/ --encoder=torchvision:resnet18 --to=data/shop/features/poster.npz

text     a table of items (.csv, .tsv, .parquet). --encoder=tfidf, the default, is TF-IDF and truncated SVD and loads
         nothing; anything else is a sentence-transformers model, by its name on the hub or a folder [text]
images   a folder of <item>.jpg (.png, .webp, ...). --encoder=torchvision:NAME, timm:NAME, or a transformers model by
         its name or folder [image]

Items without text, and images that do not decode, are named, counted and left out: a missing row is what models know.
Vectors are kept in the cache by content and encoder: a command that was stopped goes on, new items cost themselves.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, encode, write; gives the exit code."""
    options = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    from recbole_sheaf.features import write_features

    _check(options)
    tokens, matrix, without = _texts(options) if options.kind == "text" else _images(options)
    if not tokens:
        raise ConfigError(f"none of {len(without)} items of {options.source} could be encoded; nothing is written")
    write_features(options.to, tokens, matrix.astype(options.dtype))
    if without:
        some = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        what = "text" if options.kind == "text" else "image that decodes"
        print(f"{len(without):,} items have no {what} and no row: {some}")
    print(f"written: {options.to} ({len(tokens):,} rows of {matrix.shape[1]} numbers)")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse before any work what could not end."""
    if options.to.suffix != ".npz" or options.to.is_dir():
        raise ConfigError(f"--to={options.to} does not name an .npz file; write --to=DIR/features/<modality>.npz")
    if options.batch_size is not None and options.batch_size < 1:
        raise ConfigError(f"--batch-size is {options.batch_size}, expected a whole number from 1")
    if options.max_length is not None and options.max_length < 1:
        raise ConfigError(f"--max-length is {options.max_length}, expected a whole number from 1")
    if options.kind == "images" and not options.encoder:
        raise ConfigError("images need a model; name one with --encoder=torchvision:resnet18, timm:NAME or a folder")
    if options.kind == "text" and not options.columns:
        raise ConfigError("--columns is missing; name the columns of text with commas between")


def _texts(options: argparse.Namespace) -> tuple[list[str], Any, list[str]]:
    from recbole_sheaf.data.raw_datasets import item_texts
    from recbole_sheaf.features.cache import content_key
    from recbole_sheaf.features.encoding import encode_items
    from recbole_sheaf.features.text import encode_texts
    from recbole_sheaf.features.text_encoders import BATCH, sentence_encoder

    table = item_texts(options.source, options.id, [name.strip() for name in options.columns.split(",")])
    joined = table.apply(lambda row: options.separator.join(filter(None, row)), axis=1)
    there = joined != ""
    tokens, texts, without = joined.index[there].tolist(), joined[there].tolist(), joined.index[~there].tolist()
    if not tokens:
        return [], None, without
    if options.encoder in (None, "tfidf"):
        known, matrix = encode_texts(options.to.stem, texts, options.dim)
        chosen = set(known.tolist())
        without += [token for place, token in enumerate(tokens) if place not in chosen]
        return [tokens[place] for place in known], matrix, without
    encoder = sentence_encoder(options.encoder, options.batch_size or BATCH, options.max_length)
    done = encode_items(tokens, texts, [content_key([text]) for text in texts], encoder, _cache(options))
    return done.tokens, done.matrix, without


def _images(options: argparse.Namespace) -> tuple[list[str], Any, list[str]]:
    import hashlib

    from recbole_sheaf.errors import DataError
    from recbole_sheaf.features.encoding import encode_items
    from recbole_sheaf.features.image_encoders import BATCH, image_encoder, image_files
    from recbole_sheaf.regular_files import read_regular

    files = image_files(options.source)
    encoder = image_encoder(options.encoder, options.batch_size or BATCH)
    hashes = [hashlib.sha256(read_regular(path, DataError)).hexdigest() for path in files.values()]
    done = encode_items(list(files), list(files.values()), hashes, encoder, _cache(options))
    return done.tokens, done.matrix, done.undecoded


def _cache(options: argparse.Namespace) -> Path:
    from platformdirs import user_cache_dir

    return options.cache_dir or Path(user_cache_dir("recbole_sheaf"))


def parser() -> argparse.ArgumentParser:
    """Options of ``encode``."""
    options = argparse.ArgumentParser(
        prog="recbole-sheaf encode",
        description="Make a feature file from the texts or images of items.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("kind", choices=("text", "images"))
    options.add_argument("source", type=Path, help="of text a table of items, of images a folder")
    options.add_argument("--to", type=Path, required=True, help="the .npz to write; its name is the modality's")
    options.add_argument("--encoder", help="see below (default of text: tfidf)")
    options.add_argument("--columns", help="of text: columns, joined in this order")
    options.add_argument("--separator", default=" ", help="of text: between columns (default: a blank)")
    options.add_argument("--id", metavar="COLUMN", help="of text: the column of ids (default: by its usual names)")
    options.add_argument("--dim", type=int, default=64, help="of tfidf: numbers in a vector, at most (default: 64)")
    options.add_argument("--max-length", type=int, help="of text: word pieces read of a text (default: the model's)")
    options.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="default: float32")
    options.add_argument("--batch-size", type=int, help="items encoded at once (default: 32 of text, 16 of images)")
    options.add_argument("--cache_dir", type=Path, help="where vectors are kept (default: the user's cache folder)")
    return options
