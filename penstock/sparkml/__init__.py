"""The plan as stages of a ``pyspark.ml.Pipeline``: an Estimator that fits it, a Model that applies it.

    Pipeline(stages=[FeaturePlanEstimator(task="binary", labelCol="late", features=[...]),
                     LogisticRegression(labelCol="late")]).fit(train)

    FeaturePlanModel.load_plan("plans/flights/<run>")      a plan of ``penstock fit``, as a Transformer

The values are those of ``FeaturePlan.encode``, to the bit: float32, held as float64 in ml Vectors.
"""

from penstock.sparkml.estimator import FeaturePlanEstimator
from penstock.sparkml.model import FeaturePlanModel

__all__ = ["FeaturePlanEstimator", "FeaturePlanModel"]
