"""What may be set: the door to RecBole's ``Config``, the rules of its keys and values, and the YAML files they are in.

A module of it is imported by its name, as :mod:`.vocabulary` is without RecBole and without PyTorch.
"""
