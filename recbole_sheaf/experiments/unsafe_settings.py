"""Settings that would make RecBole run what a text or a file holds, refused in one place.

RecBole evaluates one setting as Python and reads the files that others name as pickles. Every door to settings asks
here: command line, settings files, experiment files, trials of a search and checkpoints.
"""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import torch
from safetensors import SafetensorError

from recbole_sheaf.errors import ConfigError, first_line

TEACHERS = ("CrossNet", "CIN")  # the networks that RecBole's KD_DAGFM has
UNREADABLE = (  # what PyTorch raises on a file that is no data alone
    *(OSError, RuntimeError, ValueError, LookupError, AttributeError, TypeError, EOFError, ImportError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, SafetensorError),
)


class UnsafeSetting(NamedTuple):
    """A setting and what is wrong with its value.

    Attributes:
        models: of RecBole that read it; none means all.
        objection: to a value, given all settings; None where there is none.
    """

    key: str
    models: tuple[str, ...]
    objection: Callable[[Any, Mapping[str, Any]], Optional[str]]


def _pickled_data(value: Any, settings: Mapping[str, Any]) -> Optional[str]:
    return "names a pickle, which is not read; give data_path and the dataset's own files" if value else None


def _writes_pickle(value: Any, settings: Mapping[str, Any]) -> Optional[str]:
    return "is true, which would write a pickle that nothing here reads again; leave it out" if value else None


def _no_teacher(value: Any, settings: Mapping[str, Any]) -> Optional[str]:
    if value in TEACHERS:
        return None
    return f"is {value!r:.80}, which RecBole would run as Python; expected {' or '.join(TEACHERS)}"


def _no_weights(value: Any, settings: Mapping[str, Any]) -> Optional[str]:
    """RecBole leaves it to PyTorch's default whether a file is data alone; here it must be."""
    if not value:
        return None
    try:
        torch.load(value, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        said = first_line(error)
        return f"names {value!r:.80}, which cannot be read as data alone ({said}); give a .pth of RecBole's trainer"
    return None


def _pickled_embeddings(value: Any, settings: Mapping[str, Any]) -> Optional[str]:
    if value == 1:
        return None
    path = Path(settings["data_path"]) / "item_emb.npy"
    try:
        np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        said = first_line(error)
        return f"is {value!r}, for which RecBole reads {path}, no array of plain numbers ({said}); set it to 1"
    return None


UNSAFE_SETTINGS = (
    UnsafeSetting("dataset_save_path", (), _pickled_data),
    UnsafeSetting("dataloaders_save_path", (), _pickled_data),
    UnsafeSetting("save_dataset", (), _writes_pickle),
    UnsafeSetting("save_dataloaders", (), _writes_pickle),
    UnsafeSetting("teacher", ("KD_DAGFM",), _no_teacher),
    UnsafeSetting("warm_up", ("KD_DAGFM",), _no_weights),
    UnsafeSetting("pre_model_path", ("ConvNCF", "RaCT", "S3Rec"), _no_weights),
    UnsafeSetting("pretrain_path", ("NAIS",), _no_weights),
    UnsafeSetting("mf_pretrain_path", ("NeuMF",), _no_weights),
    UnsafeSetting("mlp_pretrain_path", ("NeuMF",), _no_weights),
    UnsafeSetting("n_cate", ("LDiffRec",), _pickled_embeddings),
)


def refuse_unsafe(config: Any) -> None:
    """Refuse resolved settings by which RecBole would run a stranger's code.

    Raises:
        ConfigError: naming the setting, its value and what it may be.
    """
    settings = config.final_config_dict
    for key, models, objection in UNSAFE_SETTINGS:
        if key in settings and (not models or config["model"] in models):
            found = objection(settings[key], settings)
            if found is not None:
                raise ConfigError(f"{key} {found}")


def refuse_unsafe_names(dataset: str) -> None:
    """Refuse a dataset's name that is a path: log files and converted folders are named after it.

    Raises:
        ConfigError: naming what arrived.
    """
    if not dataset or dataset.startswith(".") or set(dataset) & set("/\\\0\n"):
        raise ConfigError(f"the dataset's name is {dataset!r}, expected that of a folder in data_path, not a path")
