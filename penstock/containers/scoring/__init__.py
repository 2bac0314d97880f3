"""Trained models as programs that serve: rows of features in, predictions out, as the built-ins do.

    python -m penstock.containers.scoring serve

The model folder, <base>/model, holds an unpacked model.tar.gz; its model.json says which algorithm
trained it, and with that which formats are read and given:

                    reads                                     gives
    linear-learner  JSON, JSON Lines, CSV, RecordIO           JSON, JSON Lines, RecordIO
    xgboost         CSV, LibSVM, RecordIO                     CSV, JSON, JSON Lines, RecordIO
    kmeans, pca     JSON, JSON Lines, CSV, RecordIO           JSON, JSON Lines, CSV, RecordIO

The requests are drawn in ``requests``, the answers in ``answers``.
"""

from penstock.containers.scoring.predictors import ModelPredictor, load, main

__all__ = ["ModelPredictor", "load", "main"]
