"""The hyperparameters of every algorithm, named as SageMaker names them. Data only, no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.containers.hyperparameters import Hyperparameter, Table
from penstock.containers.unsupervised import KMEANS, PCA

__all__ = ["LINEAR_LEARNER", "LOSSES", "TABLES", "XGBOOST", "XGBOOST_OBJECTIVES"]

# predictor_type -> losses it may use; the first is what ``loss: auto`` means.
LOSSES: dict[str, tuple[str, ...]] = {
    "binary_classifier": ("logistic",),
    "multiclass_classifier": ("softmax_loss",),
    "regressor": (
        "squared_loss",
        "absolute_loss",
        "huber_loss",
        "quantile_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
    ),
}

# objective -> task of the model it makes.
XGBOOST_OBJECTIVES: dict[str, str] = {
    "reg:squarederror": "regression",
    "reg:linear": "regression",
    "reg:squaredlogerror": "regression",
    "reg:absoluteerror": "regression",
    "reg:pseudohubererror": "regression",
    "reg:gamma": "regression",
    "reg:tweedie": "regression",
    "count:poisson": "regression",
    "binary:logistic": "binary",
    "binary:logitraw": "binary",
    "reg:logistic": "binary",
    "multi:softprob": "multiclass",
    "multi:softmax": "multiclass",
}

_THRESHOLD = "the threshold stays 0.5; the evaluation reports the best one; remove it"
_SCHEDULE = "learning_rate falls to zero along a cosine over the epochs; remove it"
_MATRIX = "the rows stream into quantiles, there is no plain matrix; remove it"


def _check_linear(values: Mapping[str, Any]) -> list[str]:
    predictor, loss, classes = values["predictor_type"], values["loss"], values["num_classes"]
    allowed = LOSSES[predictor]
    problems = []
    if loss not in ("auto", *allowed):
        hinge = ", which gives no probabilities," if loss == "hinge_loss" else ""
        problems.append(
            f"'loss' is {loss!r}{hinge} but predictor_type is {predictor!r}, "
            f"expected {', '.join(map(repr, ('auto', *allowed)))}"
        )
    if predictor == "multiclass_classifier" and classes is None:
        problems.append(
            "'num_classes' is missing, expected an integer of at least 2: "
            "predictor_type is 'multiclass_classifier'"
        )
    if predictor != "multiclass_classifier" and classes is not None:
        problems.append(
            f"'num_classes' is {classes!r} but predictor_type is {predictor!r}, expected it only "
            "with 'multiclass_classifier'"
        )
    return problems


_EVERY_LOSS = (*(loss for losses in LOSSES.values() for loss in losses), "hinge_loss")

LINEAR_LEARNER = Table(
    algorithm="linear-learner",
    cross_check=_check_linear,
    parameters=(
        Hyperparameter(
            name="predictor_type", kind="text", required=True, choices=tuple(LOSSES),
            sentence="what is predicted",
        ),
        Hyperparameter(
            name="num_classes", kind="int", minimum=2, maximum=1_000_000,
            sentence="classes of a multiclass_classifier; labels are 0 to num_classes - 1",
        ),
        Hyperparameter(
            name="feature_dim", kind="int", default="auto", auto=True, minimum=1,
            sentence="features of a row; auto takes those of the first row",
        ),
        Hyperparameter(
            name="epochs", kind="int", default=15, minimum=1,
            sentence="most passes over the train channel",
        ),
        Hyperparameter(
            name="mini_batch_size", kind="int", default=1000, minimum=1, sentence="rows of one step",
        ),
        Hyperparameter(
            name="learning_rate", kind="float", default="auto", auto=True, above=0,
            sentence="size of the first steps; auto goes by the optimizer and the number of steps",
        ),
        Hyperparameter(
            name="use_lr_scheduler", kind="bool", default=True,
            sentence="whether the learning rate falls to zero over the epochs",
        ),
        Hyperparameter(
            name="l1", kind="float", default="auto", auto=True, minimum=0,
            sentence="weight of the L1 penalty; auto is 0",
        ),
        Hyperparameter(
            name="wd", kind="float", default="auto", auto=True, minimum=0,
            sentence="weight of the L2 penalty; auto is 0",
        ),
        Hyperparameter(
            name="loss", kind="text", default="auto", auto=True, choices=_EVERY_LOSS,
            sentence="what is minimised; auto goes by predictor_type",
        ),
        Hyperparameter(
            name="optimizer", kind="text", default="auto", auto=True,
            choices=("adam", "sgd", "rmsprop"), sentence="how steps are made; auto is adam",
        ),
        Hyperparameter(
            name="momentum", kind="float", default="auto", auto=True, minimum=0, below=1,
            sentence="share of the last step kept by sgd; auto is 0.9",
        ),
        Hyperparameter(
            name="beta_1", kind="float", default="auto", auto=True, minimum=0, below=1,
            sentence="decay of adam's mean gradient; auto is 0.9",
        ),
        Hyperparameter(
            name="beta_2", kind="float", default="auto", auto=True, minimum=0, below=1,
            sentence="decay of adam's mean squared gradient; auto is 0.999",
        ),
        Hyperparameter(
            name="use_bias", kind="bool", default=True, sentence="whether the model has a bias",
        ),
        Hyperparameter(
            name="normalize_data", kind="bool", default=True, auto=True,
            sentence="whether features are divided by their standard deviation for training",
        ),
        Hyperparameter(
            name="unbias_data", kind="bool", default="auto", auto=True,
            sentence="whether the features' means are taken off for training; auto follows "
            "normalize_data",
        ),
        Hyperparameter(
            name="normalize_label", kind="bool", default="auto", auto=True,
            sentence="whether a regressor's label is divided by its standard deviation for training; "
            "auto is true",
        ),
        Hyperparameter(
            name="unbias_label", kind="bool", default="auto", auto=True,
            sentence="whether a regressor's mean label is taken off for training; auto is true",
        ),
        Hyperparameter(
            name="positive_example_weight_mult", kind="float", default=1.0, auto=True, above=0,
            choices=("balanced",),
            sentence="weight of a row of class 1; balanced, as auto, gives both classes equal weight",
        ),
        Hyperparameter(
            name="balance_multiclass_weights", kind="bool", default=False,
            sentence="whether all classes of a multiclass_classifier have equal weight",
        ),
        Hyperparameter(
            name="early_stopping_patience", kind="int", default=3, minimum=1,
            sentence="epochs without a better objective after which training ends",
        ),
        Hyperparameter(
            name="early_stopping_tolerance", kind="float", default=0.001, minimum=0,
            sentence="share by which the objective must fall to count as better",
        ),
        Hyperparameter(
            name="init_method", kind="text", default="auto", auto=True,
            choices=("uniform", "normal"), sentence="first weights; auto is zero",
        ),
        Hyperparameter(
            name="init_scale", kind="float", default=0.07, minimum=0,
            sentence="half the range of init_method uniform",
        ),
        Hyperparameter(
            name="init_sigma", kind="float", default=0.01, minimum=0,
            sentence="standard deviation of init_method normal",
        ),
        Hyperparameter(
            name="init_bias", kind="float", default="auto", auto=True,
            sentence="first bias; auto is what predicts the classes' shares",
        ),
        Hyperparameter(
            name="quantile", kind="float", default=0.5, above=0, below=1,
            sentence="quantile that quantile_loss predicts",
        ),
        Hyperparameter(
            name="huber_delta", kind="float", default=1.0, above=0,
            sentence="error at which huber_loss turns linear",
        ),
        Hyperparameter(
            name="loss_insensitivity", kind="float", default=0.01, above=0,
            sentence="error that the eps_insensitive losses forgive",
        ),
        Hyperparameter(
            name="num_models", kind="int", default="auto", auto=True, minimum=1, maximum=1,
            sentence="models trained side by side; one here",
        ),
    ),
    refused={
        "accuracy_top_k": "the evaluation reports accuracy; remove it",
        "bias_lr_mult": "the bias learns as the weights do; remove it",
        "bias_wd_mult": "the bias has no penalty; remove it",
        "binary_classifier_model_selection_criteria": _THRESHOLD,
        "f_beta": _THRESHOLD,
        "lr_scheduler_factor": _SCHEDULE,
        "lr_scheduler_minimum_lr": _SCHEDULE,
        "lr_scheduler_step": _SCHEDULE,
        "margin": "hinge_loss gives no probabilities; remove it",
        "num_calibration_samples": _THRESHOLD,
        "num_point_for_scaler": "the scaler reads all rows of the train channel; remove it",
        "target_precision": _THRESHOLD,
        "target_recall": _THRESHOLD,
    },
)  # fmt: skip


def _check_xgboost(values: Mapping[str, Any]) -> list[str]:
    objective, classes = values["objective"], values["num_class"]
    problems = []
    if XGBOOST_OBJECTIVES[objective] == "multiclass" and classes is None:
        problems.append(
            f"'num_class' is missing, expected an integer of at least 2: objective is {objective!r}"
        )
    if XGBOOST_OBJECTIVES[objective] != "multiclass" and classes is not None:
        problems.append(
            f"'num_class' is {classes!r} but objective is {objective!r}, expected it only with "
            "'multi:softprob' or 'multi:softmax'"
        )
    if values["booster"] != "dart":
        dart = [name for name in _DART if values[name] is not None]
        problems += [f"{name!r} is given but booster is 'gbtree', expected 'dart'" for name in dart]
    return problems


_DART = ("sample_type", "normalize_type", "rate_drop", "one_drop", "skip_drop")

XGBOOST = Table(
    algorithm="xgboost",
    cross_check=_check_xgboost,
    parameters=(
        Hyperparameter(
            name="num_round", kind="int", required=True, minimum=1, sentence="most boosting rounds",
        ),
        Hyperparameter(
            name="objective", kind="text", default="reg:squarederror",
            choices=tuple(XGBOOST_OBJECTIVES), sentence="what is minimised",
        ),
        Hyperparameter(
            name="num_class", kind="int", minimum=2, sentence="classes of a multi: objective",
        ),
        Hyperparameter(
            name="early_stopping_rounds", kind="int", minimum=1,
            sentence="rounds without a better last metric of the last channel that end training",
        ),
        Hyperparameter(
            name="eval_metric", kind="text",
            sentence="metrics of each round, comma-separated; the last one decides early stopping",
        ),
        Hyperparameter(
            name="booster", kind="text", default="gbtree", choices=("gbtree", "dart"),
            sentence="kind of ensemble",
        ),
        Hyperparameter(
            name="tree_method", kind="text", default="auto", choices=("auto", "hist"),
            sentence="how splits are found; the streamed matrix allows hist alone",
        ),
        Hyperparameter(name="eta", kind="float", minimum=0, maximum=1, sentence="shrinkage of a tree"),
        Hyperparameter(name="gamma", kind="float", minimum=0, sentence="least gain of a split"),
        Hyperparameter(name="max_depth", kind="int", minimum=0, sentence="deepest level of a tree"),
        Hyperparameter(name="max_leaves", kind="int", minimum=0, sentence="most leaves of a tree"),
        Hyperparameter(
            name="grow_policy", kind="text", choices=("depthwise", "lossguide"),
            sentence="order in which nodes are split",
        ),
        Hyperparameter(
            name="min_child_weight", kind="float", minimum=0, sentence="least weight of a leaf",
        ),
        Hyperparameter(
            name="max_delta_step", kind="float", minimum=0, sentence="largest step of a leaf",
        ),
        Hyperparameter(
            name="subsample", kind="float", above=0, maximum=1, sentence="share of rows per tree",
        ),
        Hyperparameter(
            name="colsample_bytree", kind="float", above=0, maximum=1,
            sentence="share of features per tree",
        ),
        Hyperparameter(
            name="colsample_bylevel", kind="float", above=0, maximum=1,
            sentence="share of features per level",
        ),
        Hyperparameter(
            name="colsample_bynode", kind="float", above=0, maximum=1,
            sentence="share of features per split",
        ),
        Hyperparameter(name="lambda", kind="float", minimum=0, sentence="L2 penalty of leaves"),
        Hyperparameter(name="alpha", kind="float", minimum=0, sentence="L1 penalty of leaves"),
        Hyperparameter(
            name="max_bin", kind="int", default=256, minimum=2, maximum=65_535,
            sentence="quantiles kept of a feature",
        ),
        Hyperparameter(
            name="num_parallel_tree", kind="int", minimum=1, sentence="trees of one round",
        ),
        Hyperparameter(
            name="scale_pos_weight", kind="float", above=0, sentence="weight of rows of class 1",
        ),
        Hyperparameter(name="base_score", kind="float", sentence="prediction before the first tree"),
        Hyperparameter(
            name="monotone_constraints", kind="text", sentence="direction per feature, as (1,0,-1)",
        ),
        Hyperparameter(
            name="interaction_constraints", kind="text",
            sentence="features that may meet in a branch, as [[0,1],[2,3]]",
        ),
        Hyperparameter(
            name="tweedie_variance_power", kind="float", above=1, below=2,
            sentence="variance power of reg:tweedie",
        ),
        Hyperparameter(
            name="huber_slope", kind="float", above=0, sentence="slope of reg:pseudohubererror",
        ),
        Hyperparameter(
            name="sample_type", kind="text", choices=("uniform", "weighted"),
            sentence="how dart picks trees to drop",
        ),
        Hyperparameter(
            name="normalize_type", kind="text", choices=("tree", "forest"),
            sentence="how dart weighs new trees",
        ),
        Hyperparameter(
            name="rate_drop", kind="float", minimum=0, maximum=1, sentence="share of trees dart drops",
        ),
        Hyperparameter(
            name="one_drop", kind="int", minimum=0, maximum=1,
            sentence="whether dart drops one tree at least",
        ),
        Hyperparameter(
            name="skip_drop", kind="float", minimum=0, maximum=1,
            sentence="share of rounds in which dart drops none",
        ),
        Hyperparameter(name="seed", kind="int", default=0, minimum=0, sentence="random seed"),
        Hyperparameter(
            name="nthread", kind="int", minimum=1, sentence="threads; as many as cores when not given",
        ),
        Hyperparameter(
            name="verbosity", kind="int", default=1, minimum=0, maximum=3,
            sentence="what XGBoost itself logs",
        ),
        Hyperparameter(
            name="csv_weights", kind="int", default=0, minimum=0, maximum=0,
            sentence="row weights of CSV, which is not read here",
        ),
    ),
    refused={
        "deterministic_histogram": "training is deterministic as it is; remove it",
        "dsplit": "one host trains; remove it",
        "learning_rate": "SageMaker's name is 'eta'; rename it",
        "min_split_loss": "SageMaker's name is 'gamma'; rename it",
        "n_estimators": "SageMaker's name is 'num_round'; rename it",
        "process_type": "a model is trained from its start; remove it",
        "reg_alpha": "SageMaker's name is 'alpha'; rename it",
        "reg_lambda": "SageMaker's name is 'lambda'; rename it",
        "refresh_leaf": "a model is trained from its start; remove it",
        "save_model_on_termination": "a stopped job always saves its best rounds; remove it",
        "sampling_method": "rows are sampled uniformly; remove it",
        "sketch_eps": _MATRIX,
        "updater": _MATRIX,
        "use_dask_gpu_training": "training runs on the CPU; remove it",
    },
)  # fmt: skip

TABLES: dict[str, Table] = {
    table.algorithm: table for table in (LINEAR_LEARNER, XGBOOST, KMEANS, PCA)
}
