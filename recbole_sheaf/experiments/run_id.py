"""What makes two runs the same run: resolved settings, the data they read, and the code that trains.

A run's id is a hash of the three, so a finished run is never run again and no changed run is taken for a finished one.
Paths, progress bars and logs do not count, nor do comments and docstrings.
"""

import ast
import functools
import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from recbole.config import Config

from recbole_sheaf.experiments.measure import versions
from recbole_sheaf.experiments.splits import CATALOGUE_SETTINGS
from recbole_sheaf.features.folder import files_of_content, named_file, with_its_ids
from recbole_sheaf.files.checkpoint_file import plain_settings
from recbole_sheaf.models.multimodal import ItemContent
from recbole_sheaf.plugin.own_models import registered
from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.settings.config import ranks_listed_items
from recbole_sheaf.settings.modality_choices import ModalityChoice, chosen_modalities

# Settings that say where things lie or what is shown; none changes a number. The content of what they point to counts.
WITHOUT_EFFECT = frozenset(
    "data_path cache_dir features_path checkpoint_dir show_progress state verbose search_space softmax_search_space "
    "gpu_id use_gpu local_rank nproc world_size offset ip port log_wandb wandb_project log_mlflow mlflow_experiment "
    "mlflow_tracking_uri log_to_file log_tensorboard "
    "save_dataset dataset_save_path save_dataloaders dataloaders_save_path config_files "
    "single_spec encoding item_sheaf_workers item_sheaf_ray_address".split()
)
# Settings of item content: without meaning to a model that reads none, which then is trained once for all ablations.
OF_CONTENT = frozenset("features missing_share ablation_seed modalities text_modalities text_dim".split())
OF_CATALOGUE = frozenset(CATALOGUE_SETTINGS)  # of these, what chooses items where those with content are ranked
# Modules that find names and refuse input; what they decide shows in the settings.
_REFUSING = (
    "recbole_sheaf.environment",
    "recbole_sheaf.errors",
    "recbole_sheaf.files.names",
    "recbole_sheaf.files.regular_files",
    "recbole_sheaf.files.whole_files",  # which only writes
    "recbole_sheaf.settings.config",
    "recbole_sheaf.settings.recbole_rules",
    "recbole_sheaf.settings.rules",
    "recbole_sheaf.settings.settings_files",
    "recbole_sheaf.settings.vocabulary",
)
_LISTS = ("MODEL_NAMES",)  # assignments that grow with every new model and change no other's numbers
_ROOTS = ("recbole_sheaf", "recbole_sheaf.experiments.training")
_PACKAGES = ("recbole", "torch", "dgl", "numpy", "scipy", "pandas", "scikit-learn")


def run_id(config: Config, threads: int, processes: int = 1) -> str:
    """The id of a run: sixteen hex digits, the same for whatever gives the same numbers.

    ``threads`` counts, because sums over other numbers of threads may differ in their last digits, and the number of
    processes that train together for the same reason.
    """
    parts: dict[str, Any] = {
        "settings": settings_that_count(config),
        "data": data_digest(config),
        "code": code_version(config["model"]),
        "threads": threads,
    }
    if processes > 1:
        parts["processes"] = processes
    return digest(json.dumps(parts, sort_keys=True, ensure_ascii=False))


def settings_that_count(config: Config) -> dict[str, Any]:
    """The resolved settings that decide a run's numbers."""
    settings: Mapping[str, Any] = config.final_config_dict
    left = WITHOUT_EFFECT
    if not issubclass(config.model_class, ItemContent):
        left |= OF_CONTENT - OF_CATALOGUE if ranks_listed_items(config) else OF_CONTENT
    counted = plain_settings({key: value for key, value in settings.items() if key not in left})
    if isinstance(counted.get("modalities"), list):
        counted["modalities"] = [_without_folder(entry) for entry in counted["modalities"]]
    return counted


def _without_folder(entry: Any) -> Any:
    """An entry of ``modalities`` whose file is its name alone: where it lies does not count, what it holds does."""
    if isinstance(entry, dict) and isinstance(entry.get("file"), str):
        return {**entry, "file": Path(entry["file"]).name}
    return entry


def data_digest(config: Config) -> str:
    """SHA-256 (16 digits) of every file of the dataset that a run may read: interactions, items, users, features."""
    folder, name = Path(config["data_path"]), config["dataset"]
    features = Path(config["features_path"]) if "features_path" in config and config["features_path"] else None
    files = [(path.name, path) for path in (*folder.glob(f"{name}.*"), *files_of_content(folder, features))]
    for choice in _chosen(config):
        if choice.file is not None:
            paths = with_its_ids(named_file(choice.file, folder, features))
            files += [(f"{choice.name}/{path.name}", path) for path in paths]
    return _digest_of_files(files)


def tables_digest(config: Config) -> str:
    """SHA-256 (16 digits) of the files of the dataset that a split may be made of."""
    return _digest_of_files([(path.name, path) for path in Path(config["data_path"]).glob(f"{config['dataset']}.*")])


def _digest_of_files(files: list[tuple[str, Path]]) -> str:
    named = sorted((told, _file_digest(str(path), *_stamp(path))) for told, path in files if path.is_file())
    return digest(json.dumps(named))


def _chosen(config: Config) -> list[ModalityChoice]:
    """What a model that reads content takes."""
    reads = issubclass(config.model_class, ItemContent) and "modalities" in config
    return chosen_modalities(config["modalities"]) if reads else []


def code_version(model: str) -> str:
    """Hash of the code that trains ``model``: its modules and those they import, and the releases beneath.

    Only this package's modules that the training reaches are read, and for a model of somebody else's those of its own
    package, as syntax trees without docstrings, so that a new model or a mended comment leaves finished runs finished.
    """
    roots = _ROOTS + ((MODELS[model],) if model in MODELS else ())
    own = registered().get(model)
    if own is not None:
        roots += (own.__module__,)
    trees = [_fingerprint(module) for module in sorted(_reached(roots))]
    if own is not None and _source(own.__module__) is None:
        trees.append(_typed_in(own))
    installed = versions()
    return digest("\0".join(trees + [f"{name} {installed[name]}" for name in _PACKAGES]))


def digest(text: str) -> str:
    """SHA-256 of a text, its first 16 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@functools.cache
def _file_digest(path: str, size: int, modified: int) -> str:
    """Of a file's content; size and time of change are there to notice that it changed."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _reached(roots: tuple[str, ...]) -> set[str]:
    """Modules of this package and of the roots' own ones that the roots import, directly or not."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found and module not in _REFUSING:
            found.add(module)
            waiting.extend(_imports(module))
    return found


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    return tuple(sorted(set(_named_imports(_tree(module), module))))


def _named_imports(tree: ast.Module, importer: str) -> Iterator[str]:
    packages = ("recbole_sheaf", importer.split(".")[0])
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            package = _absolute(node, importer)
            for alias in node.names if package.split(".")[0] in packages else ():
                submodule = f"{package}.{alias.name}"
                yield submodule if _source(submodule) else package
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in packages)


def _absolute(node: ast.ImportFrom, importer: str) -> str:
    """What ``from ..a import b`` names, seen from the importing module."""
    if not node.level:
        return node.module or ""
    path = _source(importer)
    parts = importer.split(".") + (["__init__"] if path is not None and path.name == "__init__.py" else [])
    return ".".join(parts[: -node.level] + ([node.module] if node.module else []))


@functools.cache
def _source(module: str) -> Optional[Path]:
    """The Python file of a module, None where there is none."""
    try:
        spec = importlib.util.find_spec(module)
        origin = spec.origin if spec is not None else None
    except ModuleNotFoundError:
        return None
    except ValueError:  # a script, whose module `__main__` has no spec
        origin = getattr(sys.modules[module], "__file__", None)
    return Path(origin) if origin and origin.endswith(".py") else None


def _typed_in(model: type) -> str:
    """The code of a class that no file defines, such as a notebook's; nothing where it cannot be had."""
    try:
        return inspect.getsource(model)
    except (OSError, TypeError):
        return ""


@functools.cache
def _tree(module: str) -> ast.Module:
    path = _source(module)
    return ast.parse(path.read_text(encoding="utf-8")) if path else ast.Module([], [])


@functools.cache
def _fingerprint(module: str) -> str:
    """A module's syntax tree as text, without docstrings and lists of names."""
    tree = ast.parse(ast.unparse(_tree(module)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Pass()
    tree.body = [node for node in tree.body if not _is_list_of_names(node)]
    return f"{module}\n{ast.unparse(tree)}"


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_list_of_names(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id in _LISTS for t in node.targets)
