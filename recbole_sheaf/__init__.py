"""Multimodal recommendation with sheaves on graphs, as a RecBole plugin."""

__version__ = "0.1.0"
