from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from penstock.containers.batches import check_width, class_rows_of, rebatch
from penstock.errors import DataError
from penstock.recordio import Records

WHERE = "channel 'train'"


def pieces(matrix: np.ndarray, sizes: list[int], *, layout: str) -> Iterator[Records]:
    start = 0
    for size in sizes:
        part = matrix[start : start + size]
        features = part if layout == "dense" else sparse.csr_array(part)
        yield Records(features=features, labels=part[:, 0].copy())
        start += size


@given(
    sizes=st.lists(st.integers(0, 9), max_size=8),
    batch_rows=st.integers(1, 12),
    layout=st.sampled_from(["dense", "sparse"]),
)
def test_batches_do_not_depend_on_the_pieces(
    sizes: list[int], batch_rows: int, layout: str
) -> None:
    total = sum(sizes)
    matrix = np.arange(total * 3, dtype=np.float32).reshape(total, 3)

    batches = list(rebatch(pieces(matrix, sizes, layout=layout), batch_rows, WHERE))

    want = [min(batch_rows, total - start) for start in range(0, total, batch_rows)]
    assert [batch.rows for batch in batches] == want
    if batches:
        found = [
            batch.features if layout == "dense" else batch.features.toarray() for batch in batches
        ]
        assert np.array_equal(np.concatenate(found), matrix)
        assert np.array_equal(np.concatenate([b.labels for b in batches]), matrix[:, 0])


def test_stored_zeros_are_dropped_so_that_they_cannot_pass_for_values() -> None:
    stored = sparse.csr_array(
        (np.array([0, 5], np.float32), np.array([0, 1]), np.array([0, 1, 2])), shape=(2, 3)
    )
    records = Records(features=stored, labels=np.zeros(2, np.float32))

    (batch,) = rebatch([records], 10, WHERE)

    assert batch.features.nnz == 1
    assert stored.nnz == 2


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            Records(features=np.ones((2, 4), np.float32), labels=np.zeros(2, np.float32)),
            "channel 'train': dense rows of 4 features after dense rows of 3 features, expected one "
            "kind\n  all shards of a channel must come from one plan",
        ),
        (
            Records(features=sparse.csr_array(np.ones((2, 3), "f4")), labels=np.zeros(2, "f4")),
            "channel 'train': sparse rows of 3 features after dense rows of 3 features, expected one "
            "kind\n  all shards of a channel must come from one plan",
        ),
        (
            Records(features=np.ones((2, 3), np.float32), labels=None),
            "channel 'train': the records have no label\n  convert with the label column",
        ),
        (
            Records(features=np.ones((2, 3), np.float32), labels=np.array([0, np.nan], "f4")),
            "channel 'train': a label is nan, expected finite numbers",
        ),
        (
            Records(features=np.ones((2, 3), np.float32), labels=np.ones((2, 5), "f4")),
            "channel 'train': the records have 5 labels each, expected one",
        ),
    ],
    ids=["width", "layout", "no label", "nan label", "vector label"],
)
def test_pieces_that_do_not_fit_are_refused(second: Records, message: str) -> None:
    first = Records(features=np.ones((2, 3), np.float32), labels=np.zeros(2, np.float32))

    with pytest.raises(DataError) as caught:
        list(rebatch([first, second], 3, WHERE))

    assert str(caught.value) == message


def test_labels_that_are_no_class_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        class_rows_of(np.array([0, 1, 2], np.float32), 2, WHERE)

    assert str(caught.value) == (
        "channel 'train': a label is 2.0, expected 0 or 1\n"
        "  check the hyperparameters against the label's classes in the spec"
    )


def test_classes_are_counted() -> None:
    assert class_rows_of(np.array([0, 2, 2], np.float32), 4, WHERE).tolist() == [1, 0, 2, 0]
    assert class_rows_of(np.array([0.5], np.float32), 0, WHERE).tolist() == []


def test_a_channel_of_another_width_is_refused() -> None:
    (batch,) = rebatch(
        [Records(features=np.ones((1, 3), "f4"), labels=np.zeros(1, "f4"))], 1, WHERE
    )

    with pytest.raises(DataError) as caught:
        check_width(batch, 4, "channel 'validation'")

    assert str(caught.value) == (
        "channel 'validation': rows have 3 features, those of channel 'train' have 4\n"
        "  all splits must come from one plan"
    )
