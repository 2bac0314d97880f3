"""Trained models as predictors, in this process: all formats in and out, equal to model.score."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from containers.jobs import binary_rows, class_rows, number_rows
from containers.servers import serving
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from penstock import recordio
from penstock.containers import kmeans, load_model, pca, xgboost
from penstock.containers.kmeans_model import KMeansModel
from penstock.containers.linear_model import LinearModel
from penstock.containers.pca_model import PCAModel
from penstock.containers.scoring import ModelPredictor, load
from penstock.containers.serving import media_type
from penstock.errors import PenstockError

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
RECORDIO, LIBSVM = "application/x-recordio-protobuf", "text/libsvm"
WIDTH = 4


def linear(task="binary", outputs=1):
    random = np.random.default_rng(7)
    return LinearModel(
        task=task,
        loss="any",
        weights=random.normal(size=(outputs, WIDTH)),
        bias=random.normal(size=outputs),
        deviation=np.ones(WIDTH),
        best_epoch=0,
        best_objective=0.0,
    )


def csv_of(features):
    return "".join(",".join(map(str, row)) + "\n" for row in features).encode()


def sparse_json(features):
    """Instances with keys, the zeros left out."""
    rows = sparse.csr_array(features)
    return [
        {
            "data": {
                "features": {
                    "keys": rows.indices[start:stop].tolist(),
                    "shape": [features.shape[1]],
                    "values": rows.data[start:stop].tolist(),
                }
            }
        }
        for start, stop in zip(rows.indptr, rows.indptr[1:], strict=False)
    ]


def libsvm_of(features, label=""):
    rows = sparse.csr_array(features)
    spans = zip(rows.indptr, rows.indptr[1:], strict=False)
    texts = [
        " ".join(f"{k}:{v}" for k, v in zip(rows.indices[a:b], rows.data[a:b], strict=True))
        for a, b in spans
    ]
    return "".join(f"{label}{text}\n" for text in texts).encode()


def asked(model, body, content, accept=JSON):
    return ModelPredictor(model).answer(body, media_type(content), accept).body


def bodies(features):
    """The same rows in every format that reads dense or sparse rows, and as they are then scored."""
    rows, some = features.tolist(), sparse.csr_array(features)
    dense = [{"features": row} for row in rows]
    values = [{"data": {"features": {"values": row}}} for row in rows]
    keyed = sparse_json(features)
    labelled = csv_of(np.hstack([features[:, :1], features]))
    return [
        (CSV, csv_of(features), features),
        (CSV, csv_of(features).rstrip(), features),
        ("text/csv; label_size=1", labelled, features),
        (JSON, json.dumps({"instances": dense}).encode(), features),
        (JSON, json.dumps({"instances": values}).encode(), features),
        (JSON, json.dumps({"instances": keyed}).encode(), some),
        (LINES, "\n".join(map(json.dumps, dense)).encode(), features),
        (LINES, "".join(json.dumps(each) + "\n" for each in keyed).encode(), some),
        (RECORDIO, bytes(recordio.encode_dense(features)), features),
        (RECORDIO, bytes(recordio.encode_dense(features, features[:, 0])), features),
        (RECORDIO, bytes(recordio.encode_sparse(some)), some),
    ]


ROWS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.just(WIDTH)),
    elements=st.just(0.0) | st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
)


@settings(max_examples=40)
@given(ROWS)
def test_every_format_gives_the_scores_of_the_model(features):
    model = linear()

    for content, body, rows in bodies(features):
        expected = model.score(rows).tolist()
        found = json.loads(asked(model, body, content))["predictions"]
        assert [each["score"] for each in found] == expected
        assert [each["predicted_label"] for each in found] == [int(s >= 0.5) for s in expected]


@given(ROWS)
def test_text_in_and_text_out_lose_no_bit(features):
    model = linear("regression")

    body = asked(model, csv_of(features), CSV, LINES)

    found = [json.loads(line)["score"] for line in body.splitlines()]
    assert found == model.score(features).tolist()


def test_answers_are_those_of_the_algorithms():
    features = np.array([[1, 0, 2, 0], [0, 0, 0, 0]], np.float32)
    body = csv_of(features)
    scores = linear("multiclass", 3).score(features).tolist()

    objects = json.loads(asked(linear("multiclass", 3), body, CSV))
    lines = asked(linear("multiclass", 3), body, CSV, LINES)
    frames = recordio.decode_named(asked(linear("multiclass", 3), body, CSV, RECORDIO))

    labels = np.argmax(scores, axis=1).tolist()
    expected = [{"score": s, "predicted_label": k} for s, k in zip(scores, labels, strict=True)]
    assert objects == {"predictions": expected}
    assert [json.loads(line) for line in lines.splitlines()] == expected
    assert not frames.features
    assert list(frames.labels) == ["score", "predicted_label"]
    np.testing.assert_array_equal(frames.labels["score"].matrix(), np.array(scores, np.float32))
    assert frames.labels["predicted_label"].matrix()[:, 0].tolist() == labels


def test_clusters_and_projections_have_their_names(tmp_path):
    features = np.array([[1, 0, 0, 0], [0, 0, 3, 4]], np.float32)
    clusters = KMeansModel(centers=np.eye(3, WIDTH), rows=np.ones(3))
    axes = np.eye(WIDTH)[:, :2]
    projection = PCAModel(components=axes, singular_values=np.ones(2), mean=np.zeros(WIDTH))
    clusters.save(tmp_path)

    found = load(tmp_path, {}).answer(csv_of(features), media_type(CSV), CSV)
    objects = json.loads(asked(projection, csv_of(features), CSV))

    distance = float(np.sqrt(2 * 2 + 4 * 4))
    assert found.body == f"0.0,0.0\n2.0,{distance!r}\n".encode()
    assert found.rows == 2
    assert objects == {"projections": [{"projection": [1.0, 0.0]}, {"projection": [0.0, 0.0]}]}


@pytest.mark.parametrize(
    ("program", "hyperparameters"),
    [
        (kmeans, {"k": "3", "feature_dim": "43"}),
        (pca, {"num_components": "2", "feature_dim": "43", "mini_batch_size": "100"}),
    ],
)
def test_what_kmeans_and_pca_trained_is_served(train, program, hyperparameters):
    rows = number_rows(200)
    code, base = train(program, hyperparameters, {"train": rows})
    assert code == 0
    few, model = rows.dense[:5], load_model(base / "model")

    body = load(base / "model", {}).answer(csv_of(few), media_type(CSV), CSV).body

    numbers = [[float(cell) for cell in line.split(",")] for line in body.decode().splitlines()]
    assert numbers == model.score(few).tolist()


def test_a_record_without_its_frame_is_a_row():
    features = np.array([[1, 2, 3, 4]], np.float32)
    frame = bytes(recordio.encode_dense(features))
    payload = frame[8:][: int.from_bytes(frame[4:8], "little")]

    assert asked(linear(), payload, RECORDIO) == asked(linear(), frame, RECORDIO)


def test_no_rows_are_no_predictions():
    assert asked(linear(), b'{"instances":[]}', JSON) == b'{"predictions":[]}'
    assert asked(linear(), b'{"instances":[]}', JSON, LINES) == b""
    assert asked(linear(), b'{"instances":[]}', JSON, RECORDIO) == b""


@pytest.mark.parametrize(
    ("objective", "rows", "more"),
    [
        ("binary:logistic", binary_rows, {}),
        ("binary:logitraw", binary_rows, {}),
        ("reg:squarederror", number_rows, {}),
        ("multi:softprob", class_rows, {"num_class": "3"}),
        ("multi:softmax", class_rows, {"num_class": "3"}),
    ],
)
def test_xgboost_answers_what_xgboost_predicts(train, objective, rows, more):
    data = rows(300)
    hyperparameters = {"num_round": "3", "objective": objective, "max_depth": "3", **more}
    code, base = train(xgboost, hyperparameters, {"train": data})
    assert code == 0
    model, few = load_model(base / "model"), data.dense[:5]
    expected = model.booster.inplace_predict(few)  # its own transformation, whatever the objective

    predictor = load(base / "model", {})

    given_ = [
        (CSV, csv_of(few)),
        (RECORDIO, bytes(recordio.encode_dense(few))),
        (LIBSVM, libsvm_of(few)),
        ("text/x-libsvm", libsvm_of(few, label="1 ")),
    ]
    for content, body in given_:
        found = predictor.answer(body, media_type(content), CSV).body
        numbers = [[float(cell) for cell in row] for row in csv.reader(io.StringIO(found.decode()))]
        np.testing.assert_array_equal(np.array(numbers, np.float32), expected.reshape(len(few), -1))
    first = json.loads(predictor.answer(csv_of(few), media_type(CSV), JSON).body)
    assert np.float32(first["predictions"][0]["score"]).tolist() == expected[0].tolist()


def test_a_missing_cell_is_missing_to_trees_and_refused_by_a_line(train):
    code, base = train(xgboost, {"num_round": "1"}, {"train": number_rows(200)})
    assert code == 0
    model = load_model(base / "model")
    row = np.zeros((1, model.width), np.float32)
    row[0, 1] = np.nan
    body = csv_of(row).replace(b"nan", b"")

    found = asked(model, body, CSV, CSV)

    assert np.float32(float(found)) == np.float32(model.score(row)[0])
    with pytest.raises(PenstockError) as caught:
        asked(linear(), b"1,,3,4\n", CSV)
    assert str(caught.value) == (
        "request, row 0: feature 1 is missing, expected a finite number\n"
        "  encode the rows with the plan that the model was trained on: it fills what is missing"
    )


ROWS_WANTED = (
    'expected {"features": [0.5, 1.0]} or {"data": {"features": {"values": [0.5, 1.0]}}}, all rows '
    "alike"
)


@pytest.mark.parametrize(
    ("content", "body", "message"),
    [
        (CSV, b"1,2,3,4\n1,2\n",
         "request, row 1: it has 2 cells, expected 4 features: '1,2'\n"
         "  send the features that the model was trained on, without a header"),
        ("text/csv; label_size=1", b"1,2,3,4\n",
         "request, row 0: it has 4 cells, expected 4 features after 1 of labels: '1,2,3,4'\n"
         "  send the features that the model was trained on, without a header"),
        ("text/csv; label_size=x", b"1,2,3,4\n",
         "Content-Type: label_size is 'x', expected a whole number\n"
         "  it is how many cells stand before the features of each row, and are not looked at"),
        (CSV, b"1,2,3,4\n1,2,AA,4\n",
         "request, row 1: feature 2 is 'AA', expected a number\n"
         "  send features without a header; a plan's container encodes raw cells"),
        (CSV, b"1,2,3,inf\n",
         "request, row 0: feature 3 is inf, expected a finite number\n"
         "  encode the rows with the plan that the model was trained on: it fills what is missing"),
        (JSON, b"{", "request: no JSON: Expecting property name enclosed in double quotes: "
         "line 1 column 2 (char 1)"),
        (JSON, b"[1]", 'request: the body is [1], expected {"instances": [{"features": [0.5, 1.0]}]}'),
        (JSON, b'{"instances":[[1,2,3,4]]}', f"request, row 0: it is [1, 2, 3, 4], {ROWS_WANTED}"),
        (JSON, b'{"instances":[{"features":[1,2,3,4]},{"data":1}]}',
         f"request, row 1: it is {{'data': 1}}, {ROWS_WANTED}"),
        (JSON, b'{"instances":[{"features":[1,2,3]}]}',
         "request, row 0: it has 3 features, expected 4\n"
         "  send the features that the model was trained on"),
        (JSON, b'{"instances":[{"features":[1,2,3,"4"]}]}',
         "request, row 0: it has '4', expected numbers alone"),
        (JSON, b'{"instances":[{"features":[1,2,3,true]}]}',
         "request, row 0: it has True, expected numbers alone"),
        (JSON, b'{"instances":[{"features":[1,2,3,NaN]}]}',
         "request: no JSON: NaN is no JSON number; send null"),
        (LINES, b'{"features":[1,2,3,4]}\n\n', "request, row 1: no JSON: Expecting value: "
         "line 1 column 1 (char 0)"),
        (JSON, b'{"instances":[{"data":{"features":{"keys":[4],"values":[1]}}}]}',
         "request, row 0: key 4 is none of the 4 features, which count from 0"),
        (JSON, b'{"instances":[{"data":{"features":{"keys":[0,1],"values":[1]}}}]}',
         "request, row 0: it has 1 value and 2 keys, expected as many of both"),
        (JSON, b'{"instances":[{"data":{"features":{"keys":[1],"values":[1],"shape":[9]}}}]}',
         "request, row 0: shape is [9], expected [4]"),
        (JSON, b'{"instances":[{"features":[1,2,3,' + b"9" * 400 + b"]}]}",
         "request: a number is too large for 32 bits"),
        (JSON, b"\xff", "request: byte 0 is 0xff, expected UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(content, body, message):
    with pytest.raises(PenstockError) as caught:
        asked(linear(), body, content)

    assert str(caught.value) == message


@given(st.binary(min_size=1, max_size=60), st.sampled_from([CSV, JSON, LINES, RECORDIO, LIBSVM]))
def test_garbage_is_refused_with_an_error_of_ours(body, content):
    try:
        asked(linear(), body, content)
    except PenstockError as error:
        assert str(error)  # noqa: PT017  an answer is as good


def test_wrong_libsvm_is_named(train):
    code, base = train(xgboost, {"num_round": "1"}, {"train": number_rows(100)})
    assert code == 0
    predictor = load(base / "model", {})

    def refused(body):
        with pytest.raises(PenstockError) as caught:
            predictor.answer(body, media_type(LIBSVM), CSV)
        return str(caught.value)

    assert refused(b"1 0:1\n1 a:2\n") == (
        "request, row 1: it is '1 a:2', expected a label or none, then column:value, as '1 0:0.5 7:1'"
    )
    assert refused(b"0:1\n99:2\n") == (
        "request, row 1: column 99 is none of the 43 features, which count from 0"
    )


def test_what_the_server_lacks_is_said_at_the_start(tmp_path):
    linear().save(tmp_path)

    with pytest.raises(PenstockError) as caught:
        load(tmp_path, {"SAGEMAKER_INFERENCE_OUTPUT": "probability"})

    assert str(caught.value) == (
        "environment variable SAGEMAKER_INFERENCE_OUTPUT is 'probability': it asks for what this server "
        "does not have\n  leave it out"
    )


def test_the_program_serves(tmp_path: Path):
    (tmp_path / "model").mkdir()
    linear().save(tmp_path / "model")
    features = np.array([[1, 2, 3, 4]], np.float32)

    with serving(tmp_path, "-m", "penstock.containers.scoring", "serve") as server:
        reply = server.invoke(csv_of(features), CSV)
        other = server.invoke(csv_of(features), CSV, CSV)
        assert server.stop() == 0

    assert reply.status == 200
    assert json.loads(reply.body)["predictions"][0]["score"] == linear().score(features)[0]
    assert (other.status, other.text) == (
        406,
        "Accept is 'text/csv', expected one of 'application/json', 'application/jsonlines', "
        "'application/x-recordio-protobuf', or '*/*'\n",
    )
    assert any(re.search(r"linear-learner for binary: 4 features", line) for line in server.lines)
