r"""Restriction maps of an item sheaf, learnt in closed form.

Nodes are n items, and every signal on them (:mod:`.item_signals`: histories of users, coordinates of content) restricts
into one edge space by the same maps: maps common to all modalities. Learning them is, at each node, a ridge regression
of all signals there on the same signals at the neighbours. With M the signals' Gram matrix and a diagonal Lambda,

.. math::
    P = (M + \Lambda)^{-1}, \qquad B = I - P D^{-1}, \qquad D = \mathrm{diag}(P),
    \qquad \Lambda = \lambda I + \tfrac{p}{1 - p} \mathrm{diag}(M),

column i of the transport B holds the coefficients of node i, and its diagonal is zero: EASE (Steck 2019,
https://arxiv.org/abs/1905.03375); p is the share of signal that a denoising regression drops (EDLAE, Steck 2020,
https://proceedings.neurips.cc/paper/2020/hash/e33d974aae13e4d877477d51d8bafdc4-Abstract.html); content as further rows
is CEASE (Jeunen et al. 2020, https://doi.org/10.1145/3383313.3412480). With stalks of dimension d, D is the block
diagonal of P and each map a d x d matrix.

How far P is a sheaf Laplacian: :math:`I - B = P D^{-1}`, so P takes the part of an operator whose off-diagonal entries
are signed arc weights. A symmetric P is a sheaf Laplacian with scalar stalks, :math:`P = \delta^\top \delta`, with
at most two nodes on every hyperedge, if and only if it is scaled diagonally dominant: there is s > 0 with
:math:`P_{ii} s_i \ge \sum_{j \ne i} |P_{ij}| s_j` (matrices of factor width two; Hansen & Ghrist 2019,
https://arxiv.org/abs/1808.01513, for the Laplacian). A positive definite P need not be, and nothing here relies on it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from recbole_sheaf.errors import ConfigError, ShapeError


def ridge_diagonal(diagonal: Float[Tensor, " n"], ridge: float, dropout: float) -> Float[Tensor, " n"]:
    """Diagonal of Lambda, ``ridge + p / (1 - p) diag(M)``, from that of M.

    Args:
        ridge: lambda.
        dropout: p, the share of signal that is dropped.

    Raises:
        ConfigError: if ``ridge`` is negative or ``dropout`` outside [0, 1).

    Examples:
        >>> ridge_diagonal(torch.tensor([4.0, 0.0]), ridge=1.0, dropout=0.5)
        tensor([5., 1.])
    """
    if ridge < 0:
        raise ConfigError(f"ridge is {ridge}, expected a number >= 0; a negative one rewards large maps")
    if not 0 <= dropout < 1:
        raise ConfigError(f"map_dropout is {dropout}, expected a share >= 0 and < 1")
    return ridge + dropout / (1 - dropout) * diagonal


def precision(gram: Float[Tensor, "n n"], ridge: Float[Tensor, " n"]) -> Float[Tensor, "n n"]:
    """``P = (M + Lambda)^-1`` by Cholesky, symmetric to the last bit. Time O(n^3), memory O(n^2) beside M.

    Raises:
        ShapeError: if M is not square or Lambda not its size.
        ConfigError: if an entry of Lambda is negative, or M + Lambda is not positive definite.

    Examples:
        >>> precision(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), ridge=torch.ones(2))
        tensor([[0.2500, 0.0000],
                [0.0000, 0.5000]])
    """
    if gram.shape != (len(ridge), len(ridge)):
        raise ShapeError(f"a Gram matrix {tuple(gram.shape)} and a ridge of {len(ridge)} do not fit; give (n, n) and n")
    if bool((ridge < 0).any()):
        raise ConfigError(f"ridge is {float(ridge.min())} at a node, expected a number >= 0")
    regular = gram + torch.diag(ridge)
    factor = torch.cholesky_inverse(cholesky_factor(regular))
    return factor.tril() + factor.tril(-1).mT


def transport(precision: Float[Tensor, "nd nd"], stalk_dim: int = 1) -> Float[Tensor, "nd nd"]:
    r"""Full transport :math:`B = I - P \, \mathrm{blockdiag}(P_{ii})^{-1}`, blocks (i, i) exactly zero.

    Block column i is the ridge regression of the d coordinates at node i on those at all other nodes. Time O(n^2 d^3).
    A reference for tests: :func:`scores` takes histories through B without forming it.

    Args:
        precision: P on n stalks of dimension d, coordinate k of node i in row ``i d + k``.
        stalk_dim: dimension d of a stalk.

    Raises:
        ShapeError: if the size of P is no multiple of d.

    Examples:
        >>> transport(torch.tensor([[2.0, -1.0], [-1.0, 4.0]])) + 0.0  # each column divided by its P_ii
        tensor([[0.0000, 0.2500],
                [0.5000, 0.0000]])
    """
    if stalk_dim < 1 or len(precision) % stalk_dim:
        raise ShapeError(f"P has {len(precision)} rows, no multiple of stalk_dim {stalk_dim}; choose a divisor")
    n = len(precision) // stalk_dim
    blocks = precision.view(n, stalk_dim, n, stalk_dim)
    own = torch.arange(n)
    inverse = torch.linalg.inv(blocks[own, :, own, :])
    out = -torch.einsum("ikjl,jlm->ikjm", blocks, inverse)
    out[own, :, own, :] = 0.0
    return out.reshape(precision.shape)


def scores(precision: Float[Tensor, "n n"], histories: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Scores ``x^T B`` of b histories without forming B, as ``x - (P x) / diag P``.

    Time O(b n^2), or less where x is sparse.

    Examples:
        >>> scores(torch.tensor([[2.0, -1.0], [-1.0, 4.0]]), torch.tensor([[1.0, 0.0]]))  # row 0 of B
        tensor([[0.0000, 0.2500]])
    """
    return histories - (histories @ precision) / precision.diagonal()


def unit_scale(diagonal: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """One over the length of each item's signals, ``diag(M)^-1/2``; zero where it has none.

    Examples:
        >>> unit_scale(torch.tensor([4.0, 0.0]))
        tensor([0.5000, 0.0000])
    """
    return torch.where(diagonal > 0, diagonal.clamp(min=torch.finfo(diagonal.dtype).tiny).rsqrt(), 0.0 * diagonal)


def cosine_transport(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Identity maps between all pairs of items, the control: cosines of their signals, with a zero diagonal.

    Examples:
        >>> cosine_transport(torch.tensor([[4.0, 2.0], [2.0, 4.0]]))
        tensor([[0.0000, 0.5000],
                [0.5000, 0.0000]])
    """
    scale = unit_scale(gram.diagonal())
    return (scale.unsqueeze(1) * gram * scale).fill_diagonal_(0.0)


def cholesky_factor(regular: Float[Tensor, "*b n n"]) -> Float[Tensor, "*b n n"]:
    """Cholesky factors of symmetric matrices, lower triangular.

    Raises:
        ConfigError: if a matrix is not positive definite.

    Examples:
        >>> cholesky_factor(torch.tensor([[4.0, 2.0], [2.0, 2.0]]))
        tensor([[2., 0.],
                [1., 1.]])
    """
    factor, failed = torch.linalg.cholesky_ex(regular)
    if bool(failed.any()):
        raise ConfigError(
            "the signals' Gram matrix plus the ridge is not positive definite: items or coordinates repeat each other; "
            "raise ridge (or map_dropout)"
        )
    return factor
