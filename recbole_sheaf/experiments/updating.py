"""Yesterday's model and today's log: a new dataset folder, and a checkpoint that goes on from the old one.

Tokens keep their numbers, new ones come behind them. What is fitted in closed form is fitted anew to all interactions,
in the form that was chosen; tables of users and items go on from their rows, all other weights from where they were;
the parts of a score are weighed again on validation.
"""

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, Union

import pandas as pd
import torch
from recbole.utils import ModelType

from recbole_sheaf.data.appended import TEST, TRAIN, VALID, appended
from recbole_sheaf.data.conversion import Interactions, RawDataset, write_dataset
from recbole_sheaf.data.identity import data_read
from recbole_sheaf.data.mmrec import origin_of
from recbole_sheaf.data.raw_features import Vectors
from recbole_sheaf.data.raw_interactions import ITEM, PART, RATING, TIME, USER
from recbole_sheaf.data.relations import relations_of
from recbole_sheaf.errors import CheckpointError, ConfigError, DataError, FeatureError, nearest, shown
from recbole_sheaf.experiments.checkpoints import SILENT, Restored, own_settings, restore
from recbole_sheaf.experiments.library_warnings import hushed
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.experiments.training import Prepared, checkpoint_path, train
from recbole_sheaf.features import load_modalities
from recbole_sheaf.features.modality import join_by_token
from recbole_sheaf.files.atomic import field_types, read_columns, read_header, read_table
from recbole_sheaf.files.whole_files import whole_file
from recbole_sheaf.models.weighing import choose_form
from recbole_sheaf.settings.config import RECBOLE_PROPERTIES, cache_folder, seed_of_split
from recbole_sheaf.settings.modality_choices import ModalityChoice, chosen_modalities
from recbole_sheaf.store.records import RunResult

EPOCHS = 5  # of a day, see docs/take-away.md
# Settings of a run that say how its dataset was read and split, in the place of which the new folder has its own.
OF_THE_OLD_FOLDER = frozenset(
    "data_path features_path encoding load_col unload_col unused_col benchmark_filename split eval_args catalogue "
    "modalities text_modalities USER_ID_FIELD ITEM_ID_FIELD RATING_FIELD TIME_FIELD field_separator seq_separator "
    "user_inter_num_interval item_inter_num_interval filter_inter_by_user_or_item rm_dup_inter epochs".split()
)
FORM = "closed_form.number"  # which form of an item sheaf is in use


@dataclass(frozen=True)
class Updated:
    """What an update wrote: the checkpoint, the dataset's folder, lines on both, and the result of the training."""

    checkpoint: Path
    folder: Path
    said: list[str]
    result: RunResult


def update(
    path: Union[str, Path],
    today: RawDataset,
    to: Optional[Path] = None,
    *,
    epochs: int = EPOCHS,
    choose: bool = False,
    data_path: Optional[str] = None,
    trust: bool = False,
) -> Updated:
    """Train a checkpoint on with new interactions, users and items.

    Args:
        path: of the checkpoint, which stays as it is, as does its dataset.
        today: new interactions, content and texts of new items.
        to: the folder of the dataset with them; by default beside the old one, ``<name>-update1`` and so on.
        epochs: of training; a closed form has one, which trains nothing.
        choose: choose the form of an item sheaf again.
        data_path, trust: as for :func:`~recbole_sheaf.experiments.checkpoints.restore`.

    Returns:
        The new checkpoint, beside the old one: it appears whole when all is done, or not at all.

    Raises:
        CheckpointError: as :func:`~recbole_sheaf.experiments.checkpoints.restore`, or as :func:`carry_over`.
        ConfigError: if the model or its split cannot be updated.
        DataError, FeatureError: if there is something at ``to``, nothing new, or content is not the model's.
        WriteError: if it cannot be written.

    Time is that of reading both datasets, ``epochs`` epochs, a fit of the closed form and the weighing.
    """
    if epochs < 1:
        raise ConfigError(f"epochs is {epochs}, expected 1 or more")
    restored = restore(path, data_path, trust)
    settings = own_settings(restored.checkpoint)
    _refuse_unfit(restored, settings, today)
    target = Path(to) if to is not None else _next_folder(restored)
    if os.path.lexists(target):
        raise DataError(f"{target} exists; give another place, or remove it if no checkpoint was trained on it")
    raw = _union(restored, today)
    first = max(1, restored.checkpoint.epoch + 1)  # RecBole's epoch 0 chooses the form of an item sheaf

    with _removed_after_an_error(target):
        said = write_dataset(raw, target)
        with hushed():
            own = _new_settings(restored, settings, target, first + epochs)
            config = resolve_configs([restored.config["model"]], target.name, [], own)[0]
            split = load_split(config)
            checkpoint = Path(checkpoint_path(config, None))
            with whole_file(checkpoint) as file:

                def start(prepared: Prepared) -> None:
                    prepared.trainer.saved_model_file = str(file)
                    carry_over(restored, prepared)
                    _start_at(first, epochs, choose, prepared)

                trained = train(config, split, start=start)
    return Updated(checkpoint, target, said, replace(trained.result, checkpoint=str(checkpoint)))


def carry_over(restored: Restored, prepared: Prepared) -> None:
    """Put a checkpoint's weights into a model on the same users and items and more, which have the same numbers.

    Rows of users, of items, or of one below the other go to where these are; rows of new ones stay as the model
    initialised them. Of a closed form the weights are what it was fitted to, and only which form it has is carried.

    Raises:
        CheckpointError: if a tensor of another shape has no such rows.
    """
    model, old = prepared.model, restored.checkpoint.state
    (n_users, n_items), (all_users, all_items) = (_sizes(each) for each in (restored.prepared, prepared))
    users, items = torch.arange(n_users), torch.arange(n_items)
    rows = {
        (n_users, all_users): users,
        (n_items, all_items): items,
        (n_users + n_items, all_users + all_items): torch.cat([users, all_users + items]),
    }
    state = model.state_dict()
    for name in state:
        if restored.config["MODEL_TYPE"] is ModelType.TRADITIONAL and name != FORM:
            continue
        then, now = old[name], state[name]
        if then.shape == now.shape:
            now.copy_(then)
        elif then.shape[1:] == now.shape[1:] and (len(then), len(now)) in rows:
            now[rows[len(then), len(now)].to(now.device)] = then.to(now)
        else:
            raise CheckpointError(
                f"{name} of {restored.config['model']} has the shape {tuple(then.shape)} on the old data and "
                f"{tuple(now.shape)} on the new, and its rows are neither of users nor of items, so that it cannot be "
                "trained on; train again"
            )
    model.load_state_dict(state)
    if len(getattr(model, "weighings", ())) > 1:
        model.weigh(model.weighings[0])  # as every training begins; validation weighs again


def _sizes(prepared: Prepared) -> tuple[int, int]:
    dataset = prepared.train_data.dataset
    return dataset.user_num, dataset.item_num


def _start_at(first: int, epochs: int, choose: bool, prepared: Prepared) -> None:
    trainer = prepared.trainer
    traditional = trainer.config["MODEL_TYPE"] is ModelType.TRADITIONAL
    trainer.start_epoch, trainer.epochs = first, first + (1 if traditional else epochs)
    trainer.eval_step = min(trainer.eval_step, 1)
    if choose:
        choose_form(trainer, prepared.valid_data)


@contextlib.contextmanager
def _removed_after_an_error(folder: Path) -> Iterator[None]:
    """A context in which a folder is made, which is of no use without what comes after it."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _refuse_unfit(restored: Restored, settings: Mapping[str, Any], today: RawDataset) -> None:
    config, name = restored.config, restored.config["model"]
    if config["MODEL_TYPE"] not in (ModelType.GENERAL, ModelType.TRADITIONAL):
        raise ConfigError(
            f"{name} reads more than users and items, and such models are not updated; train it again, or take a "
            "general recommender such as MMSheaf"
        )
    if config["split"] == "cold_items":
        raise ConfigError(
            f"{restored.checkpoint.path} is of split: cold_items, which keeps items out of training for a test; update "
            "a model of another split"
        )
    if settings.get("val_interval"):
        raise ConfigError(
            "val_interval left interactions out of this run, and a dataset with a split of its own is taken as it is; "
            "filter the table, and train once without that setting"
        )
    if settings.get("features", "real") != "real" or settings.get("missing_share"):
        raise ConfigError(f"{restored.checkpoint.path} is of ablated content; update a model of features: real")
    if relations := relations_of(restored.split.dataset):
        raise ConfigError(
            f"{restored.checkpoint.path} was trained beside {', '.join(relations)}, to which an update adds no day; "
            "train again, or update a model of relations: {}"
        )
    own = getattr(restored.model, "modalities", {})
    for modality, (_, rows) in today.features.items():
        if modality not in own:
            has = f"it has {', '.join(own)}" if own else "it reads no content"
            raise FeatureError(f"the model has no modality '{modality}'{nearest(modality, own)}; {has}: leave it out")
        if rows.shape[1] != own[modality].dim:
            raise FeatureError(
                f"the new vectors of '{modality}' have {rows.shape[1]} numbers and the model's {own[modality].dim}; "
                "encode new items as the others were"
            )


def _next_folder(restored: Restored) -> Path:
    old = origin_of(Path(restored.config["data_path"]))
    if old.is_relative_to(RECBOLE_PROPERTIES.parent):
        raise ConfigError(f"{old.name} lies in RecBole's own folder, beside which nothing is written; give to=...")
    stem = re.sub(r"-update\d+$", "", old.name)
    numbers = (number for number in itertools.count(1) if not os.path.lexists(old.parent / f"{stem}-update{number}"))
    return old.parent / f"{stem}-update{next(numbers)}"


def _union(restored: Restored, today: RawDataset) -> RawDataset:
    """Old and new together: users and items in the order of their numbers, the new ones behind."""
    config, dataset = restored.config, restored.split.dataset
    new = pd.concat(list(today.interactions.pieces()), ignore_index=True)
    keep = config["repeated_interactions"] == "keep"
    both = appended(_old_table(restored), new, repeats=keep, seed=seed_of_split(config))
    had_users, had_items = (dataset.field2id_token[field][1:] for field in (dataset.uid_field, dataset.iid_field))
    users = list(dict.fromkeys([*had_users, *both.table[USER]]))
    items = list(dict.fromkeys([*had_items, *both.table[ITEM], *today.items()]))
    texts, types = _texts(restored, items, today.texts)
    grown = (
        f"{len(users) - len(had_users):,} new users behind {len(had_users):,}, "
        f"{len(items) - len(had_items):,} new items behind {len(had_items):,}"
    )
    content = _content(restored, items, today.features)
    said = [*today.said, *both.said, grown]
    table = both.table.drop(columns=PART)
    interactions = Interactions(lambda: [table], users, items, len(table))
    return RawDataset(interactions, texts, types, content, parts=both.table[PART], lists_users=True, said=said)


def _old_table(restored: Restored) -> pd.DataFrame:
    """The interactions of the run's parts, with ratings and times as they are written."""
    dataset = restored.split.dataset
    parts = []
    for name, part in zip((TRAIN, VALID, TEST), restored.split.parts):
        tokens = {
            ours: dataset.id2token(field, part.inter_feat[field].numpy())
            for ours, field in ((USER, dataset.uid_field), (ITEM, dataset.iid_field))
        }
        parts.append(pd.DataFrame({**tokens, PART: name}))
    table = pd.concat(parts, ignore_index=True)
    written = _written(restored)
    return table if len(written.columns) == 2 else table.merge(written, how="left", on=[USER, ITEM])


def _written(restored: Restored) -> pd.DataFrame:
    """Users, items, ratings and times of the old tables, a line of each pair."""
    config, folder = restored.config, Path(restored.config["data_path"])
    parts = config["benchmark_filename"]
    names = [f"{config['dataset']}.{part}.inter" for part in parts] if parts else [f"{config['dataset']}.inter"]
    ours = {
        config["USER_ID_FIELD"]: USER,
        config["ITEM_ID_FIELD"]: ITEM,
        config["RATING_FIELD"] or RATING: RATING,
        config["TIME_FIELD"]: TIME,
    }
    separator, tables = config["field_separator"], []
    for name in names:
        table = read_table(folder / name, separator, config["encoding"] or "utf-8")
        types = field_types(table.name, table.header)
        wanted = [place for place, field in enumerate(types) if field in ours]
        frame = table.read(wanted)
        frame.columns = [ours[list(types)[place]] for place in wanted]
        tables.append(frame)
    together = pd.concat(tables, join="inner", ignore_index=True).drop_duplicates([USER, ITEM])
    return together.dropna(axis=1)


def _texts(
    restored: Restored, items: Sequence[str], new: Optional[pd.DataFrame]
) -> tuple[Optional[pd.DataFrame], dict[str, str]]:
    """Columns of the item table but those of vectors, with new lines of items that had none, and their types."""
    path = Path(restored.config["data_path"]) / f"{restored.config['dataset']}.item"
    if not path.is_file():
        return new, {}
    field = restored.config["ITEM_ID_FIELD"]
    types = {name: kind for name, kind in field_types(path.name, read_header(path)[0]).items() if kind != "float_seq"}
    if field not in types:
        return new, {}
    old = read_columns(path, list(types)).fillna("").drop_duplicates(field).set_index(field)
    if new is not None:
        if unknown := [name for name in new if name not in old]:
            raise DataError(
                f"the new items have a column {shown(unknown[0])} and the old ones {', '.join(old) or 'none'}"
                f"{nearest(unknown[0], old)}; leave it out"
            )
        old = pd.concat([old, new[~new.index.isin(old.index)]])
    del types[field]
    return old[old.index.isin(items)].reindex(items).fillna("") if types else None, types


def _content(restored: Restored, items: Sequence[str], new: Mapping[str, Vectors]) -> dict[str, Vectors]:
    """Vectors of the model's modalities as they were read, no normalisation applied, and those of items without."""
    config, ids = restored.config, {"[PAD]": 0, **{token: number for number, token in enumerate(items, start=1)}}
    features = load_modalities(
        folder=Path(config["data_path"]),
        dataset_name=config["dataset"],
        token2id=ids,
        n_items=len(ids),
        modalities=[_as_read(choice) for choice in _choices(restored)],
        text_modalities=config["text_modalities"] or {},
        feature_dim_text=config["text_dim"],
        cache_dir=cache_folder(config),
        features_path=Path(config["features_path"]) if config["features_path"] else None,
        item_field=config["ITEM_ID_FIELD"],
        ordered=data_read(config).text,
    )
    content = {}
    for name, held in features.items():
        matrix, present = held.matrix, held.present
        if name in new:
            more = join_by_token(name, *new[name], ids, len(ids))
            matrix = torch.where((more.present & ~present)[:, None], more.matrix, matrix)
            present = present | more.present
        content[name] = ([items[row - 1] for row in present.nonzero().flatten().tolist()], matrix[present].numpy())
    return content


def _choices(restored: Restored) -> list[ModalityChoice]:
    """How each modality of the model was chosen."""
    listed = {choice.name: choice for choice in chosen_modalities(restored.config["modalities"])}
    return [listed.get(name, ModalityChoice(name)) for name in getattr(restored.model, "modalities", {})]


def _as_read(choice: ModalityChoice) -> Union[str, dict[str, Any]]:
    given = {"columns": list(choice.columns), "text_dim": choice.text_dim, "file": choice.file}
    return choice.name if choice.by_name else {"name": choice.name, **{key: v for key, v in given.items() if v}}


def _new_settings(restored: Restored, settings: Mapping[str, Any], target: Path, epochs: int) -> dict[str, Any]:
    """The run's own, but for what says how its dataset was read."""
    kept = {key: value for key, value in settings.items() if key not in OF_THE_OLD_FOLDER}
    named = {choice.name: choice.normalise for choice in _choices(restored)}
    modalities = [name if how == "none" else {"name": name, "normalise": how} for name, how in named.items()]
    content = {"modalities": modalities} if hasattr(restored.model, "modalities") else {}
    mode = {key: value for key, value in (settings.get("eval_args") or {}).items() if key == "mode"}
    return {
        **kept,
        **content,
        **SILENT,
        **({"eval_args": mode} if mode else {}),
        "epochs": epochs,
        "data_path": str(target.parent),
        "checkpoint_dir": str(restored.checkpoint.path.parent),
    }
