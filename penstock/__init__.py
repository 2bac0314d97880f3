"""Penstock: from a data lake to a trained model, through Spark and RecordIO.

Importing the package imports nothing heavy: no Spark, no pyarrow, no session, no settings.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
