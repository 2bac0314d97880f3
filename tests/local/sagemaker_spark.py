"""A Spark program of its own with sagemaker-pyspark's jars: fits estimators, prints their training jobs.

    python sagemaker_spark.py BUCKET JAR:JAR:... ESTIMATOR=DATA.parquet ...

Its JVM must not be that of other tests, since the jars stand on its class path from the start. The
estimators are as they come; their Java clients get the plane's address, as they do not read
AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

# It imports pkg_resources, which warns of its end.
warnings.simplefilter("ignore")

ROLE = "arn:aws:iam::123456789012:role/trainer"


def session(jars: str) -> Any:
    from pyspark.sql import SparkSession

    endpoint = os.environ["AWS_ENDPOINT_URL"]
    s3a = {
        "endpoint": endpoint,
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
        "access.key": os.environ["AWS_ACCESS_KEY_ID"],
        "secret.key": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    builder = SparkSession.builder.master("local[2]").appName("sagemaker-pyspark")
    settings = {
        "spark.driver.extraClassPath": jars,
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        **{f"spark.hadoop.fs.s3a.{name}": value for name, value in s3a.items()},
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def clients(spark: Any) -> dict[str, Any]:
    """Return sagemaker-spark's Java clients, with the plane's address."""
    amazon = spark._jvm.com.amazonaws
    configuration = getattr(amazon.client.builder, "AwsClientBuilder$EndpointConfiguration")
    where = configuration(os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_REGION"])
    services = amazon.services
    sts = services.securitytoken.AWSSecurityTokenServiceClientBuilder
    s3 = services.s3.AmazonS3ClientBuilder.standard().withPathStyleAccessEnabled(True)
    sagemaker = services.sagemaker.AmazonSageMakerClientBuilder.standard()
    return {
        "sagemakerClient": sagemaker.withEndpointConfiguration(where).build(),
        "s3Client": s3.withEndpointConfiguration(where).build(),
        "stsClient": sts.standard().withEndpointConfiguration(where).build(),
    }


def estimator(name: str, bucket: str, spark: Any) -> Any:
    from sagemaker_pyspark import (  # type: ignore[import-untyped]
        EndpointCreationPolicy,
        IAMRole,
        S3DataPath,
        algorithms,
    )

    made = getattr(algorithms, name)(
        sagemakerRole=IAMRole(ROLE),
        trainingInstanceType="ml.m5.large",
        trainingInstanceCount=1,
        endpointInstanceType="ml.m5.large",
        endpointInitialInstanceCount=1,
        trainingInputS3DataPath=S3DataPath(bucket, f"staged-{name.lower()}"),
        trainingOutputS3DataPath=S3DataPath(bucket, "models"),
        trainingInputMode="Pipe",
        endpointCreationPolicy=EndpointCreationPolicy.DO_NOT_CREATE,
        region=os.environ["AWS_REGION"],
        **clients(spark),
    )
    if name == "KMeansSageMakerEstimator":
        made.setK(6)
        made.setFeatureDim(5)
        made.setMiniBatchSize(500)
    elif name == "PCASageMakerEstimator":
        made.setNumComponents(3)
        made.setFeatureDim(5)
        made.setMiniBatchSize(500)
    else:
        made.setFeatureDim(5)
        made.setMiniBatchSize(200)
    return made


def main(bucket: str, jars: str, *wanted: str) -> None:
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql.functions import col

    spark = session(jars)
    try:
        for name, data in (each.split("=") for each in wanted):
            rows = spark.read.parquet(data).withColumn("features", array_to_vector(col("features")))
            made = estimator(name, bucket, spark)
            made.fit(rows.repartition(3))  # several files, so that a channel has several objects
            print("job", name, made.latestTrainingJob, flush=True)
    finally:
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
