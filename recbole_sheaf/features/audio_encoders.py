"""Sounds into vectors by an audio model of transformers: its own pooling of a clip, else the mean of its frames."""

import functools
import logging
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import EnvironmentMismatch, first_line
from recbole_sheaf.extras import from_extra
from recbole_sheaf.features.audio_files import read_audio
from recbole_sheaf.features.encoding import Encoder
from recbole_sheaf.features.text_encoders import identity, loaded
from recbole_sheaf.features.transformers_models import SAFE, pretrained

logger = logging.getLogger(__name__)

BATCH = 8
SECONDS = 30.0
FORMAT_VERSION = "audio-1"


class Clip(NamedTuple):
    """A sound as a model takes it, one row; ``true`` says which frames of the extractor are no padding."""

    values: Tensor
    true: Optional[Tensor]


class AudioTower(NamedTuple):
    """The audio part of a model, and the extractor that makes its input."""

    extractor: Any
    model: Any

    @property
    def rate(self) -> int:
        """Samples per second of the sounds that the model was trained with."""
        return self.extractor.sampling_rate

    def prepare(self, samples: np.ndarray) -> Clip:
        """A sound as the model takes it: of any length, or cut and filled to the model's own window."""
        longest = getattr(self.extractor, "nb_max_samples", len(samples))  # CLAP's cuts a longer one at a random place
        made = self.extractor(
            samples[:longest], sampling_rate=self.rate, return_tensors="pt", return_attention_mask=True
        )
        return Clip(made[self.extractor.model_input_names[0]].float(), made.get("attention_mask"))

    def rows_of(self, clips: Sequence[Clip]) -> Float[Tensor, "clips dim"]:
        """Vectors of clips of one shape."""
        asked = signature(self.model.forward).parameters
        masks = [clip.true for clip in clips if clip.true is not None]  # all or none: one extractor made them
        true = torch.cat(masks) if masks else None
        given = {self.extractor.model_input_names[0]: torch.cat([clip.values for clip in clips])}
        if true is not None and "attention_mask" in asked and not true.all():
            given["attention_mask"] = true
        if "is_longer" in asked:  # CLAP's, than its window: nothing is, for it was cut
            given["is_longer"] = torch.zeros(len(clips), 1, dtype=torch.bool)
        return _pooled(self.model(**given), true)


def audio_encoder(name: str, batch_size: int = BATCH, seconds: float = SECONDS) -> Encoder:
    """The encoder of an audio model of transformers.

    Clips are a batch where the model's input has one shape. None is padded for the sake of another, so a vector is its
    file's alone, whatever lies beside it: vectors are kept by content.

    Args:
        name: on the hub, or of a folder.
        batch_size: files at once.
        seconds: read of each file.

    Raises:
        EnvironmentMismatch: if transformers, soundfile or soxr is not installed.
        ConfigError: if there is no such model, its weights are no safetensors, or it does not hear.
    """
    with from_extra("audio", f"the audio encoder {name}"):
        try:
            import soundfile  # noqa: F401
            import soxr  # noqa: F401
        except ModuleNotFoundError:
            raise
        except (ImportError, OSError) as error:  # the last where soundfile finds no libsndfile
            raise EnvironmentMismatch(f'{first_line(error)}; pip install "recbole-sheaf[audio]"') from error
        tower = loaded(name, functools.partial(_tower, name))

    def encode(paths: Sequence[Path]) -> list[Optional[np.ndarray]]:
        sounds = [read_audio(path, tower.rate, seconds) for path in paths]
        return _in_one_shape([None if sound is None else tower.prepare(sound) for sound in sounds], tower.rows_of)

    return Encoder(f"{FORMAT_VERSION} {identity(name)} {float(seconds)}", encode, batch_size)


def _in_one_shape(
    clips: Sequence[Optional[Clip]], rows_of: Callable[[Sequence[Clip]], Tensor]
) -> list[Optional[np.ndarray]]:
    rows: list[Optional[np.ndarray]] = [None] * len(clips)
    places: dict[tuple[int, ...], list[int]] = {}
    for place, clip in enumerate(clips):
        if clip is not None:
            places.setdefault(tuple(clip.values.shape), []).append(place)
    for alike in places.values():
        with torch.no_grad():
            made = rows_of([clip for place in alike if (clip := clips[place]) is not None]).numpy()
        for place, row in zip(alike, made):
            rows[place] = row
    return rows


def _tower(name: str) -> AudioTower:
    """Load a model and let it hear a second of nothing, so that one that cannot is refused before any work."""
    from transformers import AutoFeatureExtractor

    extractor, model = AutoFeatureExtractor.from_pretrained(name, **SAFE), pretrained(name)
    if not hasattr(extractor, "sampling_rate"):
        raise ValueError("it does not hear: its feature extractor has no sampling_rate")
    tower = AudioTower(extractor, _hearing_part(model))
    try:
        with torch.no_grad():
            tower.rows_of([tower.prepare(np.zeros(tower.rate, np.float32))])
    except (TypeError, AttributeError) as error:
        raise ValueError(f"it gives no hidden states of sound, {first_line(error)}") from error
    return tower


def _hearing_part(model: Any) -> Any:
    """The audio tower of CLAP, the encoder of Whisper and its like."""
    if hasattr(model, "audio_model"):
        return model.audio_model
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model


def _pooled(output: Any, true: Optional[Tensor]) -> Float[Tensor, "clips dim"]:
    """The model's own pooling where it has one (AST, CLAP), else the mean of the frames that are no padding.

    Frame j of T stands for the place j F / T of the extractor's F frames.
    """
    pooled = getattr(output, "pooler_output", None)
    if pooled is not None:
        return pooled.flatten(1)
    frames = output.last_hidden_state
    if true is None:
        return frames.mean(dim=1)
    count = frames.shape[1]
    weight = true[:, torch.arange(count) * true.shape[1] // count].to(frames).unsqueeze(2)
    return (frames * weight).sum(dim=1) / weight.sum(dim=1)
