"""What a person may write by mistake or malice after a command's name, or into an experiment file, and what is said."""

import random

import pytest

from recbole_sheaf import cli
from recbole_sheaf.experiments import carry_out as running
from recbole_sheaf.experiments.training import prepare

TOY = ("--dataset=toy", "--data_path=data", "--topk=[3]", "--valid_metric=Recall@3")

COMMANDS = [  # arguments, TOY for those above, and words of the sentence
    (["run", "--epochs=1.5"], "epochs is 1.5, expected a whole number >= 0"),
    (["run", "--epochs="], "epochs is None, expected a whole number >= 0"),
    (["run", "--epochs=abc"], "epochs is 'abc', expected a whole number >= 0"),
    (["run", "--epochs=[1]"], "epochs is [1], expected a whole number >= 0"),
    (["run", "--epochs=-1"], "epochs is -1, expected a whole number >= 0"),
    (["run", "--epochs=.inf"], "epochs is inf, expected a whole number >= 0"),
    (["run", "--epochs=1e400"], "epochs is inf, expected a whole number >= 0"),
    (["run", "--seed=1.5"], "seed is 1.5, expected a whole number >= 0 and <= 4294967295"),
    (["run", "--seed=-1"], "seed is -1, expected a whole number >= 0 and <= 4294967295"),
    (["run", "--seed=x"], "seed is 'x', expected a whole number >= 0 and <= 4294967295"),
    (["run", "--seed="], "seed is None, expected a whole number >= 0 and <= 4294967295"),
    (
        ["run", "--topk=[]"],
        "valid_metric is 'Recall@20', but metrics are Recall, NDCG, Precision, MRR, ItemCoverage, G",
    ),
    (["run", "--topk=0"], "topk is 0, expected a whole number >= 1 or a list, each entry a whole number >= 1"),
    (["run", "--topk=[10,x]"], "an entry of topk is 'x', expected a whole number >= 1"),
    (["run", "--topk="], "topk is None, expected a whole number >= 1 or a list, each entry a whole number >= 1"),
    (["run", "--metrics=[]"], "metrics is [], expected at least one such as [Recall, NDCG]"),
    (
        ["run", "--metrics="],
        "metrics is None, expected a text such as user_id or a list, each entry a text such as user",
    ),
    (
        ["run", "--metrics=5"],
        "metrics is 5, expected a text such as user_id or a list, each entry a text such as user_id",
    ),
    (["run", "--metrics=[Recall,5]"], "an entry of metrics is 5, expected a text such as user_id"),
    (
        ["run", "--metrics=[Recall,AUC]"],
        "RecBole refuses the settings of MMSheaf: Ranking metrics and value metrics can not be used",
    ),
    (
        ["run", "--valid_metric=Recall@x"],
        "valid_metric is 'Recall@x', but metrics are Recall, NDCG, Precision, MRR, ItemCoverage, Gi",
    ),
    (["run", "--valid_metric="], "valid_metric is None, expected a text such as user_id"),
    (
        ["run", "--valid_metric=Recall"],
        "valid_metric is 'Recall', but metrics are Recall, NDCG, Precision, MRR, ItemCoverage, Gini",
    ),
    (["run", "--valid_metric=5"], "valid_metric is 5, expected a text such as user_id"),
    (["run", "--text_dim=x"], "text_dim is 'x', expected a whole number >= 1"),
    (["run", "--text_dim=0"], "text_dim is 0, expected a whole number >= 1"),
    (
        ["run", "--modalities=5"],
        "modalities is 5, expected a text or a list, each entry a text or 'key: value' lines with",
    ),
    (["run", "--modalities=[5]"], "an entry of modalities is 5, expected a text"),
    (["run", "--modalities=nope"], "there is no modality 'nope'"),
    (
        ["run", "--modalities={a: b}"],
        "modalities is {'a': 'b'}, expected a text or a list, each entry a text or 'key: value' lines with",
    ),
    (["run", "--load_col=5"], "load_col is 5, expected 'key: value' lines or ~ for none"),
    (
        ["run", "--load_col={inter: [nope]}", "TOY"],
        "load_col or unload_col leaves user_id and item_id of toy.inter out",
    ),
    (["run", "--load_col={inter: [user_id]}", "TOY"], "load_col or unload_col leaves item_id of toy.inter out"),
    (["run", "TOY", "--USER_ID_FIELD=foo"], "toy.inter has no column foo"),
    (["run", "--USER_ID_FIELD=foo"], "load_col or unload_col leaves foo of ml-100k.inter out"),
    (["run", "TOY", "--ITEM_ID_FIELD=foo"], "toy.inter has no column foo"),
    (
        ["run", "TOY", "--TIME_FIELD=foo", "--eval_args={order: TO}"],
        "toy.inter has no column foo, by which interactions are ordered here",
    ),
    (["run", "TOY", "--eval_args={order: XX}"], "eval_args.order is 'XX', expected one of RO, TO"),
    (
        ["run", "TOY", "--eval_args=5"],
        "eval_args is 5, expected 'key: value' lines with keys among split, order, group_by, mode",
    ),
    (
        ["run", "TOY", "--eval_args={split: 5}"],
        "eval_args.split is 5, expected 'key: value' lines with keys among RS, LS, TS",
    ),
    (
        ["run", "TOY", "--eval_args={splitt: {RS: [1,1,1]}}"],
        "no setting of eval_args has the name 'splitt' (did you mean 'split'?)",
    ),
    (
        ["run", "TOY", "--eval_args={group_by: x}"],
        "eval_args.group_by is 'x', expected one of user, none, None or ~ for none",
    ),
    (
        ["run", "TOY", "--eval_args={mode: uni}"],
        "eval_args.mode is 'uni', expected a text such as full, uni100 or labeled or 'key: value' l",
    ),
    (
        ["run", "TOY", "--eval_args={mode: {valid: full, tst: full}}"],
        "no setting of eval_args.mode has the name 'tst' (did you mean 'test'?)",
    ),
    (
        ["run", "TOY", "--eval_args={mode: labeled}"],
        "eval_args.mode is labeled, which ranks nothing, but metrics are Recall, NDCG, Precision, M",
    ),
    (["run", "--worker=-1"], "worker is -1, expected a whole number >= 0"),
    (
        ["run", "--learner=sgdd"],
        "learner is 'sgdd', expected one of adam, adamw, sgd, adagrad, rmsprop, sparse_adam (did yo",
    ),
    (["run", "--device=tpu"], "no setting of MMSheaf has the name 'device'"),
    (["run", "--use_gpu=maybe"], "use_gpu is 'maybe', expected true or false"),
    (["run", "--reproducibility=perhaps"], "reproducibility is 'perhaps', expected true or false"),
    (["run", "--nproc=2"], "nproc is 2, expected a whole number >= 1 and <= 1"),
    (["run", "--embedding_size=0"], "embedding_size is 0, expected a whole number >= 1"),
    (["run", "--model=LightGCN", "--embedding_size=0"], "embedding_size is 0, expected a whole number >= 1"),
    (["run", "--model=LightGCN", "--n_layers=-1"], "n_layers is -1, expected a whole number >= 0"),
    (["run", "--model=LightGCN", "--n_layers=x"], "n_layers is 'x', expected a whole number >= 0"),
    (["run", "--model=LightGCN", "--reg_weight=x"], "reg_weight is 'x', expected a number"),
    (["run", "--model="], "the models are given as '', where a name is empty"),
    (["run", "--model=,"], "the models are given as ',', where a name is empty"),
    (["run", "--models="], "the models are given as '', where a name is empty"),
    (["run", "--models=Pop,Pop"], "Pop is named more than once"),
    (["run", "--models=Pop,,BPR", "TOY"], "the models are given as 'Pop,,BPR', where a name is empty"),
    (["run", "--model=Nope"], "there is no model 'Nope' (did you mean 'NPE'?)"),
    (
        ["run", "--model=lightgcn"],
        "there is no model 'lightgcn' (did you mean 'LightGCN' or 'lightgbm' or 'LightSANs'?)",
    ),
    (["run", "--model=a:b"], "'a:b' cannot be imported (ModuleNotFoundError: No module named 'a')"),
    (["run", "--model=:"], "':' names no model"),
    (["run", "--model=os:system"], "'os:system' is no RecBole recommender"),
    (["run", "--model=os.path:join"], "'os.path:join' is no RecBole recommender"),
    (["run", "--model=recbole_sheaf.models.mmsheaf:Nope"], "module recbole_sheaf.models.mmsheaf has no class 'Nope'"),
    (["run", "--model=Pop", "--models=BPR"], "--model and --models are both given"),
    (["run", "TOY", "--val_interval=5"], "val_interval is 5, expected 'key: value' lines or ~ for none"),
    (["run", "TOY", "--val_interval={rating: 3-5}"], "val_interval.rating is '3-5', expected a text such as [3,inf)"),
    (
        ["run", "TOY", '--val_interval={rating: "[3,inf)"}'],
        "dataset 'toy' has no item content",
    ),
    (
        ["run", "TOY", '--val_interval={nope: "[3,inf)"}'],
        "val_interval names 'nope', which is no column of dataset 'toy'",
    ),
    (
        ["run", "TOY", "--user_inter_num_interval=5"],
        "user_inter_num_interval is 5, expected a text such as [5,inf) or ~ for none",
    ),
    (
        ["run", "TOY", "--user_inter_num_interval=[500,inf)"],
        "RecBole refuses dataset 'toy' under these settings (Some feat is empty, please check the f",
    ),
    (
        ["run", "TOY", "--item_inter_num_interval=x"],
        "item_inter_num_interval is 'x', expected a text such as [5,inf) or ~ for none",
    ),
    (["run", "TOY", "--threshold=5"], "threshold is 5, expected 'key: value' lines or ~ for none"),
    (["run", "TOY", "--threshold={rating: x}"], "threshold.rating is 'x', expected a number"),
    (
        ["run", "TOY", "--threshold={nope: 3}"],
        "threshold names 'nope', which is no column of dataset 'toy'",
    ),
    (["run", "TOY", "--rm_dup_inter=x"], "rm_dup_inter is 'x', expected one of first, last or ~ for none"),
    (
        ["run", "TOY", "--benchmark_filename=5"],
        "benchmark_filename is 5, expected a text such as user_id or a list, each entry a text such",
    ),
    (
        ["run", "TOY", "--benchmark_filename=[a,b,c]"],
        "RecBole refuses dataset 'toy' under these settings (File data/toy/toy.a.inter not exist)",
    ),
    (
        ["run", "TOY", "--benchmark_filename=[train]"],
        "RecBole refuses dataset 'toy' under these settings (File data/toy/toy.train.inter not exis",
    ),
    (["run", "TOY", "--alias_of_user_id=[x]"], "alias_of_user_id names 'x', which is not loaded"),
    (
        ["run", "TOY", "--normalize_field=[nope]"],
        "normalize_field names 'nope', which is not loaded",
    ),
    (["run", "TOY", "--normalize_all=x"], "normalize_all is 'x', expected true or false or ~ for none"),
    (
        ["run", "TOY", "--preload_weight={a: b}"],
        "RecBole refuses dataset 'toy' under these settings (Preload id field [a] not exist)",
    ),
    (
        ["run", "TOY", "--additional_feat_suffix=[nope]"],
        "RecBole refuses dataset 'toy' under these settings (Additional feature file [data/toy/toy.",
    ),
    (["run", "TOY", "--seq_len={a: x}"], "seq_len.a is 'x', expected a whole number >= 1"),
    (
        ["run", "TOY", "--numerical_features=[nope]"],
        "numerical_features names 'nope', which is not loaded",
    ),
    (
        ["run", "TOY", "--discretization={x: y}"],
        "discretization.x is 'y', expected 'key: value' lines with keys among method, bucket",
    ),
    (["run", "TOY", "--field_separator="], "field_separator is None, expected a text such as a tab"),
    (["run", "TOY", "--field_separator=,"], "toy.inter has no column item_id"),
    (["run", "TOY", "--seq_separator="], "seq_separator is None, expected a text such as a space"),
    (
        ["run", "TOY", "--train_neg_sample_args=5"],
        "train_neg_sample_args is 5, expected 'key: value' lines with keys among distribution, samp",
    ),
    (
        ["run", "TOY", "--train_neg_sample_args={distribution: x}"],
        "train_neg_sample_args.distribution is 'x', expected one of uniform, popularity, none, None",
    ),
    (
        ["run", "TOY", "--train_neg_sample_args={sample_num: 0}"],
        "train_neg_sample_args.sample_num is 0, expected a whole number >= 1 or none",
    ),
    (
        ["run", "TOY", "--train_neg_sample_args={dynamic: true}"],
        "loss: softmax samples no negatives, but train_neg_sample_args asks for dynamic ones",
    ),
    (["run", "TOY", "--train_neg_sample_args={nope: true}"], "no setting of train_neg_sample_args has the name 'nope'"),
    (
        ["run", "TOY", "--model=BPR", "--train_neg_sample_args="],
        "train_neg_sample_args samples no items, but BPR learns from pairs",
    ),
    (
        ["run", "TOY", "--clip_grad_norm=5"],
        "clip_grad_norm is 5, expected 'key: value' lines with keys among max_norm, norm_type or ~ ",
    ),
    (
        ["run", "TOY", "--transform=x"],
        "transform is 'x', expected one of mask_itemseq, inverse_itemseq, crop_itemseq, reorder_ite",
    ),
    (["run", "TOY", "--state=loud"], "state is 'loud', expected one of debug, info, warning, error, critical"),
    (["run", "TOY", "--checkpoint_dir="], "checkpoint_dir is None, expected a text such as saved"),
    (["run", "TOY", "--checkpoint_dir=5"], "checkpoint_dir is 5, expected a text such as saved"),
    (["run", "TOY", "--checkpoint_dir=/proc/nope"], "[Errno 2] No such file or directory: '/proc/nope'"),
    (
        ["run", "TOY", "--checkpoint_dir=/dev/null"],
        "[Errno 20] Not a directory: '/dev/null/MMSheaf-toy",
    ),
    (["run", "--data_path=nowhere", "--dataset=toy"], "dataset 'toy' is not in nowhere"),
    (["run", "--dataset="], "the dataset's name is '', expected that of a folder in data_path, not a path"),
    (["run", "--dataset=../x"], "the dataset's name is '../x', expected that of a folder in data_path, not a path"),
    (["run", "--dataset=/etc"], "the dataset's name is '/etc', expected that of a folder in data_path, not a path"),
    (["run", "--dataset=nope"], "dataset 'nope' is not in dataset"),
    (["run", "--dataset=a/b"], "the dataset's name is 'a/b', expected that of a folder in data_path, not a path"),
    (["run", "TOY", "--cache_dir=5"], "cache_dir is 5, expected a text or ~ for none"),
    (["run", "TOY", "--features_path=5"], "features_path is 5, expected a text or ~ for none"),
    (["run", "TOY", "--features_path=nowhere"], "features_path 'nowhere' is not a folder"),
    (["run", "TOY", "--features_path=/dev/zero"], "features_path '/dev/zero' is not a folder"),
    (
        ["run", "TOY", "--modalities=[{name: v, file: clips.npy}]"],
        "the file of modality 'v', clips.npy, is not in data/toy/features",
    ),
    (["run", "TOY", "--modalities=[{name: v, colums: [a]}]"], "has the name 'colums' (did you mean 'columns'?)"),
    (["run", "TOY", "--text_modalities={../../x: [title]}"], "a name in text_modalities is '../../x', expected a text"),
    (["run", "TOY", "--text_modalities=5"], "text_modalities is 5, expected 'key: value' lines or ~ for none"),
    (
        ["run", "TOY", "--text_modalities={t: 5}"],
        "text_modalities.t is 5, expected a list, each entry a text",
    ),
    (
        ["run", "TOY", "--text_modalities={t: [nope]}"],
        "dataset 'toy' has no item content: looked for data/toy/features/*.npz",
    ),
    (["run", "TOY", "--seen_at_test=[test]"], "an entry of seen_at_test is 'test', expected one of train, valid"),
    (
        ["run", "TOY", "--seen_at_test=train"],
        "seen_at_test is 'train', expected a list, each entry one of train, valid",
    ),
    (
        ["run", "TOY", "--split_seed=x"],
        "split_seed is 'x', expected a whole number >= 0 and <= 4294967295 or ~ for none",
    ),
    (
        ["run", "TOY", "--features=nope"],
        "features is 'nope', expected one of real, shuffled, noise, constant (did you mean 'noise'?",
    ),
    (["run", "TOY", "--missing_share=1"], "missing_share is 1, expected a number >= 0 and < 1"),
    (["run", "TOY", "--missing_share=x"], "missing_share is 'x', expected a number >= 0 and < 1"),
    (["run", "TOY", "--ablation_seed=-1"], "ablation_seed is -1, expected a whole number >= 0 and <= 4294967295"),
    (["run", "TOY", "--loss=nope"], "loss is 'nope', expected one of bpr, softmax"),
    (
        ["run", "TOY", "--loss=softmax", "--model=Pop"],
        "Pop is not ready for loss: softmax, it has the loss it was published with",
    ),
    (["run", "TOY", "--softmax_temperature=0"], "softmax_temperature is 0, expected a number >= 0.001 and <= 1000"),
    (["run", "TOY", "--softmax_items=x"], "softmax_items is 'x', expected a whole number >= 1, auto or all"),
    (["run", "TOY", "--softmax_items=0"], "softmax_items is 0, expected a whole number >= 1, auto or all"),
    (["run", "TOY", "--softmax_steps=0"], "softmax_steps is 0, expected a whole number >= 1"),
    (["run", "TOY", "--log_mlflow=maybe"], "log_mlflow is 'maybe', expected true or false"),
    (["run", "TOY", "--log_wandb=maybe"], "log_wandb is 'maybe', expected true or false"),
    (["run", "TOY", "--log_wandb=true"], "log_wandb is true, but wandb is not installed"),
    (["run", "TOY", "--search_space=5"], "search_space is 5, expected 'key: value' lines or ~ for none"),
    (["run", "TOY", "--message_passing=cuda"], "message_passing is 'cuda', expected one of auto, dgl, torch"),
    (
        ["run", "TOY", "--model=LightGCN", "--message_passing=cuda"],
        "message_passing is 'cuda', expected one of auto, dgl, torch",
    ),
    (
        ["run", "TOY", "--restriction_map=nope"],
        "restriction_map is 'nope', expected one of identity, diagonal, orthogonal, general, factor",
    ),
    (["run", "TOY", "--stalk_dim=3"], "embedding_size 64 is no multiple of stalk_dim 3"),
    (["run", "TOY", "--embedding_size=1e3"], "embedding_size is 1000.0, expected a whole number >= 1"),
    (["run", "TOY", "--weight_decay=-1"], "weight_decay is -1, expected a number >= 0"),
    (["run", "TOY", "--learning_rate=0"], "learning_rate is 0, expected a number > 0"),
    (["run", "TOY", "--learning_rate=.nan"], "learning_rate is nan, expected a number > 0"),
    (["run", "TOY", "--learning_rate=[1]"], "learning_rate is [1], expected a number > 0"),
    (["run", "TOY", "--train_batch_size=0"], "train_batch_size is 0, expected a whole number >= 1"),
    (["run", "TOY", "--train_batch_size=1e9"], "train_batch_size is 1000000000.0, expected a whole number >= 1"),
    (["run", "TOY", "--eval_batch_size=0"], "eval_batch_size is 0, expected a whole number >= 1"),
    (["run", "TOY", "--eval_step=x"], "eval_step is 'x', expected a whole number >= 0"),
    (["run", "TOY", "--stopping_step=-1"], "stopping_step is -1, expected a whole number >= 0"),
    (["run", "TOY", "--metric_decimal_place=99"], "metric_decimal_place is 99, expected a whole number >= 0 and <= 16"),
    (["run", "TOY", "--loss_decimal_place=x"], "loss_decimal_place is 'x', expected a whole number >= 0 and <= 16"),
    (["run", "TOY", "--shuffle=x"], "shuffle is 'x', expected true or false"),
    (["run", "TOY", "--show_progress=x"], "show_progress is 'x', expected true or false"),
    (["run", "TOY", "--repeatable=x"], "repeatable is 'x', expected true or false"),
    (
        ["run", "TOY", "--save_dataset=true"],
        "save_dataset is true, which would write a pickle that nothing here reads again",
    ),
    (["run", "TOY", "--dataset_save_path=x.pth"], "dataset_save_path names a pickle, which is not read"),
    (["run", "TOY", "--dataloaders_save_path=x.pth"], "dataloaders_save_path names a pickle, which is not read"),
    (["run", "TOY", "--enable_amp=x"], "enable_amp is 'x', expected true or false"),
    (["run", "TOY", "--require_pow=x"], "require_pow is 'x', expected true or false"),
    (["run", "TOY", "--unknown=1"], "no setting of MMSheaf has the name 'unknown'"),
    (["run", "TOY", "--epochs=1", "--epochs=2"], "--epochs is given twice, as 1 and 2"),
    (["run", "TOY", "--epochs"], "'--epochs' is not understood"),
    (["run", "TOY", "epochs=1"], "'epochs=1' is not understood"),
    (["run", "TOY", "--=1"], "'--=1' is not understood"),
    (["run", "TOY", "--x"], "'--x' is not understood"),
    (["run", "TOY", "-e=1"], "'-e=1' is not understood"),
    (
        ["run", "TOY", "--epochs=[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1"],
        "--epochs is nested deeper than 40 levels, which no settings are",
    ),
    (["run", "TOY", "--epochs={a: &a [*a]}"], "--epochs has the alias *a inside of &a itself"),
    (
        ["run", "TOY", "--epochs=!!python/object/apply:os.getcwd []"],
        "epochs is '!!python/object/apply:os.getcwd []', expected a whole number >= 0",
    ),
    (
        ["run", "TOY", "--epochs=__import__('os').system('touch x')"],
        "epochs is \"__import__('os').system('touch x')\", expected a whole number >= 0",
    ),
    (["run", "TOY", "--MAX_ITEM_LIST_LENGTH=x"], "MAX_ITEM_LIST_LENGTH is 'x', expected a whole number >= 1"),
    (["run", "TOY", "--LABEL_FIELD="], "LABEL_FIELD is None, expected a text such as user_id"),
    (["run", "TOY", "--NEG_PREFIX=5"], "NEG_PREFIX is 5, expected a text such as user_id"),
    (
        ["run", "TOY", "--unload_col={inter: [user_id]}"],
        "RecBole refuses dataset 'toy' under these settings (load_col [{",
    ),
    (["run", "TOY", "--unused_col=5"], "unused_col is 5, expected 'key: value' lines or ~ for none"),
    (["run", "TOY", "--kg_reverse_r=x"], "kg_reverse_r is 'x', expected true or false"),
    (
        ["run", "TOY", "--model=FM"],
        "eval_args.mode is labeled, which ranks nothing, but metrics are Recall, NDCG, Precision, M",
    ),
    (
        ["run", "TOY", "--model=FM", "--metrics=[Recall]"],
        "eval_args.mode is labeled, which ranks nothing, but metrics are Recall",
    ),
    (
        ["run", "--model=SASRec"],
        "RecBole refuses the settings of SASRec: train_neg_sample_args [{'distribution': 'uniform',",
    ),
    (
        ["run", "TOY", "--model=SASRec"],
        "RecBole refuses the settings of SASRec: train_neg_sample_args [{'distribution': 'uniform',",
    ),
    (
        ["run", "TOY", "--models=LightGCN,SASRec"],
        "RecBole refuses the settings of SASRec: train_neg_sample_args [{'distribution': 'uniform',",
    ),
    (
        ["run", "TOY", "--model=KGAT"],
        "KGAT learns from a graph of knowledge beside the interactions, and such models are not trained here",
    ),
    (
        ["run", "TOY", "--model=KD_DAGFM", "--teacher=__import__('os').system('touch hacked')"],
        "eval_args.mode is labeled, which ranks nothing, but metrics are Recall, NDCG, Precision, M",
    ),
    (
        ["run", "TOY", "--model=LDiffRec", "--n_cate=2"],
        "n_cate is 2, for which RecBole reads data/toy/item_emb.npy, no array of plain numbers ([Er",
    ),
    (
        ["run", "TOY", "--model=xgboost"],
        "xgboost needs the package lightgbm, which is not installed: pip install lightgbm",
    ),
    (
        ["run", "TOY", "--model=lightgbm"],
        "lightgbm needs the package lightgbm, which is not installed: pip install lightgbm",
    ),
    (
        ["run", "TOY", "--model=NeuMF", "--use_pretrain=true"],
        "RecBole's NeuMF cannot be built from these settings and data (AttributeError: 'NoneType' o",
    ),
    (["run", "TOY", "--config_files=nope.yaml"], "there is no settings file nope.yaml"),
    (["run", "TOY", "--config_files=data"], "data cannot be read (it is a folder)"),
    (["run", "TOY", "--config_files=/dev/zero"], "zero cannot be read (it is a device)"),
    (["run", "TOY", "--result_file=data"], "data cannot be written"),
    (
        ["run", "TOY", "--result_file=/proc/x/y"],
        "/proc/x/y cannot be written ([Errno 2] No such file or directory: '/proc/x')",
    ),
    (
        ["run", "TOY", "--table_file=/proc/x/y"],
        "/proc/x/y cannot be written ([Errno 2] No such file or directory: '/proc/x')",
    ),
    (["run", "TOY", "--table_file=data"], "data cannot be written"),
    (["compare", "ex/latin.yaml"], "is no UTF-8 text (at byte 9)"),
    (["compare", "ex/bin.yaml"], "is no UTF-8 text (at byte 128)"),
    (["compare", "ex/big.yaml"], "is larger than 262144 bytes, which no settings are"),
    (["compare", "ex"], "ex cannot be read (it is a folder)"),
    (["compare", "nope.yaml"], "there is no settings file nope.yaml"),
    (["compare", "/dev/zero"], "zero cannot be read (it is a device)"),
    (["compare", "ex/ok.yaml", "--workers=0"], "--workers is 0, expected a whole number from 1"),
    (
        ["compare", "ex/ok.yaml", "--workers=x"],
        "recbole-sheaf compare: error: argument --workers: invalid int value: 'x'",
    ),
    (["compare", "ex/ok.yaml", "--seed=5"], "--seed is an axis of the grid"),
    (["compare", "ex/ok.yaml", "--nope=5"], "no setting of Pop has the name 'nope'"),
    (["compare", "ex/ok.yaml", "--epochs=x"], "line 2, key 'models.0': epochs is 'x', expected a whole number >= 0"),
    (["compare"], "recbole-sheaf compare: error: the following arguments are required: experiment"),
    (["compare", "ex/ok.yaml", "extra"], "'extra' is not understood"),
    (["tune", "TOY"], "recbole-sheaf tune: error: the following arguments are required: --models/--model"),
    (["classify"], "recbole-sheaf classify: error: the following arguments are required: --dataset"),
    (["tune", "TOY", "--models=Nope"], "there is no model 'Nope' (did you mean 'NPE'?)"),
    (["tune", "TOY", "--models="], "the models are given as '', where a name is empty"),
    (["tune", "TOY", "--models=BPR", "--trials=0"], "--trials, --workers and --threads are whole numbers from 1"),
    (
        ["tune", "TOY", "--models=BPR", "--trials=x"],
        "recbole-sheaf tune: error: argument --trials: invalid int value: 'x'",
    ),
    (["tune", "TOY", "--models=BPR", "--workers=0"], "--trials, --workers and --threads are whole numbers from 1"),
    (["tune", "TOY", "--models=BPR", "--threads=-1"], "--trials, --workers and --threads are whole numbers from 1"),
    (["tune", "TOY", "--models=BPR", "--store=/proc/x/y.duckdb"], "[Errno 2] No such file or directory: '/proc/x'"),
    (
        ["tune", "TOY", "--models=BPR", "--store=data"],
        "data cannot be written ([Errno 21] Is a directory: 'data')",
    ),
    (["tune", "TOY", "--models=BPR", "--output=/proc/x"], "[Errno 2] No such file or directory: '/proc/x'"),
    (["tune", "TOY", "--models=BPR", "--output=settings.txt"], "[Errno 20] Not a directory: 'settings.txt/toy'"),
    (
        ["tune", "TOY", "--models=BPR", "--search_space=5"],
        "search_space is 5, expected 'key: value' lines or ~ for none",
    ),
    (
        ["tune", "TOY", "--models=BPR", "--search_space={nope: {low: 1, high: 2}}"],
        "no setting of search_space of BPR has the name 'nope'",
    ),
    (
        ["tune", "TOY", "--models=BPR", "--search_space={learning_rate: {low: 2, high: 1}}"],
        "search_space has learning_rate: {'low': 2, 'high': 1}, expected {low: 1e-4, high: 1e-2, lo",
    ),
    (
        ["tune", "TOY", "--models=BPR", "--search_space={learning_rate: {low: x, high: 1}}"],
        "search_space has learning_rate: {'low': 'x', 'high': 1}, expected {low: 1e-4, high: 1e-2, ",
    ),
    (
        ["tune", "TOY", "--models=BPR", "--search_space={learning_rate: {choices: []}}"],
        "search_space has learning_rate: {'choices': []}, expected {low: 1e-4, high: 1e-2, log: tru",
    ),
    (
        ["tune", "TOY", "--models=BPR", "--search_space={learning_rate: {choices: [0.0]}}"],
        "learning_rate is 0.0, expected a number > 0",
    ),
    (
        ["tune", "TOY", "--models=BPR", "--search_space={learning_rate: 5}"],
        "search_space has learning_rate: 5, expected {low: 1e-4, high: 1e-2, log: true} with low <=",
    ),
    (
        ["tune", "TOY", "--models=BPR", "--search_space={learning_rate: {low: -1, high: 1}}"],
        "learning_rate is -1, expected a number > 0",
    ),
    (
        ["tune", "TOY", "--models=BPR", "--search_space={learning_rate: {low: 0, high: 1, log: true}}"],
        "search_space has learning_rate: {'low': 0, 'high': 1, 'log': True}, expected {low: 1e-4, h",
    ),
    (["tune", "TOY", "--models=BPR,BPR"], "BPR is named more than once"),
    (
        ["tune", "TOY", "--models=BPR", "--search_seed=-1"],
        "--search_seed is -1, expected a whole number >= 0 and <= 4294967295",
    ),
    (
        ["tune", "TOY", "--models=BPR", "--search_seed=x"],
        "recbole-sheaf tune: error: argument --search_seed: invalid int value: 'x'",
    ),
    (["tune", "TOY", "--models=BPR", "--epochs=x"], "epochs is 'x', expected a whole number >= 0"),
    (["tune", "TOY", "--models=BPR", "--config_files=nope.yaml"], "there is no settings file nope.yaml"),
    (["results", "nope.duckdb"], "there is no store nope.duckdb"),
    (["results", "data"], "there is no store data"),
    (["results", "settings.txt"], 'settings.txt cannot be opened as a store (IO Error: The file "'),
    (["results"], "recbole-sheaf results: error: the following arguments are required: store"),
    (["table", "nope.json"], "there is no result file nope.json"),
    (["table", "data"], "data cannot be read (it is a folder)"),
    (["table", "settings.txt"], "settings.txt is not a result file (Expecting value: line 1 column 1 (char 0))"),
    (["table"], "recbole-sheaf table: error: the following arguments are required: files"),
    (["evaluate", "nope.pth"], "there is no checkpoint nope.pth"),
    (["evaluate", "data"], "there is no checkpoint data"),
    (
        ["evaluate", "settings.txt"],
        "settings.txt claims a header of 8316293034885936498 bytes, more than",
    ),
    (["evaluate"], "recbole-sheaf evaluate: error: the following arguments are required: checkpoint"),
    (["nope"], "'recbole-sheaf COMMAND --help' explains a command."),
    (["models", "extra"], "recbole-sheaf models: error: unrecognized arguments: extra"),
    (["models", "settings.txt"], "recbole-sheaf models: error: unrecognized arguments: settings.txt"),
    (
        ["evaluate", "settings.txt", "settings.txt"],
        "one file is read, but settings.txt stands beside it; a pattern like",
    ),
    (["run", "TOY", "--text_modalities={t: title}"], "text_modalities.t is 'title', expected a list"),
    (["run", "--load_col={}", "TOY"], "load_col is {}, without the columns of inter"),
    (["table", "/dev/zero"], ""),
    (["results", "/dev/zero"], ""),
    (["evaluate", "/dev/zero"], ""),
]

GOOD = "datasets: [toy]\nmodels: [Pop]\nsettings: {data_path: ../data, topk: [3], valid_metric: Recall@3}\n"
EXPERIMENTS = {  # text of the experiment file, and words of the sentence
    "empty": ("", "holds nothing, expected 'key: value' lines"),
    "list": ("- a\n", "holds list, expected 'key: value' lines"),
    "word": ("hello\n", "holds str, expected 'key: value' lines"),
    "nomodels": ("datasets: [toy]\n", "models is missing or empty"),
    "nodata": ("models: [Pop]\n", "datasets is missing or empty"),
    "unknown": (
        GOOD + "workerz: 2\n",
        "line 4, key 'workerz': no key of an experiment (did you mean 'workers'?)",
    ),
    "workers0": (
        GOOD + "workers: 0\n",
        "line 4, key 'workers': 0 is not allowed",
    ),
    "workersx": (
        GOOD + "workers: x\n",
        "line 4, key 'workers': 'x' is not allowed",
    ),
    "threads": (
        GOOD + "threads: 1.5\n",
        "line 4, key 'threads': 1.5 is not allowed",
    ),
    "seeds": (
        GOOD + "seeds: []\n",
        "line 4, key 'seeds': the list is empty",
    ),
    "seedsx": (
        GOOD + "seeds: [x]\n",
        "line 4, key 'seeds.0': 'x' is no seed",
    ),
    "seedsdup": (
        GOOD + "seeds: [1,1]\n",
        "line 4, key 'seeds.1': seed 1 is named more than once",
    ),
    "seedneg": (
        GOOD + "seeds: [-1]\n",
        "line 4, key 'seeds.0': -1 is no seed",
    ),
    "seedbool": (
        GOOD + "seeds: [true]\n",
        "line 4, key 'seeds.0': True is no seed",
    ),
    "seedmap": (
        GOOD + "seeds: {a: 1}\n",
        "line 4, key 'seeds.0': {'a': 1} is no seed",
    ),
    "name": (
        "name: ../../x\n" + GOOD,
        "line 1, key 'name': '../../x' is no name",
    ),
    "name2": (
        "name: [a]\n" + GOOD,
        "line 1, key 'name': ['a'] is no text",
    ),
    "name4": (
        "name: .\n" + GOOD,
        "line 1, key 'name': '.' is no name",
    ),
    "store": (
        "store: 5\n" + GOOD,
        "line 1, key 'store': 5 is no text",
    ),
    "store2": (
        "store: /proc/x/y.duckdb\n" + GOOD,
        "/proc/x/y.duckdb cannot be written ([Errno 2] No such file or directory: '/proc/x')",
    ),
    "store3": (
        "store: ../data\n" + GOOD,
        "ex/../data cannot be written ([Errno 21] Is a directory: 'ex/../data')",
    ),
    "store4": (
        "store: [a]\n" + GOOD,
        "line 1, key 'store': ['a'] is no text",
    ),
    "models5": (
        "datasets: [toy]\nmodels: 5\n",
        "line 2, key 'models': 5 is neither a list of names nor 'name: {setting: value}' lines",
    ),
    "modelsint": ("datasets: [toy]\nmodels: [5]\n", "line 2, key 'models.0': 5 is no name"),
    "modelsdup": ("datasets: [toy]\nmodels: [Pop, Pop]\n", "line 2, key 'models.1': 'Pop' is named more than once"),
    "modelnope": (
        "datasets: [toy]\nmodels: [Nope]\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.0': there is no model 'Nope' (did you mean 'NPE'?)",
    ),
    "modelsettings": (
        "datasets: [toy]\nmodels: {Pop: 5}\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.Pop': 5 is no mapping",
    ),
    "modelunk": (
        "datasets: [toy]\nmodels: {MMSheaf: {restriction_mpa: x}}\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.MMSheaf.restriction_mpa': no setting of MMSheaf has the name 'restrict",
    ),
    "modelval": (
        "datasets: [toy]\nmodels: {MMSheaf: {restriction_map: x}}\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.MMSheaf.restriction_map': restriction_map is 'x', expected one of iden",
    ),
    "modelfile": (
        "datasets: [toy]\nmodels: {MMSheaf: {settings_file: nope.yaml}}\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.MMSheaf.settings_file': there is no settings file ex/nope.yaml",
    ),
    "modelfile5": (
        "datasets: [toy]\nmodels: {MMSheaf: {settings_file: 5}}\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.MMSheaf.settings_file': there is no settings file ex/5",
    ),
    "modelfiledir": (
        "datasets: [toy]\nmodels: {MMSheaf: {settings_file: ../data}}\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.MMSheaf.settings_file': data cannot be read (it is a folder)",
    ),
    "modelmodel": (
        "datasets: [toy]\nmodels: {a: {model: 5}}\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.a': there is no model '5'",
    ),
    "modelmodel2": (
        "datasets: [toy]\nmodels: {a: {model: }}\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.a': there is no model 'None'",
    ),
    "modelmodule": (
        "datasets: [toy]\nmodels: {a: {model: 'os:system'}}\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.a': 'os:system' is no RecBole recommender",
    ),
    "modelnull": (
        "datasets: [toy]\nmodels: {a: }\nsettings: {data_path: ../data}\n",
        "line 2, key 'models.a': there is no model 'a'",
    ),
    "datanope": (
        "datasets: [nope]\nmodels: [Pop]\nsettings: {data_path: ../data}\n",
        "line 1, key 'datasets.0': dataset 'nope' is not in ex/../data",
    ),
    "dataset5": ("datasets: [5]\nmodels: [Pop]\n", "line 1, key 'datasets.0': 5 is no name"),
    "dataval": (
        "datasets: {toy: {epochs: x}}\nmodels: [Pop]\nsettings: {data_path: ../data}\n",
        "line 1, key 'datasets.toy.epochs': epochs is 'x', expected a whole number >= 0",
    ),
    "datamap": ("datasets: {toy: [1]}\nmodels: [Pop]\n", "line 1, key 'datasets.toy': [1] is no mapping"),
    "datasetdots": (
        "datasets: [../../etc]\nmodels: [Pop]\n",
        "line 2, key 'models.0': the dataset's name is '../../etc', expected that of a folder in da",
    ),
    "settings5": ("datasets: [toy]\nmodels: [Pop]\nsettings: 5\n", "line 3, key 'settings': 5 is no mapping"),
    "settingsseed": (
        "datasets: [toy]\nmodels: [Pop]\nsettings: {seed: 5, data_path: ../data}\n",
        "line 3, key 'settings.seed': seed is an axis of the grid",
    ),
    "settingsunk": (
        "datasets: [toy]\nmodels: [Pop]\nsettings: {nope: 5, data_path: ../data}\n",
        "line 3, key 'settings.nope': none of Pop has this setting",
    ),
    "settingsint": (
        "datasets: [toy]\nmodels: [Pop]\nsettings: {5: 5, data_path: ../data}\n",
        "line 3, key 'settings.5': 5 is no name of a setting",
    ),
    "settingspath": (
        "datasets: [toy]\nmodels: [Pop]\nsettings: {data_path: 5}\n",
        "line 1, key 'datasets.0': dataset 'toy' is not in ex/5",
    ),
    "settingspath2": (
        "datasets: [toy]\nmodels: [Pop]\nsettings: {data_path: [a]}\n",
        "line 1, key 'datasets.0': dataset 'toy' is not in ex/['a']",
    ),
    "ablist": (
        GOOD + "ablations: 5\n",
        "line 4, key 'ablations': 5 is neither a list of names nor 'name: {setting: value}' lines",
    ),
    "abl2": (
        GOOD + "ablations: {x: {features: nope}}\n",
        "line 4, key 'ablations.x.features': features is 'nope', expected one of real, shuffled, no",
    ),
    "abl3": (
        GOOD + "ablations: {x: {nope: 1}}\n",
        "line 4, key 'ablations.x.nope': none of Pop has this setting",
    ),
    "abl5": (
        GOOD + "ablations: {x: 3}\n",
        "line 4, key 'ablations.x': 3 is no mapping",
    ),
    "teacher": (
        "datasets: [toy]\nmodels: {KD_DAGFM: {teacher: \"__import__('os').system('touch hacked')\"}}\n"
        "settings: {data_path: ../data}\n",
        "line 2, key 'models.KD_DAGFM.teacher': teacher is \"__import__('os').system('touch hacked')",
    ),
    "savepath": (
        "datasets: [toy]\nmodels: [Pop]\n"
        "settings: {data_path: ../data, dataset_save_path: x.pth, topk: [3], valid_metric: Recall@3}\n",
        "line 3, key 'settings.data_path': dataset_save_path names a pickle, which is not read",
    ),
    "cyc": ("a: &a [*a]\n", "has the alias *a inside of &a itself"),
    "dup": (
        GOOD + "models: [BPR]\n",
        "line 2, key 'models': stands here and again on line 4",
    ),
    "pytag": (
        "a: !!python/object/apply:os.system ['touch hacked']\n",
        "line 1, column 4: not readable as YAML: could not determine a constructor for the tag 'tag",
    ),
    "tab": (
        "a:\t- b\n\t- c\n",
        "line 1, column 4: not readable as YAML: block sequence entries are not allowed in this con",
    ),
    "intkey": (
        "5: x\n" + GOOD,
        "line 1, key '5': no key of an experiment",
    ),
    "nullkey": (
        "~: x\n" + GOOD,
        "no key of an experiment",
    ),
    "listkey": (
        "? [a]\n: x\n" + GOOD,
        "line 1, column 3: not readable as YAML: found unhashable key",
    ),
    "nlname": (
        'name: "a\\nb"\n' + GOOD,
        "line 1, key 'name': 'a\\nb' is no name",
    ),
    "long name": (f"name: {'x' * 500}\ndatasets: [toy]\nmodels: [Pop]\n", "is no name; write up to 100 letters on one"),
}


class AcceptedError(Exception):
    """No refusal came before the first epoch."""


def _accepted(config, split, *rest, **named):
    prepare(config, split)
    raise AcceptedError


@pytest.fixture
def place(workplace, monkeypatch):
    """A folder with a tiny dataset, in which nothing is trained and nothing but the payload would write 'hacked'."""
    draws = random.Random(1)
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(12):
        lines += [
            f"u{user}\ti{item}\t{draws.randint(1, 5)}\t{draws.randint(1, 999)}" for item in draws.sample(range(10), 6)
        ]
    (workplace / "data" / "toy").mkdir(parents=True)
    (workplace / "data" / "toy" / "toy.inter").write_text("\n".join(lines) + "\n")
    (workplace / "data" / "toy" / "toy.item").write_text("item_id:token\ttitle:token_seq\ni1\ta word\n")
    (workplace / "settings.txt").write_text("run this and that\n" * 3)
    (workplace / "ex").mkdir()
    (workplace / "ex" / "ok.yaml").write_text(GOOD)
    (workplace / "ex" / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    (workplace / "ex" / "bin.yaml").write_bytes(bytes(range(256)))
    (workplace / "ex" / "big.yaml").write_text("a: " + "x" * 300_000)
    monkeypatch.setattr(running, "train", _accepted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    yield workplace
    assert not (workplace / "hacked").exists()


def sentence(argv, capsys):
    """What a refused command says last; exit code 2."""
    try:
        code = cli.main(argv)
    except SystemExit as stop:  # argparse's own refusals
        code = stop.code
    said = capsys.readouterr().err.strip()
    assert code == 2, f"exit code {code}: {said}"
    assert "Traceback" not in said
    return said.splitlines()[-1]


@pytest.mark.parametrize("arguments, words", COMMANDS, ids=[" ".join(arguments)[:60] for arguments, _ in COMMANDS])
def test_a_wrong_argument_is_refused_in_a_sentence(place, capsys, arguments, words):
    argv = [argument for given in arguments for argument in (TOY if given == "TOY" else (given,))]
    assert words in sentence(argv, capsys)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_wrong_experiment_is_refused_in_a_sentence(place, capsys, name):
    text, words = EXPERIMENTS[name]
    (place / "ex" / "x.yaml").write_text(text)
    assert words in sentence(["compare", "ex/x.yaml"], capsys)
