"""Embeddings of a trained model to take away: read out, written, read back, ranked from, explained.

A score is an inner product of a user's and an item's vector, plus, where a model has maps from item to item, a sum of
coefficients over the user's history (:mod:`.embeddings`). From these pieces alone lists are made that are the model's
(:mod:`.ranking`), new users and new items are placed with everything else frozen (:mod:`.placing`), and a score is
taken apart (:mod:`.explanation`).
"""
