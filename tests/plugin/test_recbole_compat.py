"""Each mend of RecBole: what was broken, and that it holds."""

import pickle
import urllib.error

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.dataset.dataset import Dataset
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.utils import get_model

import recbole_sheaf
from recbole_sheaf.errors import DataError
from recbole_sheaf.experiments.splits import start_logger
from recbole_sheaf.plugin.recbole_compat import download_alone, keep_reproducible
from tests.conftest import TOY


def test_the_package_gives_what_keeps_a_run_reproducible():
    assert recbole_sheaf.keep_reproducible is keep_reproducible


def _config(**settings):
    return Config(model="BPR", dataset="ml-100k", config_dict=settings)


def test_settings_are_read_as_literals_and_never_run(workplace):
    config = _config(seed="7", topk="[5, 10]", shuffle="True", checkpoint_dir="exit(3)", learning_rate="1e-3")
    assert config["seed"] == 7 and config["topk"] == [5, 10] and config["shuffle"] is True
    assert config["checkpoint_dir"] == "exit(3)"
    assert config["learning_rate"] == 0.001


def test_a_configuration_file_builds_no_objects(workplace):
    (workplace / "evil.yaml").write_text("seed: !!python/object/apply:os.system ['touch touched']\n")
    with pytest.raises(Exception, match="could not determine a constructor"):
        Config(model="BPR", dataset="ml-100k", config_file_list=["evil.yaml"])
    assert not (workplace / "touched").exists()


def test_a_pickled_config_finds_its_model_again(workplace):
    config = pickle.loads(pickle.dumps(_config(seed=3)))
    assert config["seed"] == 3
    assert config.model_class is _config().model_class
    assert config.yaml_loader is not None


@pytest.mark.parametrize("model", ["BPR", "Pop", "ItemKNN", "EASE", "LightGCN"])
def test_checkpoints_load_without_running_code(toy, model):
    settings = {**TOY, "data_path": str(toy), "epochs": 1}
    if model == "ItemKNN":
        settings["k"] = 5
    result = run_recbole(model=model, dataset="toy", config_dict=settings)
    (path,) = (toy.parent / "saved").glob(f"{model}-*.pth")
    assert torch.load(path, weights_only=True)["config"]["model"] == model
    assert result["test_result"] == _test_result(path)


def _test_result(path):
    from recbole.utils import get_trainer

    config, model, _, train_data, _, test_data = load_data_and_model(str(path))
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.eval_collector.data_collect(train_data)
    return trainer.evaluate(test_data, load_best_model=False)


class _Folderless(Dataset):
    """The part of a Dataset that a download needs."""

    dataset_name = "ml-1m"

    def __init__(self, path):
        self.dataset_path = str(path)


def test_no_network_gives_one_sentence_with_the_layout_and_the_option(tmp_path):
    def refused(self):
        raise urllib.error.URLError("no route to host")

    with pytest.raises(DataError) as error:
        download_alone(refused)(_Folderless(tmp_path / "ml-1m"))
    message = str(error.value)
    assert "downloading it failed" in message and "no route to host" in message
    assert "ml-1m.inter" in message and "data_path=" in message and "\n" not in message


def test_an_interrupted_download_leaves_no_empty_folder(tmp_path):
    def interrupted(self):
        (tmp_path / "ml-1m").mkdir()
        raise RuntimeError("Stopped downloading due to interruption.")

    with pytest.raises(DataError):
        download_alone(interrupted)(_Folderless(tmp_path / "ml-1m"))
    assert not (tmp_path / "ml-1m").exists()


def test_a_download_in_a_single_process_passes_the_barrier(tmp_path):
    def downloaded(self):
        (tmp_path / "ml-1m").mkdir()
        (tmp_path / "ml-1m" / "ml-1m.inter").write_text("user_id:token\titem_id:token\n")
        torch.distributed.barrier()

    download_alone(downloaded)(_Folderless(tmp_path / "ml-1m"))


def test_pop_counts_training_interactions_whatever_the_batches(toy_settings):
    """RecBole's own counts an item once a batch, and the sampled negatives too."""
    del toy_settings["embedding_size"]
    counts = []
    for batch in (7, 64, 4096):
        settings = {**toy_settings, "train_batch_size": batch, "split_seed": 2020}
        config = Config(model="Pop", dataset="toy", config_dict=settings)
        train_data, _, _ = data_preparation(config, create_dataset(config))
        model = get_model("Pop")(config, train_data.dataset)
        for interaction in train_data:
            model.calculate_loss(interaction)
        counts.append(model.item_cnt.squeeze(1))
    expected = torch.bincount(train_data.dataset.inter_feat["item_id"], minlength=61)
    assert all(torch.equal(each, expected) for each in counts)
    assert model.max_cnt == expected.max()


def test_runs_begun_in_one_second_have_log_files_of_their_own(toy_settings, workplace):
    config = Config(model="BPR", dataset="toy", config_dict=toy_settings)
    for _ in range(2):
        start_logger(config)
    assert len(list(workplace.glob("log/BPR/*.log"))) == 2
