"""The file of a checkpoint: a model's tensors as safetensors, all else as JSON in the header of the same file.

Nothing in it can run: safetensors checks every offset against the length of the file before a tensor is read, and the
JSON holds plain values. What a model keeps beside its weights, RecBole's ``other_parameter``, such as the matrices of
EASE, goes the same way: its arrays are tensors of the file, its shape is JSON. So does what says whose the rows are,
:mod:`recbole_sheaf.data.identity`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, Union

import numpy as np
import scipy.sparse
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from recbole_sheaf.errors import CheckpointError, first_line
from recbole_sheaf.files.whole_files import whole_file

SUFFIX = ".safetensors"
FORMAT = 2
KEY = "recbole_sheaf"  # of our JSON in the header
OTHER, DATA = "other_parameter:", "data:"  # begin names of tensors that are no weights, which have no colon
WITHOUT_DATA = (
    "which did not write whose rows a checkpoint holds: on a table in another order of lines they would get wrong "
    "names; train again, or use that release"
)
MOST_HEADER = 2**25  # bytes; RippleNet on a million interactions has 2**23
DENSE_KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"array": np.asarray, "matrix": np.asmatrix}


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint's content: ``about`` the run, weights by name, ``other_parameter`` by attribute, what was read."""

    about: dict[str, Any]
    state: dict[str, torch.Tensor]
    other: dict[str, Any]
    data: dict[str, torch.Tensor]


def write_checkpoint(
    path: Union[str, Path],
    model: Any,
    about: Mapping[str, Any],
    data: Mapping[str, Any],
    of_data: Mapping[str, torch.Tensor],
) -> None:
    """Write a model, and JSON about it, whole or not at all.

    Args:
        path: of the file.
        model: to write.
        about: its run.
        data, of_data: what it was built on, as JSON and as tensors.

    Raises:
        CheckpointError: if ``other_parameter`` holds what is neither a number, a text, an array nor made of such.
        WriteError: if the place cannot be written.
    """
    tensors = {name: _own_copy(tensor) for name, tensor in model.state_dict().items()}
    other = {name: _packed(name, value, tensors) for name, value in _other_parameter(model).items()}
    tensors |= {f"{DATA}{name}": tensor for name, tensor in of_data.items()}
    ours = {"format": FORMAT, "other_parameter": other, "recbole_sheaf": metadata.version("recbole-sheaf")}
    header = {**about, **ours, "data": data}
    with whole_file(path, (SafetensorError,), durable=False) as new:  # an epoch's: a run's is made durable at its end
        save_file(tensors, new, {"format": "pt", KEY: json.dumps(header, ensure_ascii=False)})


def write_pickle(path: Union[str, Path], state: Any) -> None:
    """Write what ``torch.save`` takes, whole or not at all.

    Raises:
        WriteError: if the place cannot be written.
    """
    with whole_file(path, durable=False) as new, open(new, "wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # of the end that is missing, which hides what the system or Ctrl-C said before
            if isinstance(error.__context__, (OSError, KeyboardInterrupt)):
                raise error.__context__ from None
            raise


def read_checkpoint_file(path: Union[str, Path]) -> CheckpointFile:
    """Read a checkpoint in O(its length); a file that claims to be longer than it is is refused unread.

    Raises:
        CheckpointError: if it is cut short, no such file, or of another format.
    """
    try:
        _refuse_long_header(Path(path))
        with safe_open(path, "pt") as file:
            about = _about(path, file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, AttributeError, KeyError) as error:  # the last two: a dtype PyTorch has not
        raise CheckpointError(f"{path} is no whole safetensors file ({first_line(error)}); copy it again") from error
    state = {name: tensor for name, tensor in tensors.items() if not name.startswith((OTHER, DATA))}
    data = {name[len(DATA) :]: tensor for name, tensor in tensors.items() if name.startswith(DATA)}
    try:
        other = {name: _unpacked(value, tensors) for name, value in about.pop("other_parameter").items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"other_parameter in {path} is not as we write it ({first_line(error)})") from error
    return CheckpointFile(about, state, other, data)


def put_into(model: Any, state: Mapping[str, torch.Tensor], other: Mapping[str, Any]) -> None:
    """Load a checkpoint into a model on the model's device: the weights, and what it keeps beside them.

    Raises:
        CheckpointError: if a tensor is missing, superfluous, of another shape or kind, or holds NaN.
    """
    _refuse_misfits(model.state_dict(), state)
    _refuse_misfits(_other_parameter(model), other)
    model.load_state_dict(state)
    model.load_other_parameter({name: _moved(value, model.device) for name, value in other.items()})


def plain_settings(value: Any) -> Any:
    """Settings as JSON can hold them: enumerations by name, devices and paths as text."""
    if isinstance(value, Mapping):
        return {str(key): plain_settings(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_settings(item) for item in value]
    if isinstance(value, Enum):
        return value.name
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _own_copy(tensor: torch.Tensor) -> torch.Tensor:
    """In memory of its own, as the format demands: tied weights are written twice."""
    return tensor.detach().cpu().contiguous().clone()


def _other_parameter(model: Any) -> dict[str, Any]:
    """RecBole's ``other_parameter`` but for the layers in it, whose weights are among the model's."""
    other = model.other_parameter()
    return {name: value for name, value in other.items() if not isinstance(value, torch.nn.Module)}


def _packed(name: str, value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON of a value, its arrays put among the tensors."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.Tensor):
        return {"tensor": _kept(value, tensors)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        kind = "matrix" if isinstance(value, np.matrix) else "array"
        return {kind: _kept(torch.from_numpy(np.array(value)), tensors)}
    if isinstance(value, np.generic):
        return {"array": _kept(torch.from_numpy(np.array(value)), tensors)}
    if scipy.sparse.issparse(value):
        rows = value.tocsr()
        parts = [_kept(torch.from_numpy(part), tensors) for part in (rows.data, rows.indices, rows.indptr)]
        return {"sparse": value.format, "shape": list(value.shape), "csr": parts}
    if isinstance(value, Mapping):
        return {"pairs": [[_packed(name, item, tensors) for item in pair] for pair in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(name, item, tensors) for item in value]
    raise CheckpointError(
        f"other_parameter of the model has a {type(value).__name__} in '{name}', which a checkpoint cannot hold; "
        "make it a tensor, an array or a sparse matrix"
    )


def _kept(tensor: torch.Tensor, tensors: dict[str, torch.Tensor]) -> str:
    name = f"{OTHER}{len(tensors)}"
    tensors[name] = _own_copy(tensor)
    return name


def _unpacked(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "pairs" in value:
        return {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in value["pairs"]}
    if "sparse" in value:
        parts = tuple(tensors[name].numpy() for name in value["csr"])
        rows = scipy.sparse.csr_matrix(parts, shape=value["shape"])
        rows.check_format()
        return rows.asformat(value["sparse"])
    ((kind, name),) = value.items()
    return tensors[name] if kind == "tensor" else DENSE_KINDS[kind](tensors[name].numpy())


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _refuse_long_header(path: Path) -> None:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MOST_HEADER:
        raise CheckpointError(f"{path} claims a header of {length} bytes, more than the {MOST_HEADER} there may be")


def _about(path: Union[str, Path], header: Mapping[str, str]) -> dict[str, Any]:
    if KEY not in header:
        raise CheckpointError(f"{path} is a safetensors file of another program; give one that 'run' wrote")
    try:
        about = json.loads(header[KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the header of {path} is no JSON ({first_line(error)}); copy it again") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        if found == 1:
            raise CheckpointError(f"{path} is of an earlier release, {WITHOUT_DATA}")
        raise CheckpointError(
            f"{path} has format {found!r}, this release reads {FORMAT}; use the release that wrote it"
        )
    return about


def _refuse_misfits(expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    if missing := sorted(set(expected) - set(found)):
        raise CheckpointError(f"the checkpoint lacks {_some(missing)}, which its model has; it is of another model")
    if strange := sorted(set(found) - set(expected)):
        raise CheckpointError(f"the checkpoint has {_some(strange)}, which its model has not; it is of another model")
    for name, wanted in expected.items():
        value = found[name]
        if wanted is not None and _shape(value) != _shape(wanted):
            raise CheckpointError(
                f"{name} is {_said(value)} in the checkpoint, but {_said(wanted)} in a model of its settings on this "
                "dataset; give the dataset with which it was trained"
            )
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.isnan().any():
            raise CheckpointError(f"{name} holds NaN in the checkpoint; train the model anew")


def _shape(value: Any) -> Any:
    """What two values must have in common for one to take the other's place."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.is_floating_point()
    if hasattr(value, "shape"):
        return tuple(value.shape), scipy.sparse.issparse(value)
    return next((kind for kind in (dict, str, float, int) if isinstance(value, kind)), list)


def _said(value: Any) -> str:
    return f"of shape {tuple(value.shape)}" if hasattr(value, "shape") else f"a {type(value).__name__}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
