"""The changes that docs/extend.md shows apply to the package as it is, and do what the page says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY, TOY

PAGE = (REPOSITORY / "docs" / "extend.md").read_text(encoding="utf-8")
DIFFS = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)


def apply(diff, root):
    """A diff whose hunks say no lines: what it keeps and takes away stands once in the file."""
    for path, hunks in re.findall(r"^--- \S+\n\+\+\+ b/(\S+)\n(.*?)(?=^--- |\Z)", diff, re.DOTALL | re.MULTILINE):
        target = root / path
        for hunk in hunks.split("@@\n")[1:]:
            before = "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in " -")
            after = "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in " +")
            text = target.read_text(encoding="utf-8") if before else ""
            assert text.count(before) == 1, f"{path} does not have once:\n{before}"
            target.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the package with all changes of the page."""
    root = tmp_path_factory.mktemp("extended")
    for folder in ("recbole_sheaf", "properties"):
        shutil.copytree(REPOSITORY / folder, root / folder, True, shutil.ignore_patterns("__pycache__"))
    for diff in DIFFS:
        apply(diff, root)
    return root


def test_there_are_three_changes():
    assert len(DIFFS) == 3


def test_a_model_a_format_and_a_place_for_results_work_together(extended, toy):
    """The model trains on vectors of the format alone, and the place has the losses."""
    features = toy / "toy" / "features"
    with np.load(features / "image.npz") as image:
        lines = [",".join([token, *map(str, row)]) for token, row in zip(image["item_id"], image["feature"])]
    for path in features.iterdir():
        path.unlink()
    (features / "image.csv").write_text("\n".join(lines) + "\n")
    settings = {**TOY, "data_path": toy, "log_losses": "losses.jsonl", "result_file": "run.jsonl"}
    options = ["--model=ContentMF", "--dataset=toy", *(f"--{key}={value}" for key, value in settings.items())]
    ended = subprocess.run(
        [sys.executable, "-c", "import sys; from recbole_sheaf.cli import main; sys.exit(main())", "run", *options],
        env={**os.environ, "PYTHONPATH": str(extended)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    kept = json.loads(Path("losses.jsonl").read_text())  # one line each
    result = json.loads(Path("run.jsonl").read_text())
    assert result["model"] == "ContentMF" and result["modalities"] == {"image": 1.0}
    assert kept["model"] == "ContentMF" and kept["losses"] == result["train_loss"] and len(kept["losses"]) == 2


def test_rows_of_the_format_are_held_to_the_checks_of_all(extended, tmp_path):
    """A token twice is refused as in any format, a text that is no number in a sentence of the format."""
    (tmp_path / "twice.csv").write_text("i1,1,2\ni1,3,4\n")
    (tmp_path / "words.csv").write_text("i1,one,2\n")
    code = """if True:
        from pathlib import Path
        from recbole_sheaf.errors import FeatureError
        from recbole_sheaf.files.feature_files import read_features
        for name in ("twice.csv", "words.csv"):
            try:
                read_features(Path(name))
            except FeatureError as error:
                print(error)
    """
    env = {**os.environ, "PYTHONPATH": str(extended)}
    said = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True).stdout
    twice, words = said.splitlines()
    assert "twice.csv has 1 item_id tokens more than once" in twice
    assert "words.csv cannot be read" in words and "expected a token and its numbers a line" in words
