"""Which models there are: ours and RecBole's."""

from recbole_sheaf.settings.config import RECBOLE_PROPERTIES

RECOMMENDERS = "recbole.model.general_recommender"  # the package in which RecBole looks for ours
MODEL_NAMES = (
    "MMSheaf",
    "SheafRec",
    "MMGCN",
    "FREEDOM",
    "BM3",
    "VBPR",
    "LATTICE",
    "Sheaf4Rec",
    "MGCN",
    "GRCN",
    "SLMRec",
    "LGMRec",
    "ItemSheaf",
    "ContentKNN",
    "SMORE",
    "MMGF",
    "BRIDGE",
    "L3AE",
)
MODELS = {name: f"recbole_sheaf.models.{name.lower()}" for name in MODEL_NAMES}


def recbole_names() -> list[str]:
    """Names of RecBole's models."""
    return [*(path.stem for path in (RECBOLE_PROPERTIES / "model").glob("*.yaml")), "Random"]
