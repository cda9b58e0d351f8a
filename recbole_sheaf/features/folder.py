"""Which files of a dataset folder hold item content: one for each modality, named after it."""

import logging
from pathlib import Path
from typing import Optional

from recbole_sheaf.errors import FeatureError
from recbole_sheaf.files import id_files
from recbole_sheaf.files.feature_files import ENDINGS

logger = logging.getLogger(__name__)

MMREC_SUFFIX = "_feat"
_LISTED = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"


def feature_files(folder: Path, features_path: Optional[Path] = None) -> dict[str, Path]:
    """Feature files by modality, sorted; one in ``features/`` goes before an MMRec ``.npy`` of the same name.

    Raises:
        FeatureError: if ``features_path`` is given and is no folder or holds none, or a modality has two files there.
    """
    features = Path(features_path) if features_path else folder / "features"
    if features_path and not features.is_dir():
        raise FeatureError(
            f"features_path '{features_path}' is not a folder; give one with <modality>.npz files, or leave it out"
        )
    given = files_in(features)
    if features_path and not given:
        raise FeatureError(
            f"features_path '{features_path}' holds no {_LISTED}; put <modality>.npz files there, or leave it out"
        )
    found = {path.stem[: -len(MMREC_SUFFIX)]: path for path in folder.glob(f"*{MMREC_SUFFIX}.npy")}
    return dict(sorted({**found, **given}.items()))


def files_in(features: Path) -> dict[str, Path]:
    """The feature file of each modality in a folder of nothing else.

    Raises:
        FeatureError: if a modality has two.
    """
    found: dict[str, Path] = {}
    for path in _of_endings(features, ENDINGS):
        if path.stem in found:
            raise FeatureError(f"{features} holds {found[path.stem].name} and {path.name}; keep one of them")
        found[path.stem] = path
    return found


def files_of_content(folder: Path, features_path: Optional[Path] = None) -> list[Path]:
    """Every file from which :func:`feature_files` may be read, ids beside arrays among them."""
    features = Path(features_path) if features_path else folder / "features"
    return [*folder.glob(f"*{MMREC_SUFFIX}.npy"), *_of_endings(features, (*ENDINGS, *id_files.ENDINGS))]


def named_file(file: str, folder: Path, features_path: Optional[Path] = None) -> Path:
    """The feature file that a setting names: in the folder of features, unless it is absolute."""
    return (Path(features_path) if features_path else folder / "features") / Path(file).expanduser()


def with_its_ids(path: Path) -> list[Path]:
    """A feature file and the files of ids that may lie beside it."""
    return [path, *(path.with_name(f"{path.stem}{ending}") for ending in id_files.ENDINGS)]


def _of_endings(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if path.name.endswith(endings) and not path.name.startswith(".")]
