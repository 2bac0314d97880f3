"""Programs that run inside a training or serving container, and the models that they leave.

Each honours SageMaker's contract below a prefix that SAGEMAKER_BASE_DIR moves, so the same program
is PID 1 of an image or a plain subprocess on a laptop:

    python -m penstock.containers.linear_learner train
    python -m penstock.containers.xgboost train
    python -m penstock.containers.kmeans train
    python -m penstock.containers.pca train
    python -m penstock.containers.features serve    a plan: raw rows to features
    python -m penstock.containers.scoring serve     a trained model: features to predictions
"""

from __future__ import annotations

from penstock.containers.model import Model, load_model

__all__ = ["Model", "load_model"]
