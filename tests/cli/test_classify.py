"""The command: parses, runs, prints one line; refuses in one sentence."""

import argparse
import json

import numpy as np
import pytest

from recbole_sheaf.cli.classify import add_arguments, main
from tests.nsd.test_classification import planted_arrays


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "texas.npz", **planted_arrays())  # small data under a name that has settings
    (tmp_path / "quick.yaml").write_text("max_epochs: 2\nhidden_channels: 4\n")
    return tmp_path


def command(folder, *options):
    return ["--dataset=texas", f"--data_path={folder}", f"--settings_file={folder / 'quick.yaml'}", *options]


def test_runs_and_prints_a_line(folder, capsys):
    assert main(command(folder, "--restriction_map=identity", f"--result_file={folder / 'rows.jsonl'}")) == 0
    assert capsys.readouterr().out.startswith("texas, identity maps, 2 folds: test accuracy ")
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert [row["fold"] for row in rows] == [0, 1] and rows[0]["settings"]["max_epochs"] == 2


def test_number_of_folds_and_own_maps(folder, capsys):
    assert main(command(folder, "--folds=1")) == 0
    assert "texas, orthogonal maps, 1 folds" in capsys.readouterr().out


def test_refuses_in_one_sentence(folder, capsys):
    assert main(["--dataset=cora", f"--data_path={folder}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("DataError: there is no cora.npz in ") and error.count("\n") == 1


def test_arguments_can_be_added_to_another_parser():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args(["--dataset=texas"]).restriction_map is None
