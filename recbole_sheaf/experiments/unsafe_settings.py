"""Settings that would make RecBole run what a file holds, or write where a name points, refused in one place.

RecBole evaluates some settings as Python and unpickles the files that others name. Every door to settings asks here:
command line, settings files, experiment files and checkpoints.
"""

from recbole_sheaf.errors import ConfigError


def refuse_unsafe_names(dataset: str) -> None:
    """Refuse a dataset's name that is a path: log files and converted folders are named after it.

    Raises:
        ConfigError: naming what arrived.
    """
    if not dataset or dataset.startswith(".") or set(dataset) & set("/\\\0"):
        raise ConfigError(f"the dataset's name is {dataset!r}, expected that of a folder in data_path, not a path")
