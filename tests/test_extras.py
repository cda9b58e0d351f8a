"""One sentence for every package that only an extra brings."""

import sys
from types import SimpleNamespace

import pytest

from recbole_sheaf.embeddings.item_index import import_faiss
from recbole_sheaf.errors import ConfigError, EnvironmentMismatch
from recbole_sheaf.exports.files import check_target
from recbole_sheaf.exports.postgres import import_psycopg
from recbole_sheaf.exports.qdrant import import_qdrant
from recbole_sheaf.extras import from_extra
from recbole_sheaf.features.audio_encoders import audio_encoder
from recbole_sheaf.features.image_encoders import image_encoder
from recbole_sheaf.features.text_encoders import sentence_encoder


@pytest.mark.parametrize(
    ("module", "use", "sentence"),
    [
        ("PIL", lambda: image_encoder("timm:m"), r"image encoder timm:m needs PIL.*\[image\]\"$"),
        ("timm", lambda: image_encoder("timm:m"), r"image encoder timm:m needs timm.*\[image\]\"$"),
        ("torchvision", lambda: image_encoder("torchvision:m"), r"needs torchvision.*\[image\]\"$"),
        ("transformers", lambda: image_encoder("a-folder"), r"encoder a-folder needs transformers.*\[image\]\"$"),
        ("soundfile", lambda: audio_encoder("m"), r"audio encoder m needs soundfile.*\[audio\]\"$"),
        ("sentence_transformers", lambda: sentence_encoder("m"), r"needs sentence_transformers.*\[text\]\", or leave"),
        ("faiss", import_faiss, r"approximate search .*faiss.*\[ann\]\", or leave approximate=True out$"),
        ("qdrant_client", import_qdrant, r"Qdrant .*qdrant_client.*\[qdrant\]\", or name a .duckdb file$"),
        ("psycopg", import_psycopg, r"PostgreSQL .*psycopg.*\[postgres\]\", or name a .duckdb file$"),
        ("pgvector.psycopg", import_psycopg, r"PostgreSQL .*pgvector.*\[postgres\]\""),
        ("pyarrow", None, r"Parquet .*pyarrow.*\[parquet\]\", or name an .npz$"),
    ],
)
def test_says_which_extra_brings_what_is_absent(module, use, sentence, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(EnvironmentMismatch, match=sentence):
        use() if use else check_target(tmp_path / "vectors.parquet", (".parquet",))


@pytest.mark.parametrize(
    ("fault", "kind", "sentence"),
    [
        (
            ModuleNotFoundError("No module named 'einops'", name="einops"),
            EnvironmentMismatch,
            r"einops.*\[text\]",
        ),
        (ImportError("cannot import name 'x'"), ConfigError, "the model 'm' cannot be loaded .cannot import name 'x'"),
    ],
)
def test_a_model_that_cannot_be_imported_is_refused_in_a_sentence(fault, kind, sentence, monkeypatch):
    def fail(*args, **kwargs):
        raise fault

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=fail))
    with pytest.raises(kind, match=sentence):
        sentence_encoder("m")


def test_a_package_that_is_there_and_broken_shows_its_own_error():
    with pytest.raises(ImportError, match="libgomp"), from_extra("ann", "approximate search"):
        raise ImportError("libgomp.so.1: cannot open shared object file")
