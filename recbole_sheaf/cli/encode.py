"""``recbole-sheaf encode``: raw texts, images and sounds of items into a feature file."""

import argparse
import logging
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.addresses import at_hand, place
from recbole_sheaf.cli.parser import Parser, names_in
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.worker_options import add_worker_options, workers_of
from recbole_sheaf.environment import ending_on_sigterm
from recbole_sheaf.errors import ConfigError, counted
from recbole_sheaf.files.plain_text import one_line

MOST_SECONDS = 3600

EPILOG = """\
examples
  recbole-sheaf encode text videos.csv --columns=title,plot --to=data/shop/features/title.npz
  recbole-sheaf encode text videos.csv --columns=title --encoder=all-MiniLM-L6-v2 --to=data/shop/features/title.npz
  recbole-sheaf encode images posters/ --encoder=torchvision:resnet18 --to=data/shop/features/poster.npz
  recbole-sheaf encode audio tracks/ --encoder=facebook/wav2vec2-base --to=data/shop/features/sound.npz

text     a table of items (.csv, .tsv, .parquet). --encoder=tfidf, the default, is TF-IDF and truncated SVD and loads
         nothing; anything else is a sentence-transformers model, by its name on the hub or a folder [text]
images   a folder of <item>.jpg (.png, .webp, ...). --encoder=torchvision:NAME, timm:NAME, or a transformers model by
         its name or folder [image]
audio    a folder of <item>.wav (.flac, .ogg, .mp3, ...). --encoder=NAME or a folder is an audio model of transformers
         (wav2vec2, HuBERT, AST, CLAP, Whisper, ...). Channels are mixed, the first --seconds resampled and heard; the
         vector is the model's own pooling, else the mean of its frames without padding. CLAP and AST hear 10 s at
         most, Whisper 30 [audio]

Models of transformers are read as safetensors, and code that comes with one is not run.
Items without text, and images and sounds that do not decode or hold nothing, are named, counted and left out: a missing
row is what models know.
Vectors are kept in the cache by content and encoder: a command that was stopped goes on, new items cost themselves.

--workers=N encodes in N processes of --threads each, --ray-address=HOST:PORT on a Ray cluster that sees the same files
under the same paths. Batches are those of one process, so the file is the same for any number of workers of as many
threads. The source and --to may be addresses, s3://BUCKET/NAME or of another protocol of fsspec.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Read, encode, write; gives the exit code."""
    options = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    from recbole_sheaf.features import write_features

    with at_hand(options, ("source",), ("to",)) as options:
        _check(options)
        tokens, matrix, without = _ENCODED[options.kind](options)
        if not tokens:
            raise ConfigError(
                f"none of {len(without)} items of {options.source_given} could be encoded; nothing is written"
            )
        write_features(options.to, tokens, matrix.astype(options.dtype))
    if without:
        some = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        print(
            one_line(f"{counted(len(without), 'item has', 'items have')} no {_WHAT[options.kind]} and no row: {some}")
        )
    print(f"written: {options.to_given} ({counted(len(tokens), 'row')} of {counted(matrix.shape[1], 'number')})")
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
    if options.kind == "audio" and not options.encoder:
        raise ConfigError("sounds need a model; name one of transformers with --encoder=NAME or a folder")
    if not 0.1 <= options.seconds <= MOST_SECONDS:
        raise ConfigError(f"--seconds is {options.seconds}, expected a number from 0.1 to {MOST_SECONDS}")
    if workers_of(options)[0] is not None and options.kind == "text" and options.encoder in (None, "tfidf"):
        raise ConfigError("TF-IDF reads all texts at once, in this process; leave --workers out, or name a model")
    if options.kind == "text" and not names_in(options.columns):
        raise ConfigError("--columns is missing; name the columns of text with commas between")


def _texts(options: argparse.Namespace) -> tuple[list[str], Any, list[str]]:
    from recbole_sheaf.data.raw_datasets import item_texts
    from recbole_sheaf.features.encoding import Recipe
    from recbole_sheaf.features.text import encode_texts
    from recbole_sheaf.features.text_encoders import BATCH, sentence_encoder
    from recbole_sheaf.files.cache import content_key

    table, _ = item_texts(options.source, options.id, names_in(options.columns))
    columns = (table[name] for name in table)
    joined = dict(zip(table.index.tolist(), (options.separator.join(filter(None, row)) for row in zip(*columns))))
    tokens, texts = [token for token, text in joined.items() if text], [text for text in joined.values() if text]
    without = [token for token, text in joined.items() if not text]
    if not tokens:
        return [], None, without
    if options.encoder in (None, "tfidf"):
        known, matrix = encode_texts(options.to.stem, texts, options.dim)
        chosen = set(known.tolist())
        without += [token for place, token in enumerate(tokens) if place not in chosen]
        return [tokens[place] for place in known], matrix, without
    recipe = Recipe(
        sentence_encoder, (_from_anywhere(options.encoder), options.batch_size or BATCH, options.max_length)
    )
    done = _encoded(options, tokens, texts, [content_key([text]) for text in texts], recipe)
    return done.tokens, done.matrix, without


def _images(options: argparse.Namespace) -> tuple[list[str], Any, list[str]]:
    from recbole_sheaf.features.image_encoders import BATCH, image_encoder, image_files

    files = image_files(options.source)
    return _of_files(options, files, image_encoder, (_from_anywhere(options.encoder), options.batch_size or BATCH))


def _audio(options: argparse.Namespace) -> tuple[list[str], Any, list[str]]:
    from recbole_sheaf.features.audio_encoders import BATCH, audio_encoder
    from recbole_sheaf.features.audio_files import ENDINGS
    from recbole_sheaf.features.item_files import files_by_item

    files = files_by_item(options.source, ENDINGS, "sound")
    return _of_files(
        options, files, audio_encoder, (_from_anywhere(options.encoder), options.batch_size or BATCH, options.seconds)
    )


def _of_files(
    options: argparse.Namespace, files: dict[str, Path], make: Any, arguments: tuple
) -> tuple[list[str], Any, list[str]]:
    from recbole_sheaf.errors import DataError
    from recbole_sheaf.features.encoding import Recipe
    from recbole_sheaf.files.regular_files import hash_of_regular

    recipe = Recipe(make, arguments)
    recipe.encoder()  # refused before all files are read
    hashes = [hash_of_regular(path, DataError) for path in files.values()]
    done = _encoded(options, list(files), [path.absolute() for path in files.values()], hashes, recipe)
    return done.tokens, done.matrix, done.undecoded


def _from_anywhere(name: str) -> str:
    """A model's name, of a folder as workers with another working folder find it."""
    library, colon, rest = name.rpartition(":")
    return f"{library}{colon}{Path(rest).absolute()}" if Path(rest).is_dir() else name


def _encoded(
    options: argparse.Namespace, tokens: list[str], contents: list[Any], hashes: list[str], recipe: Any
) -> Any:
    """Encoded here, or by the workers that are asked for."""
    from recbole_sheaf.features.encoding import Elsewhere, encode_items

    workers, threads = workers_of(options)
    elsewhere = None if workers is None else Elsewhere(workers, recipe, threads)
    with ending_on_sigterm() if workers is not None else nullcontext():
        return encode_items(tokens, contents, hashes, recipe.encoder(), _cache(options), elsewhere)


_ENCODED = {"text": _texts, "images": _images, "audio": _audio}
_WHAT = {"text": "text", "images": "image that decodes", "audio": "sound that decodes"}


def _cache(options: argparse.Namespace) -> Path:
    from platformdirs import user_cache_dir

    return options.cache_dir or Path(user_cache_dir("recbole_sheaf"))


def parser() -> argparse.ArgumentParser:
    """Options of ``encode``."""
    options = Parser(
        prog="recbole-sheaf encode",
        description="Make a feature file from the texts, images or sounds of items.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("kind", choices=tuple(_ENCODED))
    options.add_argument("source", type=place, help="of text a table of items, of images and audio a folder")
    options.add_argument("--to", type=place, required=True, help="the .npz to write; its name is the modality's")
    options.add_argument("--encoder", help="see below (default of text: tfidf)")
    options.add_argument("--columns", help="of text: columns, joined in this order")
    options.add_argument("--separator", default=" ", help="of text: between columns (default: a blank)")
    options.add_argument("--id", metavar="COLUMN", help="of text: the column of ids (default: by its usual names)")
    options.add_argument("--dim", type=int, default=64, help="of tfidf: numbers in a vector, at most (default: 64)")
    options.add_argument("--max-length", type=int, help="of text: word pieces read of a text (default: the model's)")
    options.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="default: float32")
    options.add_argument("--batch-size", type=int, help="items encoded at once (default: 32, 16 of images, 8 of audio)")
    options.add_argument("--seconds", type=float, default=30.0, help="of audio: read of each file (default: 30)")
    options.add_argument("--cache_dir", type=Path, help="where vectors are kept (default: the user's cache folder)")
    add_worker_options(options)
    return options
