"""Every data and evaluation setting of RecBole that is accepted changes what it should, or is refused in a sentence."""

import pytest
import torch
from recbole.data.dataset import KnowledgeBasedDataset
from recbole.utils import argument_list as lists
from recbole.utils import get_model

from recbole_sheaf.errors import ConfigError, DataError
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import _dataset, load_split, loaders
from recbole_sheaf.experiments.training import train
from recbole_sheaf.settings.config import RECBOLE_PROPERTIES
from recbole_sheaf.settings.recbole_rules import RECBOLE_RULES
from recbole_sheaf.settings.settings_files import read_yaml

USERS, ITEMS = 6, 12
ALL = {"load_col": None}
LABELED = {
    **{"eval_args": {"mode": "labeled"}, "train_neg_sample_args": None, "metrics": ["AUC"], "valid_metric": "AUC"},
}
SEQUENTIAL = {"train_neg_sample_args": None}


def write(folder, name, header, rows, separator="\t"):
    lines = [separator.join(map(str, row)) for row in (header, *rows)]
    (folder / name).write_text("\n".join(lines) + "\n")


@pytest.fixture
def shop(workplace):
    """Users u0.. with items i0.. in this order in time; ratings 1 to 5; tables of users, items, vectors, a graph."""
    folder = workplace / "data" / "shop"
    folder.mkdir(parents=True)
    inter = [
        (f"u{user}", f"i{item}", 1 + (user + item) % 5, 1000 + item, "a b c"[: 1 + 2 * (item % 3)])
        for user in range(USERS)
        for item in range(ITEMS)
        if (item != 5 if user % 2 else item < 10)
    ]
    header = "user_id:token item_id:token rating:float timestamp:float tags:token_seq".split()
    write(folder, "shop.inter", header, inter)
    people = [(f"u{user}", 20 + user, f"u{(user + 1) % USERS}") for user in range(USERS - 1)]
    write(folder, "shop.user", ["user_id:token", "age:float", "friend:token"], people)
    goods = [
        (f"i{item}", item, "red" if item % 2 else "blue", f"{item} 1 2", f"i{ITEMS - 1}") for item in range(ITEMS - 1)
    ]
    write(folder, "shop.item", "item_id:token price:float kind:token vector:float_seq like:token".split(), goods)
    write(folder, "shop.emb", ["item_vec:token", "vec:float_seq"], [(f"i{item}", f"{item} 5") for item in range(ITEMS)])
    write(
        folder, "shop.link", ["item_id:token", "entity_id:token"], [(f"i{item}", f"e{item}") for item in range(ITEMS)]
    )
    triples = [(f"e{item}", f"r{item % 2}", f"e{(item + 1) % 4}") for item in range(ITEMS)] + [("e0", "r2", "e9")]
    write(folder, "shop.kg", ["head_id:token", "relation_id:token", "tail_id:token"], triples)
    return folder


def config_of(model="BPR", **given):
    return resolve_configs([model], "shop", [], {"data_path": "data", "state": "error", "topk": [5], **given})[0]


def loaded(model="BPR", **given):
    """The dataset before it is split."""
    return _dataset(config_of(model, valid_metric=given.pop("valid_metric", "Recall@5"), **given))


def built(model="BPR", **given):
    """Dataset, its parts and the loaders of one model."""
    config = config_of(model, valid_metric=given.pop("valid_metric", "Recall@5"), **given)
    split = load_split(config)
    return split, loaders(config, split)


def tokens(part, field="item_id"):
    values = part.inter_feat[field]
    return part.id2token(field, values.numpy() if isinstance(values, torch.Tensor) else values.to_numpy()).tolist()


def pairs(part):
    return set(zip(tokens(part, "user_id"), tokens(part)))


def refused(error, message, **given):
    with pytest.raises(error, match=message):
        built(**given)


CASES = {}


def case(*keys):
    def note(check):
        CASES.update(dict.fromkeys(keys, check))
        return check

    return note


@case("field_separator")
def _(shop):
    path = shop / "shop.inter"
    path.write_text(path.read_text().replace("\t", ","))
    refused(DataError, "has no column item_id; its header is", filter_inter_by_user_or_item=False)
    assert len(loaded(field_separator=",")) == 63


@case("seq_separator")
def _(shop):
    path = shop / "shop.inter"
    path.write_text(path.read_text().replace(" ", ";"))
    tags = {"load_col": {"inter": ["user_id", "item_id", "tags"]}}
    assert loaded(**tags).field2seqlen["tags"] == 1 and loaded(**tags, seq_separator=";").field2seqlen["tags"] == 3


@case("USER_ID_FIELD", "ITEM_ID_FIELD")
def _(shop):
    path = shop / "shop.inter"
    path.write_text(path.read_text().replace("user_id", "who").replace("item_id", "what"))
    columns = {"inter": ["who", "what"]}
    part = built(USER_ID_FIELD="who", ITEM_ID_FIELD="what", load_col=columns)[0].parts[0]
    assert {"u0", "u5"} <= set(tokens(part, "who")) and {"i0"} <= set(tokens(part, "what"))


@case("RATING_FIELD")
def _(shop):
    """DMF factorises it."""
    path = shop / "shop.inter"
    path.write_text(path.read_text().replace("rating:float", "stars:float"))
    split, _ = built("DMF", RATING_FIELD="stars", **ALL)
    config = split.dataset.config
    config.final_config_dict["device"] = "cpu"
    assert get_model("DMF")(config, split.parts[0]).RATING == "stars"


@case("TIME_FIELD")
def _(shop):
    path = shop / "shop.inter"
    path.write_text(path.read_text().replace("timestamp", "at"))
    assert set(tokens(built(split="leave_one_out", TIME_FIELD="at")[0].parts[2])) == {"i9", "i11"}
    refused(DataError, "no column timestamp", split="leave_one_out")


@case("LABEL_FIELD")
def _(shop):
    dataset = loaded("FM", **ALL, **LABELED, threshold={"rating": 3}, LABEL_FIELD="liked")
    assert set(dataset.inter_feat["liked"]) == {0, 1}


@case("threshold")
def _(shop):
    low = {(f"u{user}", f"i{item}") for user in range(USERS) for item in range(ITEMS) if 1 + (user + item) % 5 < 3}
    everything = pairs(loaded())
    assert low & everything
    for model in ("BPR", "LightGCN", "NeuMF", "EASE"):
        split, _ = built(model, threshold={"rating": 3})
        assert set().union(*map(pairs, split.parts)) == everything - low
    split, (_users, *_) = built("LightGCN", threshold={"rating": 3}, loss="softmax", split="leave_one_out")
    assert set().union(*map(pairs, split.parts)) == everything - low
    sequences, _ = built("SASRec", threshold={"rating": 3}, **SEQUENTIAL)
    assert set().union(*map(pairs, sequences.parts)) <= everything - low
    labelled = loaded("FM", **LABELED, threshold={"rating": 3})
    assert len(labelled) == len(everything) and labelled.inter_feat["label"].sum() == len(everything - low)
    refused(ConfigError, "training and test|valid and test would take", model="BPR", threshold={"rating": 3}, **{
        **LABELED, "train_neg_sample_args": {"distribution": "uniform"},
    })  # fmt: skip
    refused(DataError, "makes every interaction of dataset 'shop' negative", threshold={"rating": 9})
    half = {"model": "NeuMF", "threshold": {"rating": 3}, "train_neg_sample_args": None}
    refused(ConfigError, "training would take them so and valid and test for", **half)
    refused(ConfigError, "threshold names 'ratng', .*did you mean 'rating'", threshold={"ratng": 3})


@case("NEG_PREFIX")
def _(shop):
    batch = next(iter(built(NEG_PREFIX="not_")[1][0]))
    assert "not_item_id" in batch and "neg_item_id" not in batch


@case("ITEM_LIST_LENGTH_FIELD", "LIST_SUFFIX", "MAX_ITEM_LIST_LENGTH")
def _(shop):
    names = {"ITEM_LIST_LENGTH_FIELD": "long", "LIST_SUFFIX": "_before", "MAX_ITEM_LIST_LENGTH": 3}
    part = built("SASRec", **names, **SEQUENTIAL)[0].parts[2].inter_feat
    assert part["item_id_before"].shape[1] == 3 and part["long"].max() == 3


@case("POSITION_FIELD")
def _(shop):
    refused(ConfigError, "POSITION_FIELD is 'place', but no model reads it", POSITION_FIELD="place")


@case("seq_len")
def _(shop):
    assert loaded(**ALL, seq_len={"tags": 2}).inter_feat["tags"].map(len).max() == 2
    refused(ConfigError, "seq_len names 'rating', which has the type float", **ALL, seq_len={"rating": 2})
    refused(ConfigError, "seq_len names 'tags', which is not loaded", seq_len={"tags": 2})


@case("numerical_features")
def _(shop):
    assert built("FM", **ALL, **LABELED, threshold={"rating": 3}, numerical_features="price")[0].dataset.item_feat[
        "price"
    ].shape == (ITEMS, 2)
    refused(ConfigError, "numerical_features names 'kind', which has the type token", **ALL, numerical_features="kind")


@case("discretization")
def _(shop):
    given = {"numerical_features": ["price"], "discretization": {"price": {"method": "ED", "bucket": 3}}}
    assert loaded(**ALL, **given).num("price") == 4
    refused(ConfigError, "discretization.price.method is 'XX'", discretization={"price": {"method": "XX"}})


@case("load_col")
def _(shop):
    assert list(loaded(load_col={"inter": ["user_id", "item_id", "rating"]}).inter_feat) == [
        "user_id",
        "item_id",
        "rating",
    ]
    assert len(list(loaded(load_col={"inter": "*"}, split="time").inter_feat)) == 5
    assert list(loaded(load_col={"inter": "*", "item": "item_id"}).item_feat) == ["item_id"]
    columns = {"inter": ["user_id", "item_id", "ratng"]}
    refused(
        ConfigError, "load_col names 'ratng', which is no column of shop.inter .did you mean 'rating'", load_col=columns
    )


def test_columns_of_an_mmrec_folder_cannot_be_asked_for(workplace):
    folder = workplace / "data" / "shop"
    folder.mkdir(parents=True)
    write(folder, "shop.inter", ["userID", "itemID", "rating", "x_label"], [(0, 0, 5, 0), (0, 1, 4, 1), (1, 0, 2, 2)])
    given = {"valid_metric": "Recall@5", "cache_dir": "cache"}
    assert config_of(**given, load_col={"inter": ["user_id", "item_id"]})["benchmark_filename"]
    with pytest.raises(
        ConfigError, match="load_col names 'rating' of inter, but of dataset 'shop' nothing is read but"
    ):
        config_of(**given, load_col={"inter": ["user_id", "item_id", "rating"]})


@case("unload_col")
def _(shop):
    assert "rating" not in loaded(**ALL, unload_col={"inter": "rating"}).inter_feat
    refused(ConfigError, "unload_col names 'ratng'", **ALL, unload_col={"inter": ["ratng"]})


@case("unused_col")
def _(shop):
    split, _ = built(**ALL, unused_col={"inter": "timestamp"}, split="leave_one_out")
    assert all("timestamp" not in part.inter_feat for part in split.parts)
    assert set(tokens(split.parts[2])) == {"i9", "i10"}  # i11 stands in no table of items
    refused(ConfigError, "unused_col names 'ratng', which is not loaded", **ALL, unused_col={"inter": ["ratng"]})


@case("additional_feat_suffix")
def _(shop):
    assert loaded(**ALL, additional_feat_suffix="emb").emb_feat["vec"].map(len).tolist() == [2] * ITEMS


@case("rm_dup_inter")
def _(shop):
    with (shop / "shop.inter").open("a") as file:
        file.write("u0\ti0\t5\t1\ta\nu0\ti1\t5\t9999\ta\n")
    keep = {"repeated_interactions": "keep", "load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    assert len(loaded(**keep)) == 65
    for which, expected in (("first", {1, 1001}), ("last", {1000, 9999})):
        inter = loaded(**keep, rm_dup_inter=which).inter_feat
        times = inter[inter["user_id"] == inter["user_id"].iloc[inter["timestamp"].argmin()]]["timestamp"]
        assert len(inter) == 63 and expected <= set(inter["timestamp"]) and len(times) == 10


@case("val_interval")
def _(shop):
    good = loaded(val_interval={"rating": "[3,inf)"}).inter_feat
    assert good["rating"].min() == 3 and 0 < len(good) < 63
    young = loaded(val_interval={"age": "[0,22)"})
    assert set(tokens(young, "user_id")) == {"u0", "u1"}
    assert set(tokens(loaded(val_interval={"kind": ["red"]}))) == {f"i{item}" for item in range(1, ITEMS - 1, 2)}
    refused(
        ConfigError, "val_interval names 'ratng', which is no column .*did you mean", val_interval={"ratng": "[3,5]"}
    )
    refused(ConfigError, r"val_interval.kind is '\[3,5\]', but kind has the type token", val_interval={"kind": "[3,5]"})
    refused(ConfigError, "val_interval.rating is .'3'., but rating has the type float", val_interval={"rating": ["3"]})


@case("filter_inter_by_user_or_item")
def _(shop):
    tables = {"load_col": {"inter": ["user_id", "item_id"], "user": ["user_id"], "item": ["item_id"]}}
    assert "u5" not in tokens(loaded(**tables), "user_id")
    assert "u5" in tokens(loaded(**tables, filter_inter_by_user_or_item=False), "user_id")


@case("user_inter_num_interval")
def _(shop):
    assert set(tokens(loaded(user_inter_num_interval="[11,inf)"), "user_id")) == {"u1", "u3", "u5"}


@case("item_inter_num_interval")
def _(shop):
    assert set(tokens(loaded(item_inter_num_interval="[0,4)"))) == {"i5", "i10", "i11"}


@case("alias_of_user_id")
def _(shop):
    dataset = loaded(**ALL, alias_of_user_id="friend")
    assert dataset.field2id_token["friend"] is dataset.field2id_token["user_id"]
    refused(ConfigError, "alias_of_user_id names 'friend', which is not loaded", alias_of_user_id=["friend"])


@case("alias_of_item_id")
def _(shop):
    dataset = loaded(**ALL, alias_of_item_id=["like"])
    assert dataset.field2id_token["like"] is dataset.field2id_token["item_id"]


@case("preload_weight")
def _(shop):
    given = {"additional_feat_suffix": ["emb"], "preload_weight": {"item_vec": "vec"}, "alias_of_item_id": ["item_vec"]}
    dataset = loaded(**ALL, **given)
    row = dataset.token2id("item_id", "i7")
    assert dataset.get_preload_weight("item_vec")[row].tolist() == [7, 5]
    refused(DataError, "Preload value field .vec. not exist", preload_weight={"item_id": "vec"})


@case("normalize_field")
def _(shop):
    inter = loaded(**ALL, normalize_field="rating").inter_feat
    assert set(inter["rating"]) == {0, 0.25, 0.5, 0.75, 1} and inter["timestamp"].min() == 1000
    refused(ConfigError, "normalize_field names 'kind', which has the type token", **ALL, normalize_field=["kind"])


@case("normalize_all")
def _(shop):
    dataset = loaded(**ALL, normalize_all=True)
    assert dataset.inter_feat[["rating", "timestamp"]].max().tolist() == [1, 1] and dataset.user_feat["age"].max() == 1
    split, _ = built(**ALL, normalize_all=True, split="leave_one_out")
    assert set(tokens(split.parts[2])) == {"i9", "i10"} and split.parts[0].inter_feat["timestamp"].min() == 0


@case("benchmark_filename")
def _(shop):
    lines = (shop / "shop.inter").read_text().splitlines()
    for name, rows in (("a", lines[1:40]), ("b", lines[40:50]), ("c", lines[50:])):
        (shop / f"shop.{name}.inter").write_text("\n".join([lines[0], *rows]) + "\n")
    ready = {"benchmark_filename": ["a", "b", "c"], "filter_inter_by_user_or_item": False}
    assert built(**ready)[0].sizes == {"train": 39, "valid": 10, "test": 14}
    idle = {"rm_dup_inter": "first", "val_interval": {"rating": "[3,5]"}, "user_inter_num_interval": "[5,inf)"}
    for key, value in {**idle, "item_inter_num_interval": "[5,inf)"}.items():
        refused(ConfigError, f"{key} is given, but dataset 'shop' comes with its own split", **ready, **{key: value})
    refused(ConfigError, "eval_args.order is given", **ready, eval_args={"order": "TO"})
    assert built(**ready, threshold={"rating": 3})[0].sizes == {"train": 23, "valid": 7, "test": 8}
    defaults = {"order": "RO", "split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "user"}  # as a checkpoint says them
    assert built(**ready, eval_args=defaults, user_inter_num_interval="[0,inf)")[0].sizes["train"] == 39


KG = {
    "load_col": {
        "inter": ["user_id", "item_id"],
        "kg": ["head_id", "relation_id", "tail_id"],
        "link": ["item_id", "entity_id"],
    }
}


@case("HEAD_ENTITY_ID_FIELD", "TAIL_ENTITY_ID_FIELD", "RELATION_ID_FIELD", "ENTITY_ID_FIELD")
def _(shop):
    for file in ("shop.kg", "shop.link"):
        text = (shop / file).read_text()
        for old, new in (("head_id", "h"), ("tail_id", "t"), ("relation_id", "r"), ("entity_id", "e")):
            text = text.replace(old, new)
        (shop / file).write_text(text)
    names = {"HEAD_ENTITY_ID_FIELD": "h", "TAIL_ENTITY_ID_FIELD": "t", "RELATION_ID_FIELD": "r", "ENTITY_ID_FIELD": "e"}
    columns = {"inter": ["user_id", "item_id"], "kg": ["h", "r", "t"], "link": ["item_id", "e"]}
    assert list(loaded("CKE", **names, load_col=columns).kg_feat) == ["h", "r", "t"]


@case("kg_reverse_r")
def _(shop):
    """Twice the three relations, and RecBole's padding and that of users and items."""
    assert [loaded("CKE", **KG, kg_reverse_r=value).relation_num for value in (False, True)] == [5, 8]


@case("entity_kg_num_interval")
def _(shop):
    plain, few = loaded("CKE", **KG), loaded("CKE", **KG, entity_kg_num_interval="[2,inf)")
    assert len(few.kg_feat) < len(plain.kg_feat) == 13


@case("relation_kg_num_interval")
def _(shop):
    assert len(loaded("CKE", **KG, relation_kg_num_interval="[2,inf)").kg_feat) == 12


@case("alias_of_entity_id", "alias_of_relation_id")
def _(shop):
    (shop / "shop.item").write_text("item_id:token\tmade_of:token\tby:token\ni0\te77\tr77\n")
    given = {
        **KG,
        "load_col": {**KG["load_col"], "item": ["item_id", "made_of", "by"]},
        "filter_inter_by_user_or_item": False,
    }
    dataset = loaded("CKE", **given, alias_of_entity_id=["made_of"], alias_of_relation_id=["by"])
    assert isinstance(dataset, KnowledgeBasedDataset)
    assert "e77" in dataset.field2token_id["entity_id"] and "r77" in dataset.field2token_id["relation_id"]


@case("eval_args.split", "eval_args.order", "eval_args.group_by")
def _(shop):
    """What each gives is held by tests/data/test_exact_times.py; here what is idle."""
    shares = {"TS": [0.8, 0.1, 0.1]}
    refused(ConfigError, "eval_args.split.TS splits by time, but eval_args.order is RO", eval_args={"split": shares})
    ordered = {"split": shares, "order": "TO", "group_by": "none"}
    refused(ConfigError, "eval_args.group_by is none, but split: TS goes by user", eval_args=ordered)
    last = {"split": {"LS": "valid_and_test"}, "group_by": None}
    refused(ConfigError, "eval_args.group_by is None, but split: LS goes by user", eval_args=last)
    by_user = built(eval_args={"split": {"RS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "user"})[0].parts[2]
    of_all = built(eval_args={"split": {"RS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "none"})[0].parts[2]
    assert len(set(tokens(by_user, "user_id"))) == USERS and set(tokens(of_all)) == {"i10", "i11"}


@case("eval_args.mode")
def _(shop):
    for mode, expected in (("full", "FullSort"), ("uni3", "NegSample"), ("pop3", "NegSample")):
        (_, _, test) = built(eval_args={"mode": {"valid": "full", "test": mode}})[1]
        assert type(test).__name__ == f"{expected}EvalDataLoader"
        if mode != "full":
            rows, positive = next(iter(test))[0], len(next(iter(test))[2])
            assert (
                len(rows) == 4 * positive
                and test._sampler.distribution == {"uni3": "uniform", "pop3": "popularity"}[mode]
            )


@case("repeatable")
def _(shop):
    seen = [sum(map(len, built(repeatable=value)[1][2].uid2history_item[1:])) for value in (False, True)]
    assert seen[0] > 0 and seen[1] == 0


@case("metrics", "topk", "metric_decimal_place", "valid_metric")
def _(shop):
    given = {"metrics": ["Hit", "MRR"], "topk": [2, 4], "valid_metric": "Hit@4", "metric_decimal_place": 2}
    config = config_of(epochs=1, show_progress=False, **given)
    scores = train(config, load_split(config)).result.test
    assert {"hit@2", "hit@4", "mrr@2", "mrr@4"} <= set(scores) and "recall@5" not in scores
    assert all(round(scores[name], 2) == scores[name] for name in ("hit@2", "mrr@4"))
    refused(ConfigError, "valid_metric is 'Hit@3', but", **{**given, "valid_metric": "Hit@3"})
    assert config_of(**given)["valid_metric"] == "Hit@4"


@case("valid_metric_bigger")
def _(shop):
    refused(
        ConfigError,
        "valid_metric_bigger is False, but of Recall@5 the larger value is better",
        valid_metric_bigger=False,
    )
    error = {**LABELED, "metrics": ["LogLoss"], "valid_metric": "LogLoss", "threshold": {"rating": 3}}
    refused(ConfigError, "bigger is True, but of LogLoss the smaller", model="FM", **error, valid_metric_bigger=True)
    assert config_of("FM", **error, valid_metric_bigger=False)["valid_metric_bigger"] is False


@case("eval_batch_size")
def _(shop):
    """In scores at once: a user has one for each item and the padding."""
    assert [len(list(built(eval_batch_size=size)[1][2])) for size in (13, 39)] == [6, 2]


@case("train_neg_sample_args.distribution", "train_neg_sample_args.alpha")
def _(shop):
    def chances(**args):
        sampler = built(train_neg_sample_args=args)[1][0]._sampler
        return sampler.distribution, getattr(sampler, "prob", None) and len(set(sampler.prob.values()))

    assert chances(distribution="uniform") == ("uniform", None)
    assert chances(distribution="popularity", alpha=1.0)[0] == "popularity"
    sampler = built(train_neg_sample_args={"distribution": "popularity", "alpha": 0.0})[1][0]._sampler
    assert sampler.alpha == 0
    refused(ConfigError, "alpha is 0.5, but only distribution: popularity", train_neg_sample_args={"alpha": 0.5})
    refused(ConfigError, "samples no items, but BPR learns from pairs", train_neg_sample_args=None)


@case("train_neg_sample_args.sample_num")
def _(shop):
    batches = [next(iter(built(train_neg_sample_args={"sample_num": count})[1][0])) for count in (1, 3)]
    assert len(batches[1]) == 3 * len(batches[0])
    refused(
        ConfigError,
        "sample_num is 3, but MultiVAE trains on users",
        model="MultiVAE",
        train_neg_sample_args={"sample_num": 3},
    )
    given = {"loss": "softmax", "train_neg_sample_args": {"distribution": "popularity"}}
    refused(ConfigError, "distribution is popularity, but LightGCN trains on users", model="LightGCN", **given)


@case("train_neg_sample_args.dynamic", "train_neg_sample_args.candidate_num")
def _(shop):
    train = built(train_neg_sample_args={"dynamic": True, "candidate_num": 3})[1][0]
    assert train.neg_sample_args["dynamic"] and train.neg_sample_args["candidate_num"] == 3
    for args in ({"dynamic": True}, {"candidate_num": 3}):
        refused(ConfigError, "dynamic: True wants candidate_num from 1", train_neg_sample_args=args)


@case("shuffle")
def _(shop):
    def epochs(**given):
        train = built(**given)[1][0]
        return [torch.cat([batch["user_id"] for batch in train]).tolist() for _ in range(2)]

    for given in ({}, {"model": "LightGCN", "loss": "softmax"}):
        first, second = epochs(shuffle=True, **given)
        assert first != second and sorted(first) == sorted(second)
        first, second = epochs(shuffle=False, **given)
        assert first == second
    assert first == sorted(first)
    refused(
        ConfigError,
        "shuffle is False, but RecBole shuffles the users on which MultiVAE",
        model="MultiVAE",
        shuffle=False,
    )


@case("transform")
def _(shop):
    """SHAN reads what RecBole makes of its sequences by default; for any other such sequences are made for nobody."""
    batch = next(iter(built("SHAN", **SEQUENTIAL)[1][2]))[0]
    assert batch["Inverse_item_id_list"][0, -9:].tolist() == batch["item_id_list"][0, :9].tolist()
    for model, read in (("BPR", "nothing"), ("SASRec", "nothing"), ("BERT4Rec", "mask_itemseq")):
        message = f"transform is inverse_itemseq, but {model} reads {read}"
        more = {} if model == "BPR" else SEQUENTIAL
        refused(ConfigError, message, model=model, transform="inverse_itemseq", **more)
    refused(ConfigError, "transform is 'user_defined', expected one of", transform="user_defined")


@case("save_dataset", "save_dataloaders")
def _(shop):
    for key in ("save_dataset", "save_dataloaders"):
        refused(ConfigError, f"{key} is true, which would write a pickle", **{key: True})


@case("dataset_save_path", "dataloaders_save_path")
def _(shop):
    for key in ("dataset_save_path", "dataloaders_save_path"):
        refused(ConfigError, f"{key} names a pickle, which is not read", **{key: "x.pth"})


TRAINING = frozenset(  # of RecBole's rules: how a model learns and where things lie, not what it learns from
    "worker use_gpu seed state reproducibility data_path checkpoint_dir show_progress log_wandb wandb_project nproc "
    "epochs train_batch_size learner learning_rate eval_step stopping_step clip_grad_norm weight_decay "
    "loss_decimal_place require_pow enable_amp enable_scaler embedding_size".split()
)
WITH_ENTRIES = ("eval_args", "train_neg_sample_args")


def test_every_data_and_evaluation_setting_that_is_accepted_stands_here():
    accepted = {*lists.dataset_arguments, *lists.evaluation_arguments, *RECBOLE_RULES}
    accepted |= set(read_yaml(RECBOLE_PROPERTIES / "dataset" / "sample.yaml"))
    expected = accepted - TRAINING - set(WITH_ENTRIES)
    expected |= {f"{key}.{entry}" for key in WITH_ENTRIES for entry in RECBOLE_RULES[key].entries}
    assert set(CASES) == expected


@pytest.mark.parametrize("key", sorted(CASES))
def test_a_setting_changes_what_it_should(shop, key):
    CASES[key](shop)
