"""Settings of Neural Sheaf Diffusion models."""

from dataclasses import dataclass

from recbole_sheaf.settings.rules import CheckedSettings, setting
from recbole_sheaf.settings.vocabulary import NODE_CLASSIFICATION_MAPS
from recbole_sheaf.sheaf import ORTHOGONAL_MAPS, LaplacianOptions, num_arc_parameters


@dataclass(frozen=True)
class DiffusionSettings(CheckedSettings):
    """Settings of a Neural Sheaf Diffusion model.

    Attributes:
        input_dim: features of a node.
        output_dim: classes.
        restriction_map: ``identity`` (no learner: the control group), ``diagonal``, ``orthogonal`` or ``general``.
        stalk_dim: d.
        hidden_channels: h.
        num_layers: diffusion layers.
        orthogonal_map: parametrisation of orthogonal maps.
        edge_weights: learn a weight of each edge beside orthogonal maps.
        sparse_learner: learn maps from sums over the stalk.
        sheaf_activation: ``tanh``, ``elu`` or ``id``, on the maps.
        normalised, deg_normalised, augmented, add_lp, add_hp: see ``LaplacianOptions``.
        relearn_maps: learn new maps in every layer; otherwise the first layer's stay.
        left_weights: mix stalk coordinates, W1.
        right_weights: mix channels, W2.
        use_activation: sigma = ELU, also after the encoder; otherwise the identity.
        second_linear: a second linear map in the encoder.
        input_dropout, dropout: probabilities.
        end_time, solver, step_size: of the continuous model, which diffuses from time 0 to ``end_time``.
    """

    input_dim: int
    output_dim: int
    restriction_map: str = setting("diagonal", choices=NODE_CLASSIFICATION_MAPS)
    stalk_dim: int = setting(2, low=1)
    hidden_channels: int = setting(20, low=1)
    num_layers: int = setting(2, low=1)
    orthogonal_map: str = setting("householder", choices=ORTHOGONAL_MAPS)
    edge_weights: bool = True
    sparse_learner: bool = False
    sheaf_activation: str = setting("tanh", choices=("tanh", "elu", "id"))
    normalised: bool = True
    deg_normalised: bool = False
    augmented: bool = True
    add_lp: bool = False
    add_hp: bool = False
    relearn_maps: bool = True
    left_weights: bool = True
    right_weights: bool = True
    use_activation: bool = True
    second_linear: bool = False
    input_dropout: float = setting(0.0, low=0, high=1)
    dropout: float = setting(0.0, low=0, high=1)
    end_time: float = setting(1.0, above=0)
    solver: str = "euler"
    step_size: float = setting(0.1, above=0)

    @property
    def total_dim(self) -> int:
        """D: learnt stalk coordinates and fixed channels."""
        return self.stalk_dim + self.add_lp + self.add_hp

    @property
    def map_shape(self) -> tuple[int, ...]:
        """Shape of what a learner gives to one arc."""
        if self.restriction_map == "general":
            return (self.stalk_dim, self.stalk_dim)
        return (num_arc_parameters(self.restriction_map, self.stalk_dim, self.orthogonal_map),)

    @property
    def laplacian_options(self) -> LaplacianOptions:
        """The part that says how maps become a Laplacian."""
        return LaplacianOptions(self.normalised, self.deg_normalised, self.augmented, self.add_lp, self.add_hp)

    @property
    def has_edge_weights(self) -> bool:
        """Whether a weight of each edge is learnt: only beside orthogonal maps."""
        return self.edge_weights and self.restriction_map == "orthogonal"
