"""RecBole's own settings: what it would take in silence, or end on hours later, is refused before anything runs."""

import pytest

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.settings.recbole_rules import RECBOLE_RULES, check_evaluation
from recbole_sheaf.settings.rules import check_values


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"metrics": ["Recal"]}, "metrics has no 'Recal' (did you mean 'Recall'"),
        ({"metrics": ["Recall"], "topk": [10], "valid_metric": "Recall@20"}, "valid_metric is 'Recall@20', but"),
        ({"metrics": ["Recall"], "topk": [10], "valid_metric": "NDCG@10"}, "for example Recall@10"),
        ({"metrics": ["Recall"], "topk": [10], "valid_metric": "Recall"}, "for example Recall@10"),
        ({"metrics": ["Recall"], "topk": [10], "valid_metric": "Recall@x"}, "valid_metric is 'Recall@x', but"),
        ({"metrics": ["Recall"], "topk": [10], "valid_metric": ""}, "valid_metric is '', but"),
        ({"metrics": ["AUC"], "topk": [10], "valid_metric": "AUC@10"}, "for example AUC"),
        ({"metrics": []}, "metrics is [], expected at least one"),
        ({"topk": []}, "topk is [], expected at least one"),
        ({"eval_args": {"split": {}}}, "eval_args.split is {}, expected one of RS, LS, TS"),
        ({"eval_args": {"split": {"RS": [0.8, 0.2]}}}, "eval_args.split.RS is [0.8, 0.2], expected three shares"),
        ({"eval_args": {"split": {"RS": [0.8, 0.2, 0]}}}, "expected three shares above 0"),
        ({"eval_args": {"split": {"LS": "valid_only"}}}, "eval_args.split.LS is 'valid_only', expected valid_and_test"),
        ({"val_interval": {"rating": "3-5"}}, "val_interval.rating is '3-5', expected a text such as [3,inf)"),
    ],
)
def test_an_evaluation_that_cannot_be_made_is_refused(settings, message):
    with pytest.raises(ConfigError) as error:
        check_evaluation(settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"metrics": ["recall", "NDCG"], "topk": [10, 20], "valid_metric": "NDCG@20"},
        {"metrics": "Recall", "topk": 10, "valid_metric": "recall@10"},
        {"metrics": ["AUC", "LogLoss"], "valid_metric": "AUC", "topk": [10]},
        {"eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO"}},
        {"eval_args": {"split": {"RS": [8, 1, 1]}}, "val_interval": {"rating": "[3,inf);(0,1]", "genre": ["a"]}},
    ],
)
def test_an_evaluation_that_can_be_made_passes(settings):
    check_evaluation(settings)
    check_values(settings, RECBOLE_RULES)


@pytest.mark.parametrize("order", ["TO", "RO"])
@pytest.mark.parametrize("mode", ["full", "uni100", {"valid": "pop20", "test": "full"}])
def test_every_way_to_evaluate_is_allowed(order, mode):
    check_values({"eval_args": {"split": {"TS": [0.8, 0.1, 0.1]}, "order": order, "mode": mode}}, RECBOLE_RULES)
    with pytest.raises(ConfigError, match="eval_args.order is 'XX', expected one of RO, TO"):
        check_values({"eval_args": {"order": "XX"}}, RECBOLE_RULES)
    with pytest.raises(ConfigError, match="eval_args.mode is 'uni', expected a text such as full, uni100"):
        check_values({"eval_args": {"mode": "uni"}}, RECBOLE_RULES)
