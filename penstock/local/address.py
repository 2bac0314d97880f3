"""How AWS clients find a plane."""

from __future__ import annotations

__all__ = ["client_environment"]


def client_environment(endpoint: str, region: str = "us-east-1") -> dict[str, str]:
    """Return the variables with which any AWS client finds the plane at ``endpoint``."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
    }
