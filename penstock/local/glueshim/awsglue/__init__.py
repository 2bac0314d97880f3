"""Stands in for the package of that name on Glue: arguments, the session and an empty commit.

``awsglue.utils.getResolvedOptions``, ``awsglue.context.GlueContext.spark_session`` and ``awsglue.job.Job``
work. DynamicFrames do not: read and write with Spark's own DataFrames, which Glue takes as well.
"""
