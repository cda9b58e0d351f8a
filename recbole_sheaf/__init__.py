"""Multimodal recommendation with sheaves on graphs, as a RecBole plugin.

``import recbole_sheaf`` is enough: RecBole's own entry points (``run_recbole``, ``load_data_and_model``,
``HyperTuning``, ...), imported before or after, know our models by name. It changes no number of RecBole's own models
but Pop's, no random state, no logging handler and no environment variable.
"""

from recbole_sheaf import import_hook
from recbole_sheaf.environment import check_environment

check_environment()
import_hook.install()

__version__ = "0.1.0"
