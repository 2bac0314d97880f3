"""One transform job: servers up, objects through them, outputs down."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Self

from penstock import storage
from penstock.errors import PenstockError
from penstock.local.hosting import records
from penstock.local.hosting.chain import Chain, ContainerError
from penstock.local.hosting.client import Unreachable
from penstock.local.hosting.container import FAULT, Place
from penstock.local.hosting.models import ContainerSpec
from penstock.local.site import Site
from penstock.local.transform.inputs import objects
from penstock.local.transform.output import Output
from penstock.local.transform.payloads import MEGABYTE, payloads
from penstock.local.transform.processing import Processing
from penstock.local.wire import AwsError

__all__ = ["GROUP", "Limits", "TransformJob"]

GROUP = "/aws/sagemaker/TransformJobs"
STARTUP_S = 240.0
PARAMETERS_S = 10.0
GRACE_S = 2.0
RETRY_PAUSE_S = 0.2
MOST_AWAY = 50
REMEDY = "See job logs for more information"
DEFAULTS: Mapping[str, Any] = {
    "MaxConcurrentTransforms": 1,
    "BatchStrategy": "MultiRecord",
    "MaxPayloadInMB": 6,
}
STRATEGIES = {"MULTI_RECORD": "MultiRecord", "SINGLE_RECORD": "SingleRecord"}
UNREADABLE = (PenstockError, OSError, EOFError, zlib.error)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How objects are sent.

    Attributes:
        concurrent: Requests at once.
        single: One record in each request.
        megabytes: Of a request's body, at most.
        timeout_s: For an answer.
        retries: After a server's error.
    """

    concurrent: int
    single: bool
    megabytes: int
    timeout_s: float
    retries: int

    @classmethod
    def of(cls, body: Mapping[str, Any], said: Mapping[str, Any]) -> Self:
        """Return those of a request; where it has none, those that the container said, or the usual."""
        strategy = STRATEGIES.get(str(said.get("BatchStrategy")))
        known: dict[str, Any] = dict(DEFAULTS) | {
            name: said[name]
            for name in ("MaxConcurrentTransforms", "MaxPayloadInMB")
            if isinstance(said.get(name), int) and said[name] > 0
        }
        known |= {"BatchStrategy": strategy} if strategy else {}
        known |= {name: body[name] for name in DEFAULTS if body.get(name)}
        client = body.get("ModelClientConfig") or {}
        return cls(
            concurrent=int(known["MaxConcurrentTransforms"]),
            single=known["BatchStrategy"] == "SingleRecord",
            megabytes=int(known["MaxPayloadInMB"]),
            timeout_s=float(client.get("InvocationsTimeoutInSeconds", 600)),
            retries=int(client.get("InvocationsMaxRetries", 3)),
        )


@dataclass(kw_only=True, slots=True)
class _File:
    """An input object on its way.

    Attributes:
        uri: Its own.
        output: What is written of it.
        failure: Why it has no output.
    """

    uri: str
    output: Output
    failure: str | None = None


class TransformJob:
    """One job. Its state is moto's record's."""

    def __init__(
        self,
        site: Site,
        region: str,
        body: Mapping[str, Any],
        specs: tuple[ContainerSpec, ...],
        processing: Processing,
    ) -> None:
        """Take a request of which moto has a record."""
        self._site, self._region, self._body = site, region, body
        self.name = str(body["TransformJobName"])
        self._processing = processing
        self._record = records.transform_job(region, self.name)
        extra = body.get("Environment") or {}
        self._specs = [replace(spec, environment={**spec.environment, **extra}) for spec in specs]
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._servers: Chain | None = None
        self._failures: list[str] = []
        self._done: list[str] = []
        self._limits = Limits.of(body, {})

    @property
    def status(self) -> str:
        """As DescribeTransformJob has it."""
        return str(self._record.transform_job_status)

    def start(self) -> None:
        """Begin; returns at once."""
        records.tell(
            self._record,
            transform_job_status="InProgress",
            transform_start_time=None,
            transform_end_time=None,
            failure_reason=None,
            labeling_job_arn=None,
            auto_ml_job_arn=None,
        )
        self._thread = self._site.spawn(f"transform-{self.name}", self._run)

    def stop(self) -> None:
        """Ask it to end without output; does not wait."""
        records.tell(self._record, transform_job_status="Stopping")
        self._stop.set()
        if (servers := self._servers) is not None:  # an answer may be long in coming
            self._site.spawn(f"stop-{self.name}", lambda: servers.stop(GRACE_S))

    def join(self) -> None:
        """Wait until it has ended."""
        if self._thread is not None:
            self._thread.join()

    @property
    def _stopped(self) -> bool:
        return self._stop.is_set() or self._site.stopping.is_set()

    def _run(self) -> None:
        reason: str | None = f"InternalServerError: {FAULT}"
        try:
            reason = self._transformed()
            if self._stopped:
                for uri in self._done:  # what was stopped stores nothing
                    storage.delete(uri)
        except (PenstockError, AwsError) as error:
            reason = f"ClientError: {error}"
        finally:
            self._tell_end(reason)

    def _tell_end(self, reason: str | None) -> None:
        from moto.core.utils import utcnow

        status = "Stopped" if self._stopped else "Failed" if reason else "Completed"
        records.tell(
            self._record,
            transform_job_status=status,
            transform_end_time=utcnow(),
            failure_reason=None if self._stopped else reason,
        )

    def _transformed(self) -> str | None:
        """Do the work; return None, or why it failed."""
        from moto.core.utils import utcnow

        files = objects(
            self._body["TransformInput"]["DataSource"]["S3DataSource"],
            self._body["TransformOutput"]["S3OutputPath"],
        )
        self._servers = chain = self._chain()
        try:
            chain.start()
            reason = chain.wait(lambda: self._stopped)
            if reason is not None:
                return f"AlgorithmError: {reason}"
            self._limits = Limits.of(self._body, _said(chain))
            records.tell(self._record, transform_start_time=utcnow())
            self._log(
                f"[sagemaker logs]: MaxConcurrentTransforms={self._limits.concurrent}, "
                f"MaxPayloadInMB={self._limits.megabytes}, BatchStrategy="
                f"{'SINGLE_RECORD' if self._limits.single else 'MULTI_RECORD'}"
            )
            self._all(chain, [_File(uri=uri, output=Output(target)) for uri, target in files])
        finally:
            chain.stop(GRACE_S)
        return self._failures[0] if self._failures else None

    def _chain(self) -> Chain:
        wanted = self._limits
        given = {
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(wanted.megabytes),
            "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD" if wanted.single else "MULTI_RECORD",
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(wanted.concurrent),
        }
        place = Place(
            folder=self._site.workdir("transform", f"{self._region}-{self.name}"),
            region=self._region,
            group=GROUP,
            stream=f"{self.name}/local-1",
            owner=f"transform job {self.name}",
            kind="transform job",
            startup_s=STARTUP_S,
            environment=given,
        )
        return Chain(self._site, self._specs, place)

    def _all(self, chain: Chain, files: list[_File]) -> None:
        """Send all payloads, some at once; take the answers in order."""
        pending: deque[tuple[_File, Future[bytes] | None]] = deque()
        with ThreadPoolExecutor(self._limits.concurrent, f"transform-{self.name}") as pool:
            for file, payload in self._payloads(files):
                future = pool.submit(self._answer, chain, payload) if payload else None
                pending.append((file, future))
                if len(pending) > self._limits.concurrent:
                    self._take(*pending.popleft())
            while pending:
                self._take(*pending.popleft())
        if self._stopped:
            for file in files:
                file.output.abort()

    def _payloads(self, files: list[_File]) -> Iterator[tuple[_File, bytes]]:
        """Yield each object's payloads, and after them an empty one."""
        given = self._body["TransformInput"]
        zipped = given.get("CompressionType") == "Gzip"
        for file in files:
            try:
                with closing(storage.open_input(file.uri)) as raw:
                    stream = gzip.GzipFile(fileobj=raw) if zipped else raw
                    for payload in payloads(
                        stream,
                        given.get("SplitType", "None"),
                        single=self._limits.single,
                        most_bytes=self._limits.megabytes * MEGABYTE,
                        source=file.uri,
                    ):
                        if file.failure is not None or self._stopped:
                            break
                        yield file, payload
            except UNREADABLE as error:
                self._fail(file, "ClientError", f"{type(error).__name__}: {error}")
            if self._stopped:
                return
            yield file, b""

    def _answer(self, chain: Chain, payload: bytes) -> bytes:
        """Return what is kept of the answer to a payload; tries again after a server's error."""
        sent, tries, away = self._processing.sent(payload), 0, 0
        while True:
            try:
                reply = chain.invoke(sent, self._headers(), self._limits.timeout_s)
                break
            except Unreachable as error:  # it died, and is started again: that is no try
                away += 1
                reason = chain.wait(lambda: self._stopped)
                if reason is not None or away > MOST_AWAY:
                    raise ContainerError("primary", 503, reason or str(error)) from None
            except ContainerError as error:
                tries += 1
                if 400 <= error.status < 500 or tries > self._limits.retries or self._stopped:
                    raise
            self._stop.wait(RETRY_PAUSE_S)
        return self._assembled(self._processing.kept(payload, reply.body))

    def _assembled(self, answer: bytes) -> bytes:
        line = self._body["TransformOutput"].get("AssembleWith") == "Line"
        return answer + b"\n" if line and not answer.endswith(b"\n") else answer

    def _headers(self) -> dict[str, str]:
        given = {
            "Content-Type": self._body["TransformInput"].get("ContentType"),
            "Accept": self._body["TransformOutput"].get("Accept"),
        }
        return {name: value for name, value in given.items() if value}

    def _take(self, file: _File, future: Future[bytes] | None) -> None:
        """Write an answer; at an object's end, let its output appear."""
        if self._stopped or file.failure is not None:
            if future is not None:
                future.cancel()
            return
        try:
            if future is None:
                file.output.finish()
                self._done.append(file.output.uri)
            else:
                file.output.write(future.result())
        except ContainerError as error:
            kind = "ClientError" if 400 <= error.status < 500 else "AlgorithmError"
            self._fail(file, kind, f"{error.status}", error.text)
        except UNREADABLE as error:
            self._fail(file, "ClientError", str(error))

    def _fail(self, file: _File, kind: str, *lines: str) -> None:
        if self._stopped:
            return
        file.failure = lines[0]
        file.output.abort()
        place = file.uri.removeprefix("s3://")
        self._failures.append(f"{kind}: {REMEDY}\n{file.uri}: {': '.join(lines)}")
        self._log(
            f"[sagemaker logs]: {place}: {kind}: {lines[0]}",
            *(f"[sagemaker logs]: {place}: Message: {line}" for line in lines[1:]),
        )

    def _log(self, *lines: str) -> None:
        self._site.log(GROUP, f"{self.name}/local-1/data-log", lines, region=self._region)


def _said(chain: Chain) -> Mapping[str, Any]:
    """Return what the container says of batches; nothing when it says nothing."""
    try:
        reply = chain.execution_parameters(PARAMETERS_S)
        found = json.loads(reply.body) if reply.status == 200 else {}
    except (Unreachable, ContainerError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
