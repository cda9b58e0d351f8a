"""What a dataset is worth before anybody trains on it: its split, its users and items, its content.

``auditing`` loads a dataset as a run would and puts the parts together; ``interactions`` and ``content`` compute, from
arrays alone; ``findings`` says what a finding is; ``page`` makes a page of them.
"""

from recbole_sheaf.audit.auditing import audit_dataset
from recbole_sheaf.audit.findings import Audit, Finding

__all__ = ["Audit", "Finding", "audit_dataset"]
