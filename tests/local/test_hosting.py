"""Endpoints of models that the training containers wrote, asked by plain boto3."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
import strategies as tables
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from containers.jobs import binary_rows
from local.hosting import (
    FEATURES,
    LINEAR,
    ROLE,
    WAITER,
    XGBOOST,
    Hosts,
    client,
    csv_of,
    instances_of,
    trained,
)
from scipy import sparse

from penstock import recordio
from penstock.containers import linear_learner, load_model, xgboost
from penstock.host import pack_model

BUCKET = "hosting-models"
ROWS = binary_rows(400)
FEW = ROWS.dense[:7]
RECORDIO = "application/x-recordio-protobuf"


@pytest.fixture(scope="module")
def hosts(plane):
    found = Hosts(plane)
    client(plane, "s3").create_bucket(Bucket=BUCKET)
    yield found
    found.close()


@pytest.fixture(scope="module")
def models(hosts, tmp_path_factory):
    """Two models of the same rows, in S3 and known to the plane; their folders by name."""
    base = tmp_path_factory.mktemp("models")
    linear = {"predictor_type": "binary_classifier", "epochs": "2"}
    trees = {"objective": "binary:logistic", "num_round": "3", "max_depth": "3"}
    folders = {
        "linear": trained(linear_learner, base / "linear", linear, ROWS),
        "trees": trained(xgboost, base / "trees", trees, ROWS),
    }
    for name, image in (("linear", LINEAR), ("trees", XGBOOST)):
        uri = f"s3://{BUCKET}/{name}/model.tar.gz"
        pack_model(folders[name], uri)
        hosts.model(name, {"Image": image, "ModelDataUrl": uri})
    return folders


@pytest.fixture(scope="module")
def endpoint(hosts, models):
    """Both, nine tenths of the requests to the trees."""
    return hosts.serving(
        "both",
        {"ModelName": "linear", "InitialVariantWeight": 1},
        {"ModelName": "trees", "InitialVariantWeight": 9},
    )


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ("text/csv", csv_of(FEW)),
        ("application/json", instances_of(FEW)),
        (RECORDIO, bytes(recordio.encode_dense(FEW))),
        (RECORDIO, bytes(recordio.encode_sparse(sparse.csr_array(FEW)))),
    ],
)
def test_linear_learner_answers_what_its_model_predicts(hosts, endpoint, models, content, body):
    expected = load_model(models["linear"]).score(FEW)

    found = hosts.ask(endpoint, body, content, TargetVariant="linear", Accept="application/json")
    frames = hosts.ask(endpoint, body, content, TargetVariant="linear", Accept=RECORDIO)

    predictions = json.loads(found["Body"])["predictions"]
    assert found["ContentType"] == "application/json"
    assert found["InvokedProductionVariant"] == "linear"
    np.testing.assert_allclose([each["score"] for each in predictions], expected, rtol=1e-9)
    assert [each["predicted_label"] for each in predictions] == (expected >= 0.5).astype(
        int
    ).tolist()
    labels = recordio.decode_named(frames["Body"]).labels
    np.testing.assert_allclose(labels["score"].matrix()[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "body"),
    [("text/csv", csv_of(FEW)), (RECORDIO, bytes(recordio.encode_dense(FEW)))],
)
def test_xgboost_answers_what_its_model_predicts(hosts, endpoint, models, content, body):
    expected = load_model(models["trees"]).score(FEW)

    found = hosts.ask(endpoint, body, content, TargetVariant="trees")
    objects = hosts.ask(endpoint, body, content, TargetVariant="trees", Accept="application/json")

    assert found["ContentType"] == "text/csv"
    assert list(map(float, found["Body"].split())) == expected.tolist()
    predictions = json.loads(objects["Body"])["predictions"]
    assert [each["score"] for each in predictions] == expected.tolist()


def test_requests_are_shared_out_by_weight(hosts, endpoint):
    calls, body = 300, csv_of(FEW[:1])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: hosts.ask(endpoint, body), range(calls)))

    linear = sum(each["InvokedProductionVariant"] == "linear" for each in answers)
    kinds = {each["InvokedProductionVariant"]: each["ContentType"] for each in answers}
    assert kinds == {"linear": "application/json", "trees": "text/csv"}
    # Binomial: 30 expected, deviation 5.2; once in 10 million runs it is further off than this.
    assert abs(linear - calls / 10) < 5.5 * np.sqrt(calls * 0.1 * 0.9)


def test_twenty_clients_at_once_get_their_own_answers(hosts, endpoint, models):
    scores = load_model(models["trees"]).score(ROWS.dense[:20])
    bodies = [csv_of(ROWS.dense[at : at + 1]) for at in range(20)]

    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda body: hosts.ask(endpoint, body, TargetVariant="trees"), bodies)
        )

    assert [float(each["Body"]) for each in answers] == scores.tolist()


@pytest.mark.parametrize(
    ("content", "body", "status", "message"),
    [
        ("text/csv", b"\x00garbage", 400,
         "request, row 0: it has 1 cell, expected 43 features: '\\x00garbage'\n"
         "  send the features that the model was trained on, without a header"),
        ("application/json", b"{}", 400,
         'request: the body is {}, expected {"instances": [{"features": [0.5, 1.0]}]}'),
        (RECORDIO, b"nonsense", 400,
         "request: bad RecordIO at byte 8: payload is not a Record: wire type of field 13 is 6"),
        ("image/png", b"x", 415,
         "Content-Type is 'image/png', expected one of 'text/csv', 'application/json', "
         "'application/jsonlines', 'application/x-recordio-protobuf'"),
    ],
)  # fmt: skip
def test_garbage_is_an_error_of_the_model(hosts, endpoint, content, body, status, message):
    with pytest.raises(hosts.runtime.exceptions.ModelError) as caught:
        hosts.ask(endpoint, body, content, TargetVariant="linear")

    found = caught.value.response
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert found["OriginalStatusCode"] == status
    assert found["OriginalMessage"] == message
    assert found["Error"] == {
        "Code": "ModelError",
        "Message": f'Received client error ({status}) from primary with message "{message}". See log '
        "group /aws/sagemaker/Endpoints/both in account 123456789012 for more information.",
    }


def test_what_servers_say_is_in_the_logs(hosts, endpoint, plane):
    logs = client(plane, "logs")
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/both")["logStreams"]

    names = [each["logStreamName"].split("/")[0] for each in streams]
    lines = logs.get_log_events(
        logGroupName="/aws/sagemaker/Endpoints/both", logStreamName=streams[0]["logStreamName"]
    )["events"]

    assert names == ["linear", "trees"]
    assert any(each["message"].endswith("linear-learner for binary: 43 features") for each in lines)


def test_a_pipeline_takes_raw_rows_and_gives_scores(hosts, models, tmp_path):
    del models
    raw = pa.table({"age": [30.0, None, 50.0, 20.0] * 20, "town": ["a", "b", None, "c"] * 20})
    whole = raw.append_column("y", pa.array([0, 1, 1, 0] * 20, pa.int64()))
    groups = (tables.numeric("age"), tables.categorical("town"))
    plan = tables.plan(whole.combine_chunks().to_batches()[0], of=tables.spec(*groups))
    plan.save(str(tmp_path / "plan"))
    features = plan.encode(raw.combine_chunks().to_batches()[0])
    dense = features if isinstance(features, np.ndarray) else features.toarray()
    rows = type(ROWS)(dense, np.array([0, 1, 1, 0] * 20, np.float32))
    model = trained(linear_learner, tmp_path / "job", {"predictor_type": "regressor"}, rows)
    uris = [f"s3://{BUCKET}/pipeline/{name}.tar.gz" for name in ("plan", "model")]
    pack_model(tmp_path / "plan", uris[0])
    pack_model(model, uris[1])
    hosts.model(
        "pipeline",
        {"Image": FEATURES, "ModelDataUrl": uris[0], "ContainerHostname": "encode"},
        {"Image": LINEAR, "ModelDataUrl": uris[1], "ContainerHostname": "predict"},
    )

    hosts.serving("pipeline", {"ModelName": "pipeline"})
    found = hosts.ask("pipeline", b"30,a\n,b\n50,\n", Accept="application/jsonlines")
    with pytest.raises(hosts.runtime.exceptions.ModelError) as caught:
        hosts.ask("pipeline", b"thirty,a\n")

    scores = [json.loads(line)["score"] for line in found["Body"].splitlines()]
    np.testing.assert_allclose(scores, load_model(model).score(dense[:3]), rtol=1e-9)
    assert caught.value.response["OriginalMessage"] == (
        "table 'request', column 'age': row 0 is 'thirty', expected a number (fitted on double)\n"
        "  send a number, or null where it is missing"
    )
    assert "Received client error (400) from encode with message" in str(caught.value)


def test_what_the_plane_trained_the_plane_serves(hosts, models, plane):
    del models
    client(plane, "s3").put_object(Bucket=BUCKET, Key="train/a.rec", Body=ROWS.encoded())
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/train"}
    hosts.sagemaker.create_training_job(
        TrainingJobName="chain",
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": LINEAR, "TrainingInputMode": "Pipe"},
        HyperParameters={"predictor_type": "binary_classifier", "epochs": "2"},
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/trained"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 120},
    )
    waiter = hosts.sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="chain", WaiterConfig=WAITER)
    job = hosts.sagemaker.describe_training_job(TrainingJobName="chain")
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    hosts.model("chain", {"Image": LINEAR, "ModelDataUrl": artifact})

    hosts.serving("chain", {"ModelName": "chain"})
    found = hosts.ask("chain", instances_of(FEW), "application/json")

    predictions = json.loads(found["Body"])["predictions"]
    assert [set(each) for each in predictions] == [{"score", "predicted_label"}] * len(FEW)


def test_a_model_needs_an_archive_and_a_known_image(hosts, models):
    del models

    def refused(**container):
        with pytest.raises(ClientError) as caught:
            hosts.model("refused", container)
        return caught.value.response["Error"]

    uri = f"s3://{BUCKET}/nothing/model.tar.gz"
    assert refused(Image=LINEAR, ModelDataUrl=uri) == {
        "Code": "ValidationException",
        "Message": f"Could not find model data at {uri}.",
    }
    assert refused(Image="busybox:1")["Message"].startswith(
        "The local plane does not know which program image 'busybox:1' stands for."
    )
    assert refused(Image=LINEAR, Mode="MultiModel") == {
        "Code": "NotSupportedByLocalPlane",
        "Message": "sagemaker.CreateModel: a multi-model container is not in the local plane\n"
        "  make one model for each",
    }
    with pytest.raises(ClientError) as caught:
        hosts.model("linear", {"Image": LINEAR})
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": 'Cannot create already existing model "arn:aws:sagemaker:us-east-1:123456789012:'
        'model/linear".',
    }


@pytest.mark.parametrize(
    ("variant", "more", "what", "instead"),
    [
        ({"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}, {}, "ServerlessConfig",
         "name an InstanceType and InitialInstanceCount"),
        ({}, {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o"}}},
         "AsyncInferenceConfig", "use InvokeEndpoint, or batch transform"),
        ({}, {"ShadowProductionVariants": [{"VariantName": "s", "ModelName": "linear"}]},
         "ShadowProductionVariants", "use production variants"),
    ],
)  # fmt: skip
def test_what_the_plane_lacks_is_refused(hosts, models, variant, more, what, instead):
    del models
    with pytest.raises(ClientError) as caught:
        hosts.config("refused", {"ModelName": "linear", **variant}, **more)

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert caught.value.response["Error"] == {
        "Code": "NotSupportedByLocalPlane",
        "Message": f"sagemaker.CreateEndpointConfig: {what} is not in the local plane\n  {instead}",
    }


def test_asynchronous_calls_are_refused(hosts, endpoint):
    with pytest.raises(ClientError) as caught:
        hosts.runtime.invoke_endpoint_async(EndpointName=endpoint, InputLocation="s3://b/k")

    assert caught.value.response["Error"] == {
        "Code": "NotSupportedByLocalPlane",
        "Message": "sagemaker-runtime.InvokeEndpointAsync is not in the local plane: it would need AWS "
        "itself\n  docs/local-plane.md lists what is real, what is recorded only and what is refused",
    }


def test_an_unknown_endpoint_is_not_found(hosts):
    for call, code, message in (
        (lambda: hosts.ask("nowhere", b"x"), "ValidationError",
         "Endpoint nowhere of account 123456789012 not found."),
        (lambda: hosts.sagemaker.delete_endpoint(EndpointName="nowhere"), "ValidationException",
         'Could not find endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/nowhere".'),
        (lambda: hosts.sagemaker.create_endpoint(EndpointName="x", EndpointConfigName="nowhere"),
         "ValidationException", "Could not find endpoint configuration "
         "'arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/nowhere'."),
    ):  # fmt: skip
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"] == {"Code": code, "Message": message}


def test_a_request_has_its_largest_size(hosts, endpoint):
    with pytest.raises(ClientError) as caught:
        hosts.ask(endpoint, bytes(6_291_457))

    assert caught.value.response["Error"] == {
        "Code": "ValidationError",
        "Message": "1 validation error detected: Value at 'body' failed to satisfy constraint: Member "
        "must have length less than or equal to 6291456",
    }


def test_requests_without_their_parameters_are_refused(hosts):
    for operation in (
        "create_model",
        "create_endpoint_config",
        "create_endpoint",
        "update_endpoint",
    ):
        with pytest.raises(ClientError) as caught:
            getattr(hosts.sagemaker, operation)()
        assert caught.value.response["Error"]["Code"] == "ValidationException"
        assert "Member must not be null" in caught.value.response["Error"]["Message"]
