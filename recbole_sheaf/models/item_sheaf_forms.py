r"""The item sheaf of a dataset, fitted when it is asked for, in a form that validation may choose.

A :class:`Form` says what the closed form of :mod:`recbole_sheaf.sheaf.item_sheaf` is made of and how far it is shrunk:
the weights :math:`\alpha` of linear content and :math:`\beta` of neighbourhoods in content, the ridge :math:`\lambda`
and the share p of signal that a denoising regression drops. Vectors differ in what they are good for: on some data far
items' content tells something, on others only the nearest (docs/results/search-log.md). A fit takes seconds, so that a
few forms are tried: first the shrinkages, which histories decide, then the mixes of content under the best of them,
then whether modalities share these weights alike or by what each knows of taste (:func:`shares_by_lift`), then the
weights :math:`\omega_r` of what users have beside choosing (:mod:`recbole_sheaf.data.relations`).
"""

import functools
import logging
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from recbole_sheaf.data import cached_knn_arcs
from recbole_sheaf.data.co_choice import co_choice_lift
from recbole_sheaf.data.relations import Relation, relations_of
from recbole_sheaf.errors import ConfigError
from recbole_sheaf.errors import nearest as nearest_name
from recbole_sheaf.features import ModalityFeatures
from recbole_sheaf.layers.item_sheaf import ItemSheaf, arcs_into_each, fit_item_sheaf, maps_into_new, users_gram
from recbole_sheaf.models.local_shards import LocalShards
from recbole_sheaf.models.score_factors import MapsIntoNewItems
from recbole_sheaf.settings.config import cache_folder
from recbole_sheaf.sheaf.item_signals import (
    ItemSignals,
    Neighbourhoods,
    RelationSignals,
    content_coordinates,
    coordinates_of,
    item_signals,
    neighbourhoods,
)
from recbole_sheaf.workers.pools import ProcessWorkers, RayWorkers, ThisProcess, Workers, cannot_have_workers

logger = logging.getLogger(__name__)

MIXES = ((1.0, 3.0), (2.0, 0.0), (0.0, 0.0))  # alpha and beta of `auto`
SHRINKAGES = ((50.0, 0.5), (20.0, 0.5), (100.0, 0.5))  # lambda and p of `auto`
LIFT_POWERS = (0.0, 1.0)  # s of `auto`
RELATION_WEIGHTS = (0.0, 0.3, 1.0)  # omega_r of `auto`
ARCS_TO_CHOOSE = 50  # into each item of a local sheaf, while its form is chosen

Auto = Union[str, float]
Pair = TypeVar("Pair", bound=tuple)
Made = TypeVar("Made")


@dataclass(frozen=True)
class Form:
    """What an item sheaf is made of.

    Attributes:
        content: alpha, of all modalities together.
        neighbourhoods: beta, of all modalities together.
        ridge: lambda.
        map_dropout: p.
        relations: omega_r by the names of relations.
        lift_power: s of :func:`shares_by_lift`; 0 shares alike.
    """

    content: float
    neighbourhoods: float
    ridge: float
    map_dropout: float
    relations: tuple[tuple[str, float], ...] = ()
    lift_power: float = 0.0

    @property
    def weighs_content(self) -> bool:
        """Whether content is among the signals, linear or as neighbourhoods."""
        return bool(self.content or self.neighbourhoods)


@dataclass(frozen=True)
class Fitting:
    """How an item sheaf is fitted, whatever its form; see :func:`~recbole_sheaf.layers.item_sheaf.fit_item_sheaf`.

    Attributes:
        nearest: K of the neighbourhoods in content.
        modality_weights: factors of each modality's equal part of alpha and beta.
    """

    restriction_map: str
    neighbours: int
    cold_ridge: float
    history_power: float
    nearest: int
    modality_weights: Mapping[str, float]


def open_forms(content: Auto, near: Auto, ridge: Auto, dropout: Auto) -> list[list[Form]]:
    """The forms that settings leave open, a row for each mix of content, a column for each shrinkage."""
    mixes, shrinkages = _given(MIXES, (content, near)), _given(SHRINKAGES, (ridge, dropout))
    return [[Form(*mix, *shrinkage) for shrinkage in shrinkages] for mix in mixes]


def _given(pairs: Sequence[tuple[float, float]], given: tuple[Auto, Auto]) -> list[tuple[float, float]]:
    """The pairs with what is given in its place, each once."""
    found = [tuple(own if value == "auto" else float(value) for own, value in zip(pair, given)) for pair in pairs]
    return [(each[0], each[1]) for each in dict.fromkeys(found)]


def open_powers(lift_power: Auto, modalities: int) -> list[float]:
    """The s that a setting leaves open; where there is one modality there is nothing to share."""
    if lift_power != "auto":
        return [float(lift_power)]
    return list(LIFT_POWERS) if modalities > 1 else [0.0]


def shares_by_lift(lifts: Mapping[str, float], power: float) -> dict[str, float]:
    r"""Factors of the modalities, of mean 1, in proportion to :math:`\max(0, \ln \ell_m)^s`.

    The lift :math:`\ell_m` of a modality is how many times as often as by chance an item and one of its nearest in it
    are chosen together in training (:mod:`recbole_sheaf.data.co_choice`); its logarithm is the pointwise mutual
    information of being near and being chosen together. A modality at chance has no share; where all are, all have the
    same.

    Examples:
        >>> shares_by_lift({"text": 8.0, "image": 2.0, "noise": 0.9}, power=1.0)
        {'text': 2.25, 'image': 0.75, 'noise': 0.0}
    """
    informative = {name: max(0.0, math.log(max(lift, 1e-9))) for name, lift in lifts.items()}
    shares = {name: each**power if each else 0.0 for name, each in informative.items()}
    total = sum(shares.values())
    return {name: round(len(shares) * each / total, 12) if total else 1.0 for name, each in shares.items()}


def open_weights(relations: Mapping[str, Relation]) -> list[tuple[tuple[str, float], ...]]:
    """The weights that relations leave open, by name; where there is no relation the one that has none."""
    lists = [RELATION_WEIGHTS if each.weight == "auto" else (float(each.weight),) for each in relations.values()]
    return [tuple(zip(relations, weights)) for weights in product(*lists)]


class ClosedForm(nn.Module):
    """An item sheaf that is fitted on demand.

    The form's number is kept with the weights of a model; the sheaf follows from it, the data and the settings.

    Args:
        config: of RecBole, for the device, the backend, the cache and the workers.
        dataset: RecBole's, of the training interactions.
        modalities: content of the items.
        fitting: whatever the form.
        forms: see :func:`open_forms`.
        lift_power: s, or ``auto``.
    """

    number: Tensor

    def __init__(
        self,
        config: Any,
        dataset: Any,
        modalities: Mapping[str, ModalityFeatures],
        fitting: Fitting,
        forms: list[list[Form]],
        lift_power: Auto = 0.0,
    ) -> None:
        super().__init__()
        self.fitting, self._dataset, self._modalities = fitting, dataset, modalities
        self._cache, self._device, self._backend = cache_folder(config), config["device"], config["message_passing"]
        self._slots, self._ray_address = config["item_sheaf_workers"], config["item_sheaf_ray_address"]
        self.rows = forms if modalities else [[Form(0.0, 0.0, form.ridge, form.map_dropout) for form in forms[0]]]
        self.weights = open_weights(relations_of(dataset))
        weighed = any(form.weighs_content for row in self.rows for form in row)
        self.lift_powers = open_powers(lift_power, len(modalities) if weighed else 0)
        relations, power = self.weights[0], self.lift_powers[0]
        self.rows = [[replace(form, relations=relations, lift_power=power) for form in row] for row in self.rows]
        own = [replace(form, relations=each) for each in self.weights for row in self.rows for form in row]
        self.forms = [replace(form, lift_power=power) for power in self.lift_powers for form in own]
        self.register_buffer("number", torch.tensor(0), persistent=len(self.forms) > 1)
        self._fitted: dict[int, ItemSheaf] = {}  # by number, in a dictionary, since they are no part of the module
        self._made: Optional[dict[str, tuple[Any, Any]]] = None  # while forms are tried, what several of them share
        if len(self.forms) == 1:
            self.sheaf  # noqa: B018  # what cannot be fitted is refused at once

    @property
    def form(self) -> Form:
        """The one in use."""
        return self.forms[int(self.number)]

    def chosen(self, settings: Mapping[str, str]) -> dict[str, float]:
        """What of the form was left open and is now chosen, by the names of a model's settings."""
        first, taken = self.forms[0], self.form
        open_ones = [
            name for name in settings if any(getattr(form, name) != getattr(first, name) for form in self.forms)
        ]
        found: dict[str, float] = {settings[name]: getattr(taken, name) for name in open_ones}
        of_relations = zip(taken.relations, zip(*self.weights))
        return found | {f"relations.{own[0]}": own[1] for own, every in of_relations if len(set(every)) > 1}

    def take(self, form: Form) -> None:
        """Use another of the forms from now on, and let go of those fitted in any other."""
        number = self.forms.index(form)
        self.number.fill_(number)
        self._fitted = {own: sheaf for own, sheaf in self._fitted.items() if own == number}

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Fits until the end share what their forms have in common: signals, and M as far as it is made in one piece.

        What is no form's but the last one's is let go of. The numbers are those of fits apart.
        """
        self._made = {}
        try:
            yield
        finally:
            self._made = None

    def _shared(self, name: str, key: Hashable, make: Callable[[], Made]) -> Made:
        """What was made last, if it was for the same."""
        if self._made is None:
            return make()
        if self._made.get(name, (None,))[0] != key:
            self._made.pop(name, None)  # gigabytes, before as many are made
            self._made[name] = (key, make())
        found: Made = self._made[name][1]
        return found

    def tried(self, form: Form) -> Callable[[Int[Tensor, " b"]], Iterator[Float[Tensor, "b n_items"]]]:
        """Gives what the item sheaf alone says of users in a form, as the only ranking of them.

        A local sheaf is tried on ``ARCS_TO_CHOOSE`` arcs into each item, as its fit takes time O(n K^3). One that was
        tried on all its arcs need not be fitted again, until another is taken.
        """
        self.number.fill_(self.forms.index(form))
        arcs = arcs_into_each(self._dataset.item_num, self.fitting.neighbours)
        sheaf = self.fit(self.fitting.restriction_map, ARCS_TO_CHOOSE) if arcs > ARCS_TO_CHOOSE else self.sheaf

        def scored(users: Int[Tensor, " b"]) -> Iterator[Tensor]:
            yield sheaf.scores(users.to(self.number.device))

        return scored

    @property
    def sheaf(self) -> ItemSheaf:
        """The item sheaf in its form; fitted at the first call for it.

        Raises:
            ConfigError: as :func:`~recbole_sheaf.layers.item_sheaf.fit_item_sheaf`.
        """
        number = int(self.number)
        if number not in self._fitted:
            self._fitted[number] = self.fit(self.fitting.restriction_map)
        return self._fitted[number]

    def fit(self, restriction_map: str, neighbours: Optional[int] = None) -> ItemSheaf:
        """An item sheaf in the form in use with these maps, ``learnt`` or ``identity``, on so many arcs into each item.

        Raises:
            ConfigError: as :func:`~recbole_sheaf.layers.item_sheaf.fit_item_sheaf`.
        """
        neighbours = arcs_into_each(
            self._dataset.item_num, self.fitting.neighbours if neighbours is None else neighbours
        )
        form = self.form
        signals = self._shared("signals", replace(form, ridge=0.0, map_dropout=0.0), self.signals)
        with self._workers(neighbours) as workers:
            here, gram = isinstance(workers, ThisProcess), None
            if here and neighbours and self._made is not None:
                of_rows = (form.relations, *self._neighbourhood_weights.items())
                gram = self._shared("gram", of_rows, lambda: users_gram(signals))
            return fit_item_sheaf(
                signals,
                restriction_map=restriction_map,
                neighbours=neighbours,
                ridge=form.ridge,
                map_dropout=form.map_dropout,
                cold_ridge=self.fitting.cold_ridge,
                backend=self._backend,
                device=self._device,
                local_maps=None if here else LocalShards(workers),
                gram=gram,
            )

    def _workers(self, neighbours: int) -> Workers:
        """Who learns the maps: this process where all pairs are joined, or where it is a worker already."""
        if not neighbours or cannot_have_workers():
            return ThisProcess()
        if self._ray_address is not None:
            return RayWorkers(self._ray_address, torch.get_num_threads())
        return ProcessWorkers(self._slots) if self._slots else ThisProcess()

    @property
    def content_weights(self) -> dict[str, float]:
        """alpha of each modality."""
        return share_out(self.form.content, self._factors(), self._modalities)

    @property
    def _neighbourhood_weights(self) -> dict[str, float]:
        """beta of each modality."""
        return share_out(self.form.neighbourhoods, self._factors(), self._modalities)

    def _factors(self) -> Mapping[str, float]:
        """Of each modality's equal part: those given, times :func:`shares_by_lift`."""
        given, power = self.fitting.modality_weights, self.form.lift_power
        if not power or len(self._modalities) < 2:
            return given
        shares = shares_by_lift(self._lifts, power)
        return {**given, **{name: share * given.get(name, 1.0) for name, share in shares.items()}}

    @functools.cached_property
    def _lifts(self) -> dict[str, float]:
        """How many times as often as by chance nearest items of each modality are chosen together in training."""
        dataset = self._dataset
        n_users, n_items = dataset.user_num, dataset.item_num
        users, items = (dataset.inter_feat[field].numpy() for field in (dataset.uid_field, dataset.iid_field))
        pairs = np.divmod(np.unique(users * n_items + items), n_items)
        arcs = {
            name: cached_knn_arcs(features, self.fitting.nearest, self._cache)[:2]
            for name, features in self._modalities.items()
        }
        return {name: co_choice_lift(*each, *pairs, n_users, n_items) for name, each in arcs.items()}

    def signals(self) -> ItemSignals:
        """What the sheaf is fitted to; RecBole's padding has none."""
        weights = self.content_weights
        content, near = None, []
        if self._modalities:
            rows = [(features.matrix, features.present) for features in self._modalities.values()]
            content = content_coordinates(rows, [weights[name] for name in self._modalities])
            near = [
                content_neighbourhoods(self._modalities[name], self.fitting.nearest, weight, self._cache)
                for name, weight in self._neighbourhood_weights.items()
                if weight
            ]
        dataset = self._dataset
        relations = []
        for name, weight in self.form.relations:
            if weight:
                users, items = (torch.from_numpy(each) for each in relations_of(dataset)[name].known_pairs())
                relations.append(RelationSignals(users, items, weight))
        return item_signals(
            dataset.inter_feat[dataset.uid_field],
            dataset.inter_feat[dataset.iid_field],
            dataset.user_num,
            dataset.item_num,
            content,
            self.fitting.history_power,
            near,
            relations,
        )

    def maps_into_new(self, modalities: Mapping[str, ModalityFeatures]) -> Optional[MapsIntoNewItems]:
        """Maps into items that were not there, from their content alone; None where the form weighs no content.

        Args:
            modalities: content of these items, a row of padding first.

        Raises:
            ConfigError: if the item sheaf has no maps into cold items.

        Time O(n c^2 + c^3) beside O(k c dim).
        """
        ridge, weights = self.fitting.cold_ridge, self.content_weights
        if not (self.fitting.restriction_map == "learnt" and ridge):
            raise ConfigError(
                "the item sheaf of this model has no maps into items without interactions (identity maps, or a cold "
                "ridge of 0), so it cannot place new ones; train it with learnt maps and a cold ridge above 0"
            )
        signals, sheaf = self.signals(), self.sheaf
        if not signals.content.shape[1]:
            return None
        rows = []
        for name, own in self._modalities.items():
            if weights[name] > 0:
                learnt = coordinates_of(own.matrix, own.present, weights[name])
                rows.append(learnt.coordinates(modalities[name].matrix[1:], modalities[name].present[1:]))
        source, target = maps_into_new(sheaf, signals, torch.cat(rows, dim=1), ridge)
        return MapsIntoNewItems(target, lambda: sheaf.through_warm(source.to(sheaf.user_weight.device)))


def content_neighbourhoods(features: ModalityFeatures, nearest: int, weight: float, cache_dir: Path) -> Neighbourhoods:
    """Each item's nearest in one modality, by the cosine.

    Raises:
        ConfigError: if K is below 1 or not below the number of items, or the weight is negative.
    """
    n_items = len(features.matrix)
    if nearest >= n_items - 1:
        raise ConfigError(
            f"{nearest} nearest items in {features.name} were asked for, but there are {n_items - 1} items; give fewer"
        )
    src, dst, similarity = (torch.from_numpy(each) for each in cached_knn_arcs(features, nearest, cache_dir))
    return neighbourhoods(src, dst, similarity, n_items, weight)


def share_out(total: float, given: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, float]:
    """Weights of the modalities: ``total`` in equal parts, or each modality's own part of it where it is given."""
    for name, share in given.items():
        if name not in names:
            raise ConfigError(f"modality_weights names '{name}'{nearest_name(str(name), names)}, no modality in use")
        if isinstance(share, bool) or not isinstance(share, (int, float)) or share < 0:
            raise ConfigError(f"modality_weights gives {name} {share!r}, expected a number >= 0")
    return {name: total * given.get(name, 1.0) / len(names) for name in names}
