"""Neural Sheaf Diffusion as its paper has it: node classification, learnt maps beside identity maps.

The models of Bodnar et al. 2022 (https://arxiv.org/abs/2202.04579) on one given graph, held to the reference
implementation's numbers, and what ``recbole-sheaf classify`` runs on them. No recommender imports this room: the layers
of recommenders are :mod:`recbole_sheaf.layers`, the mathematics of both is :mod:`recbole_sheaf.sheaf`. Arcs (row, col)
carry the map of their row, which is the destination of :mod:`recbole_sheaf.layers.message_passing`.

- :mod:`.discrete_diffusion`, :mod:`.continuous_diffusion`: the models, on what they share, :mod:`.sheaf_diffusion`.
- :mod:`.sheaf_learners`, :mod:`.sheaf_laplacian`, :mod:`.symmetric_product`, :mod:`.sparse_features`: their parts.
- :mod:`.classification`, with :mod:`.data`, :mod:`.settings`, :mod:`.results` and :mod:`.table`: the paper's protocol.
"""
