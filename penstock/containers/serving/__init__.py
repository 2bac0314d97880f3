"""SageMaker's hosting contract, for any program that answers rows: HTTP on one port, three paths.

    GET  /ping                   200 once the model is loaded, 503 before and while it stops
    POST /invocations            rows in, answer out; Content-Type and Accept say in which formats
    GET  /execution-parameters   what batch transform should send: {"MaxConcurrentTransforms": ...}

A program gives ``run`` a function that loads its ``Predictor`` from the model folder. All else is
here: formats named by the headers, sizes, errors, logs, the end at SIGTERM.
"""

from penstock.containers.serving.app import Application
from penstock.containers.serving.media import MediaType, chosen, media_type
from penstock.containers.serving.predictor import Answer, Predictor
from penstock.containers.serving.server import main, run
from penstock.containers.serving.settings import Settings

__all__ = [
    "Answer",
    "Application",
    "MediaType",
    "Predictor",
    "Settings",
    "chosen",
    "main",
    "media_type",
    "run",
]
