"""Images into vectors by a vision model of torchvision, timm or transformers, pooled before the classifier."""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import torch

from recbole_sheaf.errors import first_line
from recbole_sheaf.extras import from_extra
from recbole_sheaf.features.encoding import Encoder
from recbole_sheaf.features.item_files import files_by_item
from recbole_sheaf.features.text_encoders import identity, loaded
from recbole_sheaf.features.transformers_models import SAFE, pretrained

logger = logging.getLogger(__name__)

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
BATCH = 16

Parts = tuple[Callable[[Any], Any], Callable[[list[Any]], Any]]  # one image made ready, and rows of a batch of those


def image_encoder(name: str, batch_size: int = BATCH) -> Encoder:
    """The encoder named ``torchvision:resnet18``, ``timm:NAME``, ``transformers:NAME``, or a folder of transformers.

    Raises:
        EnvironmentMismatch: if its library or Pillow is not installed.
        ConfigError: if there is no such library or model.
    """
    library, colon, model = name.partition(":")
    if not colon or library not in _PARTS:
        library, model = "transformers", name
    with from_extra("image", f"the image encoder {name}"):
        import PIL  # noqa: F401

        prepare, rows_of = loaded(name, functools.partial(_PARTS[library], model))

    def encode(paths: Sequence[Path]) -> list[Optional[np.ndarray]]:
        ready = [_decoded(path, prepare) for path in paths]
        whole = [image for image in ready if image is not None]
        with torch.no_grad():
            rows = iter(rows_of(whole).float().numpy() if whole else ())
        return [None if image is None else next(rows) for image in ready]

    return Encoder(f"{library} {identity(model)}", encode, batch_size)


def image_files(folder: Path) -> dict[str, Path]:
    """Images by item token, which is the name without its ending.

    Raises:
        ConfigError: if the folder is none or holds none, or two images are of one item.
    """
    return files_by_item(folder, ENDINGS, "image")


def _decoded(path: Path, prepare: Callable[[Any], Any]) -> Any:
    """An image as the model takes it; None, and a warning, where it does not decode."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return prepare(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        logger.warning("%s does not decode and is left out (%s)", path.name, first_line(error))
        return None


def _torchvision(name: str) -> Parts:
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    model = models.get_model(name, weights=weights).eval()
    classifier = list(model.named_children())[-1][0]
    setattr(model, classifier, torch.nn.Identity())
    transform = weights.transforms()
    return transform, lambda images: model(torch.stack(images)).flatten(1)


def _timm(name: str) -> Parts:
    import timm
    from timm.data import create_transform, resolve_model_data_config

    path = Path(name)
    model = timm.create_model(f"local-dir:{name}" if path.is_dir() else name, pretrained=True, num_classes=0).eval()
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    return transform, lambda images: model(torch.stack(images))


def _transformers(name: str) -> Parts:
    from transformers import AutoImageProcessor

    processor, model = AutoImageProcessor.from_pretrained(name, **SAFE), pretrained(name)
    vision = getattr(model, "vision_model", model)  # of CLIP and its like

    def prepare(image: Any) -> Any:
        return processor(images=image, return_tensors="pt")["pixel_values"][0]

    return prepare, lambda images: _pooled(vision(pixel_values=torch.stack(images)))


def _pooled(output: Any) -> torch.Tensor:
    """The model's own pooling where it has one, else the mean of its tokens."""
    pooled = getattr(output, "pooler_output", None)
    return output.last_hidden_state.mean(dim=1) if pooled is None else pooled.flatten(1)


_PARTS: dict[str, Callable[[str], Parts]] = {"torchvision": _torchvision, "timm": _timm, "transformers": _transformers}
