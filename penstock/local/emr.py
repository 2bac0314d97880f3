"""EMR on EC2: clusters whose steps are real spark-submits on this machine.

Real: RunJobFlow and AddJobFlowSteps with ``command-runner.jar spark-submit ...``: the program and its
``--py-files``, ``--files``, ``--archives`` and ``--jars`` come from S3 (or this machine), ``--conf`` and
the cluster's spark-defaults hold; states, timelines, reasons of failures; CancelSteps, ActionOnFailure,
StepConcurrencyLevel, termination protection, auto-termination; logs below the LogUri, there when the
step has ended.

Limits: the master is ``local[*]`` with a heap of 1 GiB, whatever is asked for; two JVMs run at once on a
plane, other steps wait as PENDING; instances are records. Other jars, other commands of command-runner
and bootstrap actions are refused: they would change this machine.
"""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from penstock.local.emrcluster import ENDED, Cluster, Step
from penstock.local.site import Handler, Site
from penstock.local.wire import AwsError, Call

__all__ = ["Emr", "service"]

PAGE = 50
ACTIVE_STEPS_LIMIT = 256
CONCURRENCY_LIMIT = 256
IDLE_TIMEOUT_S = (60, 604_800)
ID_CHARACTERS = string.digits + string.ascii_uppercase
REFUSED = "NotSupportedByLocalPlane"


class Emr:
    """The service.

    Attributes:
        name: As botocore calls it.
    """

    name = "emr"

    def __init__(self, site: Site) -> None:
        """Serve ``site``."""
        self._site = site
        self._clusters: dict[str, Cluster] = {}
        self._lock = threading.Lock()

    def operations(self) -> Mapping[str, Handler]:
        """Return the operations that are real."""
        return {
            "AddJobFlowSteps": self._add_steps,
            "CancelSteps": self._cancel_steps,
            "DescribeCluster": self._describe_cluster,
            "DescribeStep": self._describe_step,
            "GetAutoTerminationPolicy": self._get_policy,
            "ListClusters": self._list_clusters,
            "ListSteps": self._list_steps,
            "ModifyCluster": self._modify,
            "PutAutoTerminationPolicy": self._put_policy,
            "RemoveAutoTerminationPolicy": self._remove_policy,
            "RunJobFlow": self._run_job_flow,
            "SetKeepJobFlowAliveWhenNoSteps": self._keep_alive,
            "SetTerminationProtection": self._protect,
            "TerminateJobFlows": self._terminate,
        }

    def stop(self) -> None:
        """Leave it to the threads: they watch the site, and end their processes."""

    def _run_job_flow(self, call: Call) -> dict[str, Any]:
        body, now = dict(call.body), time.time()
        _check_cluster(body)
        level = int(body.get("StepConcurrencyLevel", 1))
        steps = _steps(body.pop("Steps", None) or [], level, role=None)
        made = self._site.moto.forward(call, body)
        cluster = Cluster(
            self._site, body, id_=made["JobFlowId"], arn=made["ClusterArn"], region=call.region
        )
        cluster.created = now
        with self._lock:
            self._clusters[cluster.id] = cluster
        cluster.start(steps)
        return made

    def _add_steps(self, call: Call) -> dict[str, Any]:
        cluster = self._cluster(call, call.body["JobFlowId"])
        role = call.body.get("ExecutionRoleArn")
        with cluster.changed:
            steps = _steps(call.body["Steps"], cluster.concurrency, role=role)
            if cluster.state in ENDED:
                raise AwsError(
                    "ValidationException",
                    "A job flow that is shutting down, terminated, or finished may not be modified.",
                )
            if len(cluster.active()) + len(steps) > ACTIVE_STEPS_LIMIT:
                raise AwsError(
                    "ValidationException",
                    "Maximum number of active steps(State = RUNNING, PENDING or CANCEL_PENDING) "
                    "for cluster exceeded.",
                )
            cluster.add(steps)
        return {"StepIds": [step.id for step in steps]}

    def _describe_step(self, call: Call) -> dict[str, Any]:
        cluster = self._cluster(call, call.body["ClusterId"])
        with cluster.changed:
            return {"Step": _step(cluster, call.body["StepId"]).described()}

    def _list_steps(self, call: Call) -> dict[str, Any]:
        cluster = self._cluster(call, call.body["ClusterId"])
        ids, states = call.body.get("StepIds") or (), call.body.get("StepStates") or ()
        with cluster.changed:
            for id_ in ids:
                _step(cluster, id_)
            found = [
                step.described()
                for step in reversed(cluster.steps)
                if (not ids or step.id in ids) and (not states or step.state in states)
            ]
        return _page("Steps", found, call.body.get("Marker"))

    def _cancel_steps(self, call: Call) -> dict[str, Any]:
        cluster = self._cluster(call, call.body["ClusterId"])
        at_once = call.body.get("StepCancellationOption") == "TERMINATE_PROCESS"
        answers = []
        with cluster.changed:
            for id_ in call.body["StepIds"]:
                step = _step(cluster, id_)
                if step in cluster.active():
                    cluster.cancel(step, at_once=at_once)
                    answers.append({"StepId": id_, "Status": "SUBMITTED"})
                else:
                    reason = f"Step {id_} is {step.state}: only steps that have not ended can be cancelled."
                    answers.append({"StepId": id_, "Status": "FAILED", "Reason": reason})
        return {"CancelStepsInfoList": answers}

    def _describe_cluster(self, call: Call) -> dict[str, Any]:
        cluster = self._cluster(call, call.body["ClusterId"])
        answer = self._site.moto.forward(call)
        with cluster.changed:
            answer["Cluster"] |= {
                "Status": cluster.status(),
                "AutoTerminate": not cluster.keep_alive,
                "TerminationProtected": cluster.protected,
                "StepConcurrencyLevel": cluster.concurrency,
            }
        return answer

    def _list_clusters(self, call: Call) -> dict[str, Any]:
        states = call.body.get("ClusterStates") or ()
        after = float(call.body.get("CreatedAfter") or 0)
        before = float(call.body.get("CreatedBefore") or "inf")
        found = []
        for cluster in sorted(self._all(call), key=lambda each: each.created, reverse=True):
            with cluster.changed:
                if (not states or cluster.state in states) and after <= cluster.created <= before:
                    found.append(
                        {
                            "Id": cluster.id,
                            "Name": cluster.body["Name"],
                            "Status": cluster.status(),
                            "NormalizedInstanceHours": 0,
                            "ClusterArn": cluster.arn,
                        }
                    )
        return _page("Clusters", found, call.body.get("Marker"))

    def _terminate(self, call: Call) -> dict[str, Any]:
        clusters = [self._cluster(call, id_) for id_ in call.body["JobFlowIds"]]
        if any(cluster.protected for cluster in clusters):
            raise AwsError(
                "ValidationException",
                "Could not shut down one or more job flows since they are termination protected.",
            )
        for cluster in clusters:
            with cluster.changed:
                cluster.terminate("USER_REQUEST", "Terminated by user request")
        with suppress(AwsError):
            self._site.moto.forward(call)
        return {}

    def _modify(self, call: Call) -> dict[str, Any]:
        cluster = self._cluster(call, call.body["ClusterId"])
        level = call.body.get("StepConcurrencyLevel")
        _check_level(level)
        answer = self._site.moto.forward(call)
        with cluster.changed:
            cluster.concurrency = cluster.concurrency if level is None else int(level)
            cluster.changed.notify_all()
        return answer | {"StepConcurrencyLevel": cluster.concurrency}

    def _protect(self, call: Call) -> dict[str, Any]:
        clusters = [self._cluster(call, id_) for id_ in call.body["JobFlowIds"]]
        self._site.moto.forward(call)
        for cluster in clusters:
            cluster.protected = bool(call.body["TerminationProtected"])
        return {}

    def _keep_alive(self, call: Call) -> dict[str, Any]:
        for cluster in [self._cluster(call, id_) for id_ in call.body["JobFlowIds"]]:
            with cluster.changed:
                cluster.keep_alive = bool(call.body["KeepJobFlowAliveWhenNoSteps"])
                cluster.changed.notify_all()
        return {}

    def _put_policy(self, call: Call) -> dict[str, Any]:
        cluster = self._cluster(call, call.body["ClusterId"])
        policy = call.body.get("AutoTerminationPolicy", {})
        _check_policy(policy)
        with cluster.changed:
            cluster.idle_timeout_s = policy.get("IdleTimeout")
            cluster.changed.notify_all()
        return {}

    def _get_policy(self, call: Call) -> dict[str, Any]:
        cluster = self._cluster(call, call.body["ClusterId"])
        limit = cluster.idle_timeout_s
        return {"AutoTerminationPolicy": {} if limit is None else {"IdleTimeout": limit}}

    def _remove_policy(self, call: Call) -> dict[str, Any]:
        self._cluster(call, call.body["ClusterId"]).idle_timeout_s = None
        return {}

    def _all(self, call: Call) -> list[Cluster]:
        with self._lock:
            return [each for each in self._clusters.values() if each.region == call.region]

    def _cluster(self, call: Call, id_: str) -> Cluster:
        for cluster in self._all(call):
            if cluster.id == id_:
                return cluster
        raise AwsError("InvalidRequestException", f"Cluster id '{id_}' is not valid.")


def service(site: Site) -> Emr:
    """Return the service for a plane."""
    return Emr(site)


def _step(cluster: Cluster, id_: str) -> Step:
    for step in cluster.steps:
        if step.id == id_:
            return step
    raise AwsError("InvalidRequestException", f"Step id '{id_}' is not valid.")


def _page(name: str, found: Sequence[Any], marker: str | None) -> dict[str, Any]:
    """Return one page of a list; the marker is where the next begins."""
    if marker is not None and not marker.isdecimal():
        raise AwsError("InvalidRequestException", f"Marker '{marker}' is not valid.")
    start = int(marker or 0)
    end = start + PAGE
    return {name: found[start:end], **({"Marker": str(end)} if end < len(found) else {})}


def _check_cluster(body: Mapping[str, Any]) -> None:
    """Refuse what is wrong with a cluster, and what would change this machine."""
    instances = body.get("Instances", {})
    if instances.get("InstanceGroups") and instances.get("InstanceFleets"):
        raise AwsError(
            "ValidationException", "Instance fleets and instance groups are mutually exclusive."
        )
    _check_level(body.get("StepConcurrencyLevel"))
    _check_policy(body.get("AutoTerminationPolicy", {}))
    if body.get("BootstrapActions"):
        raise AwsError(
            REFUSED,
            "emr.RunJobFlow: bootstrap actions are not in the local plane: they would change this machine\n"
            "  leave BootstrapActions out; steps run in the plane's own Python environment",
            status=501,
        )


def _check_level(level: int | None) -> None:
    if level is not None and not 1 <= level <= CONCURRENCY_LIMIT:
        raise AwsError(
            "ValidationException",
            f"StepConcurrencyLevel must be between 1 and {CONCURRENCY_LIMIT}, got {level}.",
        )


def _check_policy(policy: Mapping[str, Any]) -> None:
    low, high = IDLE_TIMEOUT_S
    limit = policy.get("IdleTimeout")
    if limit is not None and not low <= limit <= high:
        raise AwsError(
            "ValidationException", f"IdleTimeout must be between {low} and {high}, got {limit}."
        )


def _steps(bodies: Sequence[Mapping[str, Any]], level: int, *, role: str | None) -> list[Step]:
    """Return steps that wait; refuse all when one is not to be had."""
    now = time.time()
    made = []
    for body in bodies:
        _check_step(body)
        action = body.get("ActionOnFailure") or ("CONTINUE" if level > 1 else "TERMINATE_CLUSTER")
        if level > 1 and action != "CONTINUE":
            raise AwsError(
                "ValidationException",
                f"Step '{body['Name']}': ActionOnFailure is {action}, but with a StepConcurrencyLevel "
                "above 1 it can only be CONTINUE.",
            )
        id_ = "s-" + "".join(secrets.choice(ID_CHARACTERS) for _ in range(13))
        made.append(Step(id=id_, body=body, action=action, role=role, created=now))
    return made


def _check_step(body: Mapping[str, Any]) -> None:
    jar, arguments = body["HadoopJarStep"]["Jar"], body["HadoopJarStep"].get("Args") or [""]
    command = arguments[0].rpartition("/")[2]
    if jar == "command-runner.jar" and command == "spark-submit":
        return
    what = (
        f"command {arguments[0]!r} of command-runner.jar"
        if jar == "command-runner.jar"
        else repr(jar)
    )
    raise AwsError(
        REFUSED,
        f"step {body['Name']!r}: {what} is not in the local plane\n"
        "  expected Jar 'command-runner.jar' with Args ['spark-submit', ...]",
        status=501,
    )
