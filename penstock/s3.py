"""Objects of S3: read, write, create, list, delete. storage.py gives them one face with files.

Writing. An object appears whole or not at all: less than a part goes in one PUT, more in a multipart
upload, completed at the end and aborted when the writer fails. Memory is three parts of 8 MiB: one
that fills and two on their way. Measured against a server on the same machine: 125 to 160 MB/s (with
one part at a time 60 to 95); pyarrow's writer reaches 35 MB/s, cannot abort, and what it had written
when it failed stays as an object that looks whole. An object has at most 78 GiB (10,000 parts).

Claims. :func:`claim` takes a free name with a small object, and the upload then replaces that very
object only (If-Match). A writer whose claim somebody has deleted cannot bring the name back.

Encryption. S3 encrypts every object with keys of its own; PENSTOCK_S3_KMS_KEY_ID names a KMS key to
take instead.

Reading is one GET, resumed where it broke off, of the same version of the object.
"""

from __future__ import annotations

import io
import os
import random
import threading
import time
import uuid
from collections.abc import Buffer, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from penstock import aws
from penstock.errors import MissingFileError, ServiceError

__all__ = [
    "Upload",
    "abort_uploads",
    "claim",
    "create",
    "delete",
    "delete_below",
    "listing",
    "open_input",
    "put",
    "size_of",
    "split",
]
