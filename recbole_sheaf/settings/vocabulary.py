"""The words that settings may take and that more than one room knows, each list spelled once; imports nothing.

A family of restriction maps is said by what a map is made of (:mod:`recbole_sheaf.sheaf.restriction_maps`).
"""

RESTRICTION_MAPS = ("identity", "diagonal", "orthogonal", "general", "factored", "wide")
NODE_CLASSIFICATION_MAPS = ("identity", "diagonal", "orthogonal", "general")  # of Neural Sheaf Diffusion
ITEM_SHEAF_MAPS = ("learnt", "identity")
ITEM_GRAPH_ARCS = ("content", "item_sheaf", "identity")
ITEM_GRAPH_SHARES = ("auto", "equal")
MAP_SOURCES = ("content", "signal")
BACKENDS = ("auto", "dgl", "torch")
FEATURE_KINDS = ("real", "shuffled", "noise", "constant")
SPLITS = ("random", "time", "time_global", "leave_one_out", "cold_items")  # ways to split interactions, for short
CATALOGUES = ("auto", "content", "interactions")  # which items are ranked
NORMALISATIONS = ("none", "rows", "columns")  # of a modality's vectors
REPETITIONS = ("drop", "keep")  # what becomes of a pair of user and item that comes again
LOSSES = ("bpr", "softmax")  # the first is the one a model was published with
