"""What the report calls the metrics, which of them it compares, and how it says what a model does."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["AT_THRESHOLD", "COMPARED", "PREDICTS", "WORDS", "words_of"]

Words = tuple[str, int, str]  # shown as; 1: higher is better, -1: lower, 0: neither; what it is

WORDS: Mapping[str, Words] = {
    "auc": ("AUC", 1, "chance that a positive row scores above a negative one"),
    "average_precision": ("Average precision", 1, "area under precision over recall"),
    "log_loss": ("Log loss", -1, "mean negative log likelihood, in nats"),
    "brier": ("Brier score", -1, "mean squared error of the probability"),
    "accuracy": ("Accuracy", 1, "share of rows called right"),
    "precision": ("Precision", 1, "share of called rows that are positive"),
    "recall": ("Recall (sensitivity)", 1, "share of positive rows that are called"),
    "specificity": ("Specificity", 1, "share of negative rows that are not called"),
    "f1": ("F1", 1, "harmonic mean of precision and recall"),
    "best_f1": ("Best F1", 1, "largest F1 over all thresholds"),
    "balanced_accuracy": ("Balanced accuracy", 1, "mean recall of the classes"),
    "mcc": ("Matthews correlation", 1, "correlation of calls and labels"),
    "youden": ("Youden's J", 1, "recall + specificity - 1"),
    "lift_at_10pct": (
        "Lift, top 10 %",
        1,
        "positive rate among the best-scored tenth, over the base rate",
    ),
    "calibration_error": (
        "Calibration error",
        -1,
        "mean gap between score and share of positives, over bins",
    ),
    "macro_precision": ("Precision, macro", 1, "mean over the classes"),
    "macro_recall": ("Recall, macro", 1, "mean over the classes"),
    "macro_f1": ("F1, macro", 1, "mean over the classes"),
    "weighted_precision": ("Precision, weighted", 1, "mean over the rows"),
    "weighted_recall": ("Recall, weighted", 1, "mean over the rows"),
    "weighted_f1": ("F1, weighted", 1, "mean over the rows"),
    "rmse": ("RMSE", -1, "root of the mean squared error, in units of the label"),
    "mse": ("MSE", -1, "mean squared error"),
    "mae": ("MAE", -1, "mean absolute error, in units of the label"),
    "median_absolute_error": ("Median absolute error", -1, "half of the rows are closer"),
    "max_absolute_error": ("Largest error", -1, "in units of the label"),
    "mean_residual": ("Mean residual", 0, "label minus prediction: 0 is unbiased"),
    "r2": ("R²", 1, "share of the label's variance that is explained"),
    "adjusted_r2": ("Adjusted R²", 1, "R² with a price for every feature"),
}
OVER_CLASSES = ("AUC", 1, "each class against all others, mean over the classes")
COMPARED: Mapping[str, tuple[str, ...]] = {
    "binary": (
        "auc",
        "average_precision",
        "log_loss",
        "brier",
        "best_f1",
        "lift_at_10pct",
        "calibration_error",
    ),
    "multiclass": ("auc", "accuracy", "balanced_accuracy", "log_loss", "macro_f1", "weighted_f1"),
    "regression": ("rmse", "mae", "median_absolute_error", "r2", "adjusted_r2"),
}
AT_THRESHOLD = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "mcc")
PREDICTS: Mapping[str, str] = {
    "binary": "whether a row is of class 1, from",
    "multiclass": "which class a row is of, from",
    "regression": "its value, from",
}


def words_of(task: str) -> Mapping[str, Words]:
    """Return metric name -> words, as this task means them."""
    return {**WORDS, "auc": OVER_CLASSES} if task == "multiclass" else WORDS
