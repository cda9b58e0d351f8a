"""Models from the reference implementation's settings and parameters, under its names.

Through it the models are held to the outputs and gradients that the reference implementation of Bodnar et al. 2022
(https://arxiv.org/abs/2202.04579) gives for the same parameters.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Union, get_type_hints

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from recbole_sheaf.nsd.continuous_diffusion import ContinuousSheafDiffusion
from recbole_sheaf.nsd.diffusion_settings import DiffusionSettings
from recbole_sheaf.nsd.discrete_diffusion import NeuralSheafDiffusion
from recbole_sheaf.nsd.sheaf_diffusion import SheafDiffusion
from recbole_sheaf.sheaf import undirected_graph

REFERENCE_KINDS = {"diag": "diagonal", "bundle": "orthogonal", "general": "general"}
REFERENCE_NAMES = {
    "d": "stalk_dim",
    "layers": "num_layers",
    "orth": "orthogonal_map",
    "sheaf_act": "sheaf_activation",
    "use_act": "use_activation",
    "max_t": "end_time",
    "int_method": "solver",
}
SAME_NAMES = (
    "input_dim",
    "output_dim",
    "hidden_channels",
    "edge_weights",
    "sparse_learner",
    "normalised",
    "deg_normalised",
    "add_lp",
    "add_hp",
    "left_weights",
    "right_weights",
    "second_linear",
    "input_dropout",
    "dropout",
    "step_size",
)


def from_manifest(
    entry: Mapping[str, Any],
    parameters: Mapping[str, Union[np.ndarray, Tensor]],
    edge_index: Int[Tensor, "..."],
) -> SheafDiffusion:
    """Build a model from an entry of the reference implementation's manifest and its parameters.

    Args:
        entry: ``kind`` (one of ``diag``, ``bundle``, ``general``, alone or within a longer name) and ``args``, the
            reference's arguments, ``graph_size`` among them.
        parameters: arrays by the names of the reference's ``state_dict``. One ``sheaf_learner`` for all times, or names
            under ``odefunc`` or ``odeblock``, make the model a continuous one.
        edge_index: (2, a), both directions of every edge, in any order.

    Returns:
        The model in evaluation mode, in the parameters' precision; ``model(x)`` gives log-probabilities, and
        ``model.named_parameters()`` has the reference's names.

    """
    continuous = any("odefunc" in name or name.startswith("sheaf_learner.") for name in parameters)
    model_class = ContinuousSheafDiffusion if continuous else NeuralSheafDiffusion
    graph = undirected_graph(edge_index, entry["args"]["graph_size"])
    settings = settings_from_reference(entry["kind"], entry["args"])
    if continuous:
        settings = replace(settings, sparse_learner=False)  # the reference's continuous models never use it
    model = model_class(graph, settings)
    tensors = {_own_name(name): torch.as_tensor(value) for name, value in parameters.items()}
    model = model.to(next(iter(tensors.values())).dtype)
    model.load_state_dict(tensors)
    return model.eval()


def settings_from_reference(kind: str, args: Mapping[str, Any]) -> DiffusionSettings:
    """Settings from the reference implementation's model kind and arguments.

    Args:
        kind: holds ``diag``, ``bundle`` or ``general``; a bundle is always normalised.
        args: its arguments; those that are no setting of ours are left aside.

    """
    families = [family for name, family in REFERENCE_KINDS.items() if name in kind.lower()]
    assert len(families) == 1, kind
    settings = {ours: args[theirs] for theirs, ours in REFERENCE_NAMES.items() if theirs in args}
    settings.update({name: args[name] for name in SAME_NAMES if name in args})
    settings.update(restriction_map=families[0], relearn_maps=not args.get("linear", False))
    if families[0] == "orthogonal":
        settings.update(normalised=True, deg_normalised=False)
    types = get_type_hints(DiffusionSettings)  # JSON may hold 0 for False or 0.0
    return DiffusionSettings(**{name: types[name](value) for name, value in settings.items()})


def _own_name(name: str) -> str:
    return name.replace("odeblock.", "").replace("odefunc.", "")
