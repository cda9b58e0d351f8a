"""Sections of a report, a module each; every function takes what it tells of and the words of a language."""
