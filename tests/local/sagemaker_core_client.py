"""A program that trains and deploys with sagemaker-core, as any user's would; prints what it saw as JSON.

python sagemaker_core_client.py BUCKET MANIFEST
"""

from __future__ import annotations

import json
import sys

from sagemaker.core import shapes  # type: ignore[import-untyped]
from sagemaker.core.resources import (  # type: ignore[import-untyped]
    Endpoint,
    EndpointConfig,
    Model,
    TrainingJob,
)

IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
ROLE = "arn:aws:iam::123456789012:role/r"


def channel(name, manifest):
    source = shapes.S3DataSource(
        s3_data_type="ManifestFile", s3_uri=manifest, s3_data_distribution_type="FullyReplicated"
    )
    return shapes.Channel(
        channel_name=name,
        content_type="application/x-recordio-protobuf",
        data_source=shapes.DataSource(s3_data_source=source),
    )


def main(bucket, manifest):
    job = TrainingJob.create(
        training_job_name=f"core-{bucket}",
        role_arn=ROLE,
        algorithm_specification=shapes.AlgorithmSpecification(
            training_image=IMAGE, training_input_mode="Pipe"
        ),
        input_data_config=[channel("train", manifest), channel("validation", manifest)],
        output_data_config=shapes.OutputDataConfig(s3_output_path=f"s3://{bucket}/out"),
        resource_config=shapes.ResourceConfig(
            instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10
        ),
        stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=300),
        hyper_parameters={
            "predictor_type": "binary_classifier",
            "epochs": "20",
            "mini_batch_size": "50",
        },
    )
    job.wait(poll=1, timeout=120)
    container = shapes.ContainerDefinition(
        image=IMAGE, model_data_url=job.model_artifacts.s3_model_artifacts
    )
    Model.create(model_name=bucket, primary_container=container, execution_role_arn=ROLE)
    variant = shapes.ProductionVariant(
        variant_name="all",
        model_name=bucket,
        initial_instance_count=1,
        instance_type="ml.m5.large",
        initial_variant_weight=1.0,
    )
    EndpointConfig.create(endpoint_config_name=bucket, production_variants=[variant])
    endpoint = Endpoint.create(endpoint_name=bucket, endpoint_config_name=bucket)
    endpoint.wait_for_status("InService", poll=1, timeout=120)
    answer = endpoint.invoke(
        body=b"3.0,3.0\n-3.0,-3.0\n", content_type="text/csv", accept="application/json"
    )
    predictions = json.loads(answer.body.read())["predictions"]
    endpoint.delete()
    found = {
        "status": job.training_job_status,
        "metrics": [metric.metric_name for metric in job.final_metric_data_list],
        "labels": [int(each["predicted_label"]) for each in predictions],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
