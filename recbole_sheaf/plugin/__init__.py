"""How RecBole comes to know our models, settings and mends: a hook on its import, and one table of what it replaces.

A module of it is imported by its name: a command asks for names of models without RecBole and without PyTorch.
"""
