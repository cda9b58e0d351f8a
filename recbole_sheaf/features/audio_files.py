"""Sounds from files: the beginning of each, its channels mixed into one, at the rate that a model hears."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
from jaxtyping import Float32

from recbole_sheaf.errors import first_line

logger = logging.getLogger(__name__)

ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")
SHORTEST = 0.1  # seconds; in much less than this a model has no frame
RATES = (1_000, 1_000_000)  # samples in a second that a recording may have
BLOCK = 1 << 16  # samples of each channel that are held at once


def read_audio(path: Path, rate: int, seconds: float) -> Optional[Float32[np.ndarray, " samples"]]:
    """The first ``seconds`` of a file; None, and a warning that names it, where there is nothing to hear.

    That is where it does not decode, is shorter than a tenth of a second, or holds samples that are no numbers.

    Time and memory O(samples read), whatever the length of the file.
    """
    import soundfile

    try:
        recorded, samples = _mixed(path, seconds)
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", first_line(error))  # without the path, which libsndfile puts before it
        logger.warning("%s does not decode and is left out (%s)", path.name, reason)
        return None
    if not RATES[0] <= recorded <= RATES[1] or len(samples) < SHORTEST * recorded:
        logger.warning("%s holds %d samples at %d a second and is left out", path.name, len(samples), recorded)
        return None
    if not np.isfinite(samples).all():
        logger.warning("%s holds samples that are NaN or Inf and is left out", path.name)
        return None
    return _resampled(samples, recorded, rate)


def _mixed(path: Path, seconds: float) -> tuple[int, Float32[np.ndarray, " samples"]]:
    """Rate and mean of the channels, read block by block: a header may name a thousand channels."""
    import soundfile

    with soundfile.SoundFile(path) as sound:
        mixed = list(_mixed_blocks(sound, int(seconds * sound.samplerate)))
        return sound.samplerate, np.concatenate([np.zeros(0, np.float32), *mixed])


def _mixed_blocks(sound: Any, count: int) -> Iterator[Float32[np.ndarray, " _"]]:
    """Until the samples end: a file that was cut short claims more, and ``SoundFile.blocks`` would make them up."""
    while count > 0 and len(block := sound.read(min(BLOCK, count), dtype="float32", always_2d=True)):
        count -= len(block)
        yield block.mean(axis=1)


def _resampled(samples: Float32[np.ndarray, " _"], recorded: int, rate: int) -> Float32[np.ndarray, " _"]:
    import soxr

    return samples if recorded == rate else soxr.resample(samples, recorded, rate)
