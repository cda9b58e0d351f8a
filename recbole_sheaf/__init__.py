"""Multimodal recommendation with sheaves on graphs, as a RecBole plugin.

``import recbole_sheaf`` is enough: RecBole's own entry points (``run_recbole``, ``load_data_and_model``,
``HyperTuning``, ...), imported before or after, know our models by name. It changes no number of RecBole's own models
but Pop's, no random state, no logging handler and no environment variable.
"""

from typing import TYPE_CHECKING

from recbole_sheaf.environment import check_environment, say_uncaught_in_a_sentence
from recbole_sheaf.errors import EnvironmentMismatch

try:
    check_environment()  # before anything that needs what it checks
except EnvironmentMismatch:
    say_uncaught_in_a_sentence()  # by a command, which this import comes before, and by a script
    raise

from recbole_sheaf.lazy_names import imported_on_demand
from recbole_sheaf.plugin import import_hook
from recbole_sheaf.plugin.own_models import register

if TYPE_CHECKING:
    from recbole_sheaf.plugin.recbole_compat import keep_reproducible

import_hook.install()

__all__ = ["keep_reproducible", "register"]

__version__ = "0.1.0"

__getattr__ = imported_on_demand(__name__, {"keep_reproducible": "plugin.recbole_compat"})
