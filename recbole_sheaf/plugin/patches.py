"""The one table of what this package replaces in RecBole 1.2.1, and the loop that puts it in place.

A row names an attribute of a RecBole module or class, what makes the replacement out of RecBole's own, and why. Every
replacement keeps RecBole's signature. What they do is in ``recbole_compat`` (mends), ``library_mends`` (those for
today's NumPy, SciPy, pandas and the packages that RecBole imports and hardly uses), ``registration`` (our models,
defaults and datasets), ``recbole_tables`` (its tables), ``data.exact_times`` (their order in time) and
``recbole_softmax`` (the softmax for RecBole's own models).
"""

import importlib
from typing import Any, Callable, NamedTuple

import torch

from recbole_sheaf.data import exact_times as times
from recbole_sheaf.models.weighing import settled_on_validation
from recbole_sheaf.plugin import library_mends as today
from recbole_sheaf.plugin import recbole_compat as mends
from recbole_sheaf.plugin import recbole_tables as tables
from recbole_sheaf.plugin import registration as ours
from recbole_sheaf.plugin.recbole_softmax import ADDED, served

Replace = Callable[[Any], Any]


class Patch(NamedTuple):
    """One replacement.

    Attributes:
        owner: a module of RecBole, or ``module:Class``; SciPy's where RecBole calls what that has no more.
        name: of its attribute.
        replace: gives the new attribute for RecBole's own.
        reason: what is wrong or wanting without it.
        added: whether RecBole's own code defines no such attribute.
    """

    owner: str
    name: str
    replace: Replace
    reason: str
    added: bool = False


def _instead(replacement: Any) -> Replace:
    """Whatever RecBole has, take this."""
    return lambda theirs: replacement


_CONFIG = "recbole.config.configurator:Config"
_DATASET = "recbole.data.dataset.dataset:Dataset"
_POP = "recbole.model.general_recommender.pop:Pop"
_TRAINER = "recbole.trainer.trainer"
_CHECKPOINTS = "torch.load refuses RecBole's checkpoints from release 2.6 (RecBole issue 2215)"
_LOADERS = "loss: softmax trains on batches of users, and RecBole chooses its loaders by the model's name"
_FLOAT32 = "RecBole orders by times in float32, in which seconds of today are 128 apart"
_SETTLED = "MMSheaf weighs its two sheaves on validation when its epochs are over"
_MATRICES = "LightGCN, NGCF and others fill a dok_matrix by what SciPy 1.13 took away (RecBole issue 2215)"
_RANDOM = "hyperopt 0.2.6 calls integers of the random state, which RecBole's has not"
_WORKERS = "a spawned process finds the function under our name, and so knows our models"

PATCHES = (
    Patch(ours.QUICK_START, "tune", today.ray_on_demand, "RecBole imports Ray, in a release without a wheel today"),
    Patch("recbole.utils.utils", "SummaryWriter", today.board_on_demand, "RecBole imports TensorBoard to log nothing"),
    *(
        Patch(module, "get_flops", today.flops_on_demand, "run_recbole counts FLOPs by thop for a line of its log")
        for module in ("recbole.utils.utils", "recbole.utils", ours.QUICK_START)
    ),
    Patch(_CONFIG, "compatibility_settings", _instead(today.numpy_names), "np.float_ is gone (RecBole issue 2215)"),
    Patch("scipy.sparse:dok_matrix", "_update", _instead(today.entries_taken), _MATRICES, added=True),
    Patch(_DATASET, "_dataframe_to_interaction", today.tensors_of_their_own, "tensors write into pandas 3's tables"),
    Patch(_DATASET, "_fill_nan", _instead(today.missing_filled), "a missing age is -9223372036854775808 from pandas 3"),
    *(
        Patch(owner, name, today.lengths_of_rows, "from pandas 3 on agg(len) counts the rows of a column of sequences")
        for owner, name in (
            *((_DATASET, name) for name in ("_remap", "_normalize", "_discretization")),
            ("recbole.data.dataset.kg_dataset:KnowledgeBasedDataset", "_reset_ent_remapID"),
            ("recbole.data.dataset.sequential_dataset:SequentialDataset", "_benchmark_presets"),
        )
    ),
    Patch("recbole.trainer.hyper_tuning", "exhaustive_search", today.drawing_from_either, _RANDOM),
    Patch(_CONFIG, "_build_yaml_loader", _instead(mends.safe_loader), "RecBole's loader builds objects from tags"),
    Patch(_CONFIG, "_convert_config_dict", _instead(mends.literal_settings), "RecBole runs eval on each text setting"),
    Patch(_CONFIG, "_load_cmd_line", mends.own_command_line, "RecBole takes a Ray worker's options for settings"),
    Patch(_CONFIG, "__getstate__", _instead(mends.config_state), _CHECKPOINTS, added=True),
    Patch(_CONFIG, "__setstate__", _instead(mends.restore_config), _CHECKPOINTS, added=True),
    Patch(_CONFIG, "_init_device", mends.device_without_cuda, "distributed runs hard-code nccl and cuda"),
    Patch(_CONFIG, "_get_model_and_dataset", ours.names_checked, "an unknown model ends in a stack trace"),
    Patch(_CONFIG, "_load_internal_config_dict", ours.with_our_defaults, "our YAML defaults, beneath all a user sets"),
    Patch(_CONFIG, "_set_default_parameters", ours.with_folder_recognised, "MMRec-style folders; absent datasets"),
    Patch(_CONFIG, "__init__", ours.settings_checked, "a misspelt key reads as None and trains the wrong model"),
    *(
        Patch(
            module,
            "get_model",
            lambda get_model: ours.unknown_refused(mends.anomaly_mode_kept(get_model)),
            "RecBole imports lightgbm in search of an unknown name; SINE traces each operation of the process",
        )
        for module in ("recbole.utils.utils", "recbole.utils", "recbole.config.configurator", ours.QUICK_START)
    ),
    Patch(_DATASET, "_download", mends.download_alone, "waits at a barrier nobody opened (RecBole issues 1989, 2050)"),
    Patch(_DATASET, "_load_feat", _instead(tables.load_feat), "a quote swallows lines, a user NA is dropped"),
    Patch(_DATASET, "_load_data", tables.with_interactions_checked, "one pair in training and in test, without a word"),
    Patch(_DATASET, "_get_remap_list", ours.numbered_as_listed, "a token's number changes with the order of lines"),
    Patch(_DATASET, "_remove_duplication", times.duplicates_removed, _FLOAT32),
    Patch(_DATASET, "_reset_index", times.keys_kept, _FLOAT32),
    Patch(_DATASET, "_change_feat_format", times.placed, _FLOAT32),
    Patch(
        _DATASET,
        "build",
        lambda build: ours.split_by_its_own_seed(times.by_exact_times(build)),
        f"each model seed would be judged on other interactions; {_FLOAT32}",
    ),
    Patch(
        "recbole.data.dataloader.general_dataloader:FullSortEvalDataLoader",
        "__init__",
        ours.relations_left_out,
        "what a user dislikes is never recommended, and so never ranked",
    ),
    Patch("recbole.data", "get_dataloader", ours.users_under_softmax, _LOADERS),
    Patch("recbole.data.utils", "get_dataloader", ours.users_under_softmax, _LOADERS),
    Patch(f"{_TRAINER}:Trainer", "_save_checkpoint", _instead(mends.save_checkpoint), _CHECKPOINTS),
    Patch(f"{_TRAINER}:Trainer", "_check_nan", _instead(mends.finite_loss), "a NaN loss ends in a stack trace"),
    *(
        Patch(f"{_TRAINER}:Trainer", name, mends.finite_scores, "the best of NaN is a list, with figures")
        for name in ("_full_sort_batch_eval", "_neg_sample_batch_eval")
    ),
    Patch(f"{_TRAINER}:Trainer", "load_best", _instead(mends.load_best), _SETTLED, added=True),
    Patch(f"{_TRAINER}:Trainer", "fit", settled_on_validation, _SETTLED),
    Patch(f"{_TRAINER}:Trainer", "evaluate", mends.best_weights, "checkpoints of our commands are safetensors"),
    Patch(
        _TRAINER, "DistributedDataParallel", _instead(mends.distributed_on_any_device), "device ids are CUDA's alone"
    ),
    Patch(
        "recbole.evaluator.collector:Collector",
        "get_data_struct",
        _instead(mends.collected),
        "ItemCoverage and its like end in \"'int' object has no attribute 'cpu'\"",
    ),
    *(
        Patch(module, "init_logger", mends.logging_to_files_on_demand, "commands that only read would make log/")
        for module in ("recbole.utils.logger", "recbole.utils", ours.QUICK_START)
    ),
    *(
        Patch(f"{_TRAINER}:{kind}", "__init__", mends.tensorboard_on_demand, "and log_tensorboard/ beside it")
        for kind in ("Trainer", "DecisionTreeTrainer")
    ),
    Patch("recbole.utils.logger", "get_local_time", mends.named_apart, "two runs begun in one second share a log file"),
    *(
        Patch(
            module, "ensure_dir", _instead(mends.ensure_dir), "of two processes that make a folder at once, one fails"
        )
        for module in ("recbole.utils.logger", "recbole.utils.utils", "recbole.utils", _TRAINER)
    ),
    Patch(_POP, "__init__", mends.popularity_counted, "Pop counts an item once a batch, and sampled negatives too"),
    Patch(_POP, "calculate_loss", _instead(mends.no_loss), "Pop counts while it trains"),
    Patch("recbole.quick_start", "run_recboles", _instead(ours.run_recboles), _WORKERS),
    Patch("recbole.quick_start", "objective_function", _instead(ours.objective_function), _WORKERS),
    Patch(ours.QUICK_START, "run_recboles", _instead(ours.run_recboles), _WORKERS),
    Patch(ours.QUICK_START, "objective_function", _instead(ours.objective_function), _WORKERS),
    *(
        Patch(owner, name, replace, "loss: softmax for RecBole's own model", added=name in ADDED)
        for owner, name, replace in served()
    ),
)


def apply() -> None:
    """Put every row in place, and let RecBole find our models; a second call does nothing."""
    with today.stand_ins():
        for patch in PATCHES:
            if (patch.owner, patch.name) not in mends.ORIGINALS:
                owner = owner_of(patch)
                mends.ORIGINALS[patch.owner, patch.name] = theirs = getattr(owner, patch.name, None)
                setattr(owner, patch.name, patch.replace(theirs))
    torch.serialization.add_safe_globals(mends.checkpoint_types())
    ours.add_finder()


def owner_of(patch: Patch) -> Any:
    """The module or class whose attribute a row replaces."""
    module, _, name = patch.owner.partition(":")
    found = importlib.import_module(module)
    return getattr(found, name) if name else found
