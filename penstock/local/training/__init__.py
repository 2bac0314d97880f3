"""SageMaker training on the plane: jobs run container programs as processes of this machine.

What is real: File, FastFile and Pipe channels from S3 prefixes, manifests and augmented manifests;
gzip, RecordIO wrapping, sharing out and shuffling; one process for each instance; checkpoints; stop,
MaxRuntimeInSeconds and failures; metrics by their regexes; logs in CloudWatch Logs; model.tar.gz and
output.tar.gz. SageMaker's built-in algorithms run penstock.containers, whatever region or account their
image is of. For other images a mapping file says what to run: ``images.json`` or ``images.yaml`` in the
plane's folder, or the file that PENSTOCK_IMAGES names:

    {"123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:*":
        {"command": ["python", "/home/me/train.py"], "environment": {"LEVEL": "debug"}}}

Limits. What stands for /opt/ml is a folder, which programs find in SAGEMAKER_BASE_DIR. Hosts are on
127.0.0.1 and their names do not resolve. FastFile copies objects before the start. Instance types,
volumes, VPCs, keys and roles are recorded and change nothing; a spot instance is never reclaimed.
Settings of the plane's process: PENSTOCK_TRAINING_JOBS, how many run at once (others are Pending);
PENSTOCK_TRAINING_GRACE_S, the time between SIGTERM and SIGKILL.
"""

from __future__ import annotations

from penstock.local.site import Service, Site

__all__ = ["service"]


def service(site: Site) -> Service:
    """Return the service of a plane."""
    from penstock.local.training.control import Training

    return Training(site)
