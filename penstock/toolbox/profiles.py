"""What each of SageMaker's readers accepts, as data.

Where a fact is from stands beside it: ``F`` is the project's fact sheet by section, ``D`` the facts
in its design. What is not known is not checked: an entry is as strict as its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.errors import InputError, nearest
from penstock.toolbox.content import Kind

__all__ = ["PROFILES", "Profile", "profile"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What one reader accepts.

    Attributes:
        name: The algorithm.
        reason: Why the rules are as they are, in one line.
        kind: What its records are.
        features: Names that each record must have in ``features``.
        dtypes: Number types of features that it takes.
        labels: Whether a record must have a label.
        label_dtypes: Number types of labels that it takes.
        whole_labels: Whether labels are classes: whole numbers, 0 or more.
        empty_rows: Whether a sparse row may have no keys and no values.
        nan: Whether a feature may be NaN; infinity never may.
        one_width: Whether all rows must have as many columns as the first.
        widths: Least and largest width; None where there is no limit.
        magic: Whether payloads may hold the magic word at a multiple of four bytes.
        image_kinds: How images may begin; none to take any.
        boxes: Whether labels are lists of objects with their boxes.
    """

    name: str
    reason: str
    kind: Kind = "records"
    features: tuple[str, ...] = ("values",)
    dtypes: tuple[str, ...] = ("float32",)
    labels: Literal["required", "optional"] = "optional"
    label_dtypes: tuple[str, ...] = ("float32",)
    whole_labels: bool = False
    empty_rows: bool = True
    nan: bool = False
    one_width: bool = True
    widths: tuple[int | None, int | None] = (None, None)
    magic: bool = True
    image_kinds: tuple[str, ...] = ()
    boxes: bool = False


_ANY_NUMBER = ("float32", "float64", "int32")

PROFILES: dict[str, Profile] = {
    entry.name: entry
    for entry in (
        # F 3.1: no reader of SageMaker's agrees with another on parts. F 3.2: sparse wants a shape.
        # F 3.3: float64 is rejected or mis-read by most.
        Profile(
            name="sagemaker",
            reason="what all of SageMaker's readers of rows agree on: whole frames, float32 values, "
            "a shape on sparse rows, one width, finite numbers",
        ),
        # F 3.4: features["values"] and label["values"], any of the three tensors; it takes the
        # header's second word as a plain length, and without a shape the width is the largest key of
        # what it has read. D: a row without keys crashes it. NaN is its missing value.
        Profile(
            name="xgboost",
            reason="takes part flags for a huge length, fails on sparse rows without keys, and "
            "guesses the width of rows without a shape; NaN is a missing value",
            dtypes=_ANY_NUMBER,
            labels="required",
            label_dtypes=_ANY_NUMBER,
            empty_rows=False,
            nan=True,
        ),
        # F 4.2: x-recordio-protobuf float32. F 4.3: labels 0/1, 0..K-1, or any number.
        Profile(
            name="linear-learner",
            reason="learns from float32 rows with one label each",
            labels="required",
        ),
        # F 4.1, 4.2: recordio float32; k-means, PCA, LDA and NTM learn without labels.
        Profile(name="kmeans", reason="learns from float32 rows and ignores labels"),
        Profile(name="pca", reason="learns from float32 rows and ignores labels"),
        # F 4.2: recordio float32 only. F 4.3: binary_classifier or regressor.
        Profile(
            name="factorization-machines",
            reason="learns from float32 rows with one label each, and reads no other format",
            labels="required",
        ),
        Profile(name="lda", reason="learns from float32 word counts and ignores labels"),
        # F 4.3: classifier or regressor.
        Profile(name="knn", reason="keeps float32 rows with one label each", labels="required"),
        # F 4.3: feature_dim 1 to 10000; train without labels, test with 0 or 1.
        Profile(
            name="randomcutforest",
            reason="takes 1 to 10,000 columns; only a test channel has labels, 1 for an anomaly",
            widths=(1, 10_000),
        ),
        # F 4.3: feature_dim up to a million.
        Profile(
            name="ntm",
            reason="learns from float32 word counts of up to 1,000,000 words and ignores labels",
            widths=(1, 1_000_000),
        ),
        # F 4.3: features["source"] and features["target"] are Int32Tensors of token ids.
        Profile(
            name="seq2seq",
            reason="reads int32 token ids named source and target, of any length",
            features=("source", "target"),
            dtypes=("int32",),
            one_width=False,
        ),
        # F 3.5: header of 24 bytes, labels, JPEG or PNG. F 3.1: a reader that looks for the magic
        # word may take a payload that holds it for several frames.
        Profile(
            name="image-classification",
            reason="reads MXNet image records: a header, one class or a vector of labels, "
            "a JPEG or PNG",
            kind="images",
            whole_labels=True,
            magic=False,
            image_kinds=("JPEG", "PNG"),
        ),
        # F 3.5 as above; the lists of labels are those of MXNet's im2rec for detection: header
        # length, object length, rest of the header, then class and box of each object.
        Profile(
            name="object-detection",
            reason="reads MXNet image records whose labels list class and box of each object",
            kind="images",
            magic=False,
            image_kinds=("JPEG", "PNG"),
            boxes=True,
        ),
    )
}


def profile(name: str) -> Profile:
    """Return a profile by its name; case, ``_`` and ``-`` do not matter.

    Raises:
        InputError: There is none by that name.
    """
    wanted = name.lower().replace("_", "-").strip("-")
    by_letters = {known.replace("-", ""): known for known in PROFILES}
    known = by_letters.get(wanted.replace("-", ""))
    if known is None:
        close = nearest(wanted, tuple(PROFILES))
        hint = f"\n  did you mean {close!r}?" if close else ""
        raise InputError(f"--for is {name!r}, expected one of: {', '.join(PROFILES)}{hint}")
    return PROFILES[known]
