"""Objects of S3: read, put, create, list, delete. storage.py gives them one face with files.

Encryption. S3 encrypts every object with keys of its own; PENSTOCK_S3_KMS_KEY_ID names a KMS key to
take instead.

Reading is one GET, resumed where it broke off, of the same version of the object: against a server on
the same machine 500 to 1,200 MB/s in pieces of 1 MiB. pyarrow's stream asks for each piece by itself: 6.
Nor does pyarrow list and delete here: it puts an empty object where a folder has become empty, and a
training channel over the prefix would read it.
Large objects are written in parts, by s3upload.py.
"""

from __future__ import annotations

import io
import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from penstock import aws
from penstock.errors import MissingFileError

__all__ = [
    "MISSING",
    "abort_upload",
    "changed_ns",
    "create",
    "delete",
    "delete_below",
    "encryption",
    "head",
    "listing",
    "object_of",
    "open_input",
    "put",
    "put_if",
    "uploads",
]

READ_BUFFER_BYTES = 1 << 20
PAGE_KEYS = 1000
RESUMES = 5
CONFLICT_TRIES = 8
CONFLICT_PAUSE_S = 0.05
MISSING = frozenset({"404", "NoSuchKey"})
_UNMET = frozenset({"412", "PreconditionFailed"})
_CONFLICT = "ConditionalRequestConflict"


def object_of(uri: str) -> dict[str, str]:
    """Return bucket and key of ``s3://bucket/key``, as parameters of boto3."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


def encryption() -> dict[str, Any]:
    """Return what a writing call says about encryption."""
    key = os.environ.get("PENSTOCK_S3_KMS_KEY_ID")
    if not key:
        return {}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": True}


def head(uri: str) -> dict[str, Any] | None:
    """Return what HEAD says of an object, or None when there is none. One call."""
    found = aws.call(uri, "head_object", accepted=MISSING, **object_of(uri))
    return None if aws.code_of(found) else found


def put(uri: str, content: bytes) -> None:
    """Put an object; one call."""
    aws.call(uri, "put_object", **object_of(uri), Body=content, **encryption())


def create(uri: str, content: bytes) -> str | None:
    """Put an object where none stands; return its ETag, or None when one stood there.

    One conditional PUT (If-None-Match), so of several creators one wins. When the first answer was
    lost and the retry finds our own content, that counts as ours. Another's write of the same key that
    is under way (409) is waited for, 2 s at most.
    """
    answer = put_if(uri, content, IfNoneMatch="*")
    if not aws.code_of(answer):
        return str(answer["ETag"])
    if answer["ResponseMetadata"].get("RetryAttempts"):
        with suppress(MissingFileError), _Download(uri) as found:
            if found.readall() == content:
                return found.etag
    return None


def put_if(uri: str, content: Any, **condition: Any) -> dict[str, Any]:
    """Put an object on a condition; a condition that does not hold is an answer, see aws.call."""
    accepted = {*_UNMET, *MISSING}
    for number in range(CONFLICT_TRIES):
        last = number == CONFLICT_TRIES - 1
        answer = aws.call(
            uri,
            "put_object",
            accepted=accepted if last else {*accepted, _CONFLICT},
            **object_of(uri),
            Body=content,
            **condition,
            **encryption(),
        )
        if aws.code_of(answer) != _CONFLICT:
            break
        time.sleep(random.uniform(0, CONFLICT_PAUSE_S * 2**number))  # noqa: S311  no secret
    return answer


def delete(uri: str, *, etag: str | None = None) -> None:
    """Delete an object; a missing one is fine. With ``etag``, only if it is still that one."""
    condition = {} if etag is None else {"IfMatch": etag}
    aws.call(uri, "delete_object", accepted={*MISSING, *_UNMET}, **object_of(uri), **condition)


def changed_ns(answer: dict[str, Any]) -> int:
    """Return when an object was last changed, nanoseconds since the epoch."""
    return int(answer["LastModified"].timestamp()) * 1_000_000_000


def listing(uri: str) -> Iterator[tuple[str, int, int]]:
    """Yield URI, size in bytes and time of change in nanoseconds of all objects that start so.

    Keys that end with ``/`` stand for folders in some tools and are left out. One call per 1,000.
    """
    place = object_of(uri)
    token: dict[str, str] = {}
    while True:
        page = _page(uri, place, **token)
        for entry in page.get("Contents", ()):
            if not entry["Key"].endswith("/"):
                name = f"s3://{place['Bucket']}/{entry['Key']}"
                yield name, int(entry["Size"]), changed_ns(entry)
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _page(uri: str, place: dict[str, str], **token: str) -> dict[str, Any]:
    return aws.call(
        uri,
        "list_objects_v2",
        Bucket=place["Bucket"],
        Prefix=place["Key"],
        MaxKeys=PAGE_KEYS,
        **token,
    )


def delete_below(uri: str) -> None:
    """Delete all objects whose URI starts so, and abort the uploads; one call per 1,000 objects."""
    place = object_of(uri)
    while True:
        page = _page(uri, place)
        keys = [{"Key": entry["Key"]} for entry in page.get("Contents", ())]
        if not keys:
            break
        answer = aws.call(
            uri,
            "delete_objects",
            Bucket=place["Bucket"],
            Delete={"Objects": keys, "Quiet": True},
        )
        for refused in answer.get("Errors", ()):
            raise aws.failed(
                f"'s3://{place['Bucket']}/{refused['Key']}': it was not deleted: "
                f"{refused.get('Code')}: {refused.get('Message')}\n"
                "  check the credentials in the environment and the policies of bucket and key",
                retryable=False,
            )
    for upload_uri, upload_id in uploads(uri):
        abort_upload(upload_uri, upload_id)


def uploads(uri: str) -> Iterator[tuple[str, str]]:
    """Yield URI and upload id of the unfinished multipart uploads whose URI starts so.

    They cost money and no listing shows them. Whoever may not list them (permission
    s3:ListBucketMultipartUploads) finds none; then a lifecycle rule of the bucket should abort them.
    """
    place = object_of(uri)
    marker: dict[str, str] = {}
    while True:
        page = aws.call(
            uri,
            "list_multipart_uploads",
            accepted={"AccessDenied"},
            Bucket=place["Bucket"],
            Prefix=place["Key"],
            **marker,
        )
        for entry in page.get("Uploads", ()):
            yield f"s3://{place['Bucket']}/{entry['Key']}", entry["UploadId"]
        if not page.get("IsTruncated"):
            return
        marker = {
            "KeyMarker": page["NextKeyMarker"],
            "UploadIdMarker": page["NextUploadIdMarker"],
        }


def abort_upload(uri: str, upload_id: str) -> None:
    """Abort a multipart upload and free its parts; one that is gone is fine."""
    aws.call(
        uri,
        "abort_multipart_upload",
        accepted={"NoSuchUpload", *MISSING},
        **object_of(uri),
        UploadId=upload_id,
    )


def open_input(uri: str) -> io.BufferedReader:
    """Open an object for reading in order. Nothing is asked of it beyond what is read, and 1 MiB.

    Raises:
        MissingFileError: There is none.
    """
    return io.BufferedReader(_Download(uri), READ_BUFFER_BYTES)


class _Download(io.RawIOBase):
    """The bytes of one version of an object, over as many GETs as its connections need."""

    def __init__(self, uri: str) -> None:
        self._uri, self._at, self._broken = uri, 0, 0
        found = aws.call(uri, "get_object", accepted=MISSING, **object_of(uri))
        if aws.code_of(found):
            raise MissingFileError("read", uri, "check the path, or run the stage before")
        self.etag, self._size = str(found["ETag"]), int(found["ContentLength"])
        self._body = found["Body"]

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while True:
            try:
                chunk = self._chunk(len(buffer))
                break
            except aws.network_errors() as error:
                self._resume(error)
        self._at += len(chunk)
        self._broken = 0 if chunk else self._broken
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def _chunk(self, size: int) -> bytes:
        return bytes(self._body.read(size)) if self._at < self._size else b""

    def _resume(self, error: Exception) -> None:
        """Ask for the rest, RESUMES times at most without a byte of progress."""
        self._body.close()
        self._broken += 1
        if self._broken > RESUMES:
            raise aws.failed(
                f"{self._uri!r}: the connection broke {self._broken} times at byte {self._at:,} of "
                f"{self._size:,}: {error}\n  check the network and the endpoint, then run it again",
                retryable=True,
            ) from error
        found = aws.call(
            self._uri,
            "get_object",
            accepted={*_UNMET, *MISSING},
            **object_of(self._uri),
            Range=f"bytes={self._at}-",
            IfMatch=self.etag,
        )
        if aws.code_of(found):
            raise aws.failed(
                f"{self._uri!r}: it was replaced or deleted while it was read, at byte {self._at:,} "
                f"of {self._size:,}\n  let nothing write there, then run it again",
                retryable=False,
            )
        self._body = found["Body"]
