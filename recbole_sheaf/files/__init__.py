"""Files, as they are read from strangers and written whole: tables, arrays, feature files, ids, checkpoints, caches.

What is read is refused in one sentence where it is not what it claims to be, and unpickled never. A module of it is
imported by its name: most of them want neither PyTorch nor pandas.
"""
