"""Multimodal recommendation with sheaves on graphs, as a RecBole plugin.

``import recbole_sheaf`` is enough: afterwards RecBole's own entry points (``run_recbole``, ``load_data_and_model``,
``HyperTuning``, ...) know our models by name.
"""

from recbole_sheaf.environment import check_environment

check_environment()

from recbole_sheaf import recbole_compat, registration  # noqa: E402  the environment is checked before RecBole loads

recbole_compat.apply()
registration.register()

__version__ = "0.1.0"
