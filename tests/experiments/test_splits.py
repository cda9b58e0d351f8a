"""Each way to split is one setting: what it means to RecBole, and that nothing moves without it."""

import re
from pathlib import Path

import numpy as np
import pytest
import recbole.data.dataset.dataset
from recbole.utils.argument_list import dataset_arguments

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import DATA_SETTINGS, load_split, same_data


def config_of(settings, model="BPR", **given):
    return resolve_configs([model], "toy", [], {**settings, **given})[0]


def parts(config):
    """Pairs of tokens in each part."""
    split = load_split(config)
    return [
        list(
            zip(
                split.dataset.id2token("user_id", part.inter_feat["user_id"].numpy()).tolist(),
                split.dataset.id2token("item_id", part.inter_feat["item_id"].numpy()).tolist(),
            )
        )
        for part in split.parts
    ]


@pytest.fixture
def settings(toy_settings):
    """With bpr's and without MMSheaf's settings, so that RecBole's models take them."""
    return toy_settings


@pytest.fixture
def timed(toy, settings):
    """A time for each interaction, in a shuffled order of lines."""
    path = toy / "toy" / "toy.inter"
    lines = path.read_text().splitlines()[1:]
    order = np.random.default_rng(0).permutation(len(lines))
    rows = [f"{lines[place]}\t{1000 + place}" for place in order]
    path.write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n")
    return {**settings, "repeated_interactions": "drop"}, [line.split("\t")[:2] for line in lines]


def test_random_is_what_there_is_without_a_setting(settings):
    default = parts(config_of(settings))
    assert parts(config_of(settings, split="random")) == default
    assert parts(config_of(settings, split="random", split_seed=1)) != default


def of_user(pairs, user):
    return [item for who, item in pairs if who == user]


def test_by_time_the_latest_are_in_test(timed):
    settings, lines = timed
    train, valid, test = parts(config_of(settings, split="time"))
    for user in {user for user, _ in lines}:
        in_order = of_user(lines, user)
        assert set(of_user(train, user)) == set(in_order[:10])
        assert (of_user(valid, user), of_user(test, user)) == ([in_order[10]], [in_order[11]])


def test_leave_one_out_takes_the_last_and_the_one_before(timed):
    settings, lines = timed
    train, valid, test = parts(config_of(settings, split="leave_one_out"))
    for user in {user for user, _ in lines}:
        in_order = of_user(lines, user)
        assert of_user(test, user) == in_order[-1:] and of_user(valid, user) == in_order[-2:-1]
        assert len(of_user(train, user)) == 10


def test_cold_items_are_in_one_part_alone(settings):
    found = parts(config_of(settings, split="cold_items"))
    items = [{item for _, item in part} for part in found]
    every = set().union(*items)
    assert [len(each) for each in items] == [len(every) - 2 * (len(every) // 10), len(every) // 10, len(every) // 10]
    assert sum(map(len, items)) == len(every) and sum(map(len, found)) == 360
    assert parts(config_of(settings, split="cold_items")) == found
    assert parts(config_of(settings, split="cold_items", seed=7)) == found
    assert parts(config_of(settings, split="cold_items", split_seed=7)) != found


def test_the_order_of_lines_does_not_choose_the_cold_items(toy, settings):
    found = {item for _, item in parts(config_of(settings, split="cold_items"))[2]}
    path = toy / "toy" / "toy.inter"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(lines)]) + "\n")
    assert {item for _, item in parts(config_of(settings, split="cold_items"))[2]} == found


@pytest.mark.parametrize("split", ["random", "cold_items"])
def test_what_a_checkpoint_says_of_a_run_gives_its_split(settings, split):
    first = config_of(settings, split=split)
    again = config_of(settings, split=split, eval_args=first["eval_args"])
    assert again["eval_args"] == first["eval_args"] and parts(again) == parts(first)
    others = {"random", "leave_one_out", "cold_items"} - {split}
    assert same_data(first, again) and not any(same_data(first, config_of(settings, split=other)) for other in others)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"split": "randm"}, "split is 'randm'"),
        ({"split": "time", "eval_args": {"order": "RO"}}, "split: time and eval_args.order: RO contradict each other"),
        ({"split": "cold_items", "eval_args": {"order": "TO"}}, "cold_items and eval_args.order: TO contradict"),
        ({"split": "random", "benchmark_filename": ["train"]}, "'toy' comes with its own split; leave out split"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, given, message):
    with pytest.raises(ConfigError, match=message):
        config_of(settings, **given)


def test_sequential_models_have_no_cold_items(settings):
    settings = {key: settings[key] for key in ("data_path", "cache_dir", "show_progress")}
    with pytest.raises(ConfigError, match="cold_items is not for sequential models such as GRU4Rec"):
        resolve_configs(["GRU4Rec"], "toy", [], {**settings, "split": "cold_items", "train_neg_sample_args": None})


def test_by_time_without_times_is_one_sentence(settings):
    with pytest.raises((ConfigError, DataError), match="timestamp"):
        load_split(config_of(settings, split="time"))


def test_a_handful_of_items_has_no_cold_ones(toy, settings):
    lines = [f"u{user}\ti{item}" for user in range(3) for item in range(5)]
    (toy / "toy" / "toy.inter").write_text("\n".join(["user_id:token\titem_id:token", *lines]) + "\n")
    with pytest.raises(DataError, match="cold_items wants ten items or more with interactions, there are 5"):
        load_split(config_of(settings, split="cold_items"))


def test_whatever_recboles_dataset_reads_tells_data_apart():
    """A split that is loaded already must not serve a run whose settings would have read something else."""
    source = Path(recbole.data.dataset.dataset.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r'config\["(\w+)"\]', source)) - {"checkpoint_dir", "local_rank", "LABEL_FIELD", "NEG_PREFIX"}
    assert len(read) > 20 and read <= {*dataset_arguments, *DATA_SETTINGS}


@pytest.mark.parametrize("changed", [{"numerical_features": ["timestamp"]}, {"rm_dup_inter": "last"}])
def test_settings_of_columns_tell_data_apart(toy_settings, changed):
    (one,), (other,) = (resolve_configs(["BPR"], "toy", [], {**toy_settings, **more}) for more in ({}, changed))
    assert same_data(one, one) and not same_data(one, other)


@pytest.fixture
def over_years(toy, settings):
    """Users who come and go, items that appear, times that tie at both cuts, in a shuffled order of lines."""
    rng = np.random.default_rng(3)
    pairs = {(f"u{at // 40 + rng.integers(4)}", f"i{at // 50 + rng.integers(6)}"): at for at in range(400)}
    rows = [(user, item, 1_700_000_000 + at - at % 7) for (user, item), at in pairs.items()]
    lines = ["\t".join(map(str, rows[place])) for place in rng.permutation(len(rows))]
    path = toy / "toy" / "toy.inter"
    path.write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]) + "\n")
    return {**settings, "repeated_interactions": "drop"}, rows


def test_a_global_cut_lets_training_see_no_future(over_years, caplog):
    settings, rows = over_years
    times = sorted(at for _, _, at in rows)
    first, second = times[int(len(rows) * 0.8)], times[int(len(rows) * 0.9)]
    expected = [[], [], []]
    for user, item, at in rows:
        expected[(at >= first) + (at >= second)].append((user, item))
    trained = {user for user, _ in expected[0]}
    later = [pair for part in expected[1:] for pair in part]
    kept = [[pair for pair in part if pair[0] in trained] for part in expected[1:]]
    found = parts(config_of(settings, split="time_global"))
    assert [sorted(part) for part in found] == [sorted(expected[0]), *map(sorted, kept)]
    left_out = len(later) - sum(map(len, kept))
    assert left_out and f"{left_out} of {len(later)} interactions of dataset 'toy' in validation" in caplog.text
    at = {(user, item): time for user, item, time in rows}
    latest = [max(at[pair] for pair in part) for part in found]
    assert latest[0] < min(at[pair] for pair in found[1]) and latest[1] < min(at[pair] for pair in found[2])
    assert [at[pair] for pair in found[0]] == sorted(at[pair] for pair in found[0])
    assert {item for _, item in found[2]} - {item for _, item in found[0]}  # cold ones stay


def test_a_global_cut_keeps_times_and_a_run_on_it_ends(over_years):
    settings, rows = over_years
    split = load_split(config_of(settings, split="time_global"))
    times = [part.inter_feat["timestamp"].numpy() for part in split.parts]
    assert all(set(part.tolist()) <= set(np.float32([at for _, _, at in rows]).tolist()) for part in times)
    assert not same_data(config_of(settings, split="time_global"), config_of(settings, split="time"))


@pytest.mark.parametrize("time", ["7", ""])
def test_a_global_cut_wants_times_that_differ(toy, settings, time):
    lines = [f"u{user}\ti{item}\t{time}" for user in range(3) for item in range(5)]
    header = "user_id:token\titem_id:token\ttimestamp:float"
    (toy / "toy" / "toy.inter").write_text("\n".join([header, *lines]) + "\n")
    message = "time_global of dataset 'toy' has no training part" if time else "timestamp"
    with pytest.raises(DataError, match=message):
        load_split(config_of(settings, split="time_global"))


def test_a_global_cut_is_not_for_sequential_models(settings):
    settings = {key: settings[key] for key in ("data_path", "cache_dir", "show_progress")}
    with pytest.raises(ConfigError, match="time_global is not for sequential models such as GRU4Rec"):
        resolve_configs(["GRU4Rec"], "toy", [], {**settings, "split": "time_global", "train_neg_sample_args": None})
