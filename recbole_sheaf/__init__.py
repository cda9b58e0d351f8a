"""Multimodal recommendation with sheaves on graphs, as a RecBole plugin.

``import recbole_sheaf`` is enough: afterwards RecBole's own entry points (``run_recbole``, ``load_data_and_model``,
``HyperTuning``, ...) know our models by name.
"""

import warnings

from recbole_sheaf.environment import check_environment, let_threads_sleep

let_threads_sleep()
check_environment()

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # said by ray on every import
    from recbole_sheaf import patches

    patches.apply()

__version__ = "0.1.0"
