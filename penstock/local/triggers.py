"""Glue's triggers and workflows, real: they start the plane's own job runs and crawlers.

Real: on-demand, scheduled and conditional triggers, in workflows and without; conditions on states of jobs
and crawlers, AND and ANY; workflow runs with their properties, statistics and stop. Job runs of a workflow
get ``--WORKFLOW_NAME`` and ``--WORKFLOW_RUN_ID``. Schedules fire while the plane runs. Refused: event
triggers, graphs of workflows, ResumeWorkflowRun.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from penstock.local.chains import Chain, start
from penstock.local.crawlerspec import refused
from penstock.local.paging import page
from penstock.local.schedules import Cron, Scheduler
from penstock.local.site import Handler, Site
from penstock.local.wire import AwsError, Call

__all__ = ["Triggers", "service"]

MEMBERS = ("Name", "WorkflowName", "Type", "Schedule", "Predicate", "Actions", "Description")
MAX_CRAWLERS = 2
ENDED = frozenset({"COMPLETED", "STOPPED", "ERROR"})

Where = tuple[str, str]  # region and name


@dataclass(kw_only=True, slots=True)
class _Run:
    """A workflow run."""

    workflow: str
    id: str
    chain: Chain
    started: float = field(default_factory=time.time)
    ended: float | None = None

    @property
    def status(self) -> str:
        if self.ended is not None:
            return "STOPPED" if self.chain.stopping.is_set() else "COMPLETED"
        return "STOPPING" if self.chain.stopping.is_set() else "RUNNING"

    def described(self) -> dict[str, Any]:
        """Return what moto's record does not know."""
        counts, running = self.chain.counts, len(self.chain.active)
        told: dict[str, Any] = {
            "Status": self.status,
            "StartedOn": self.started,
            "Statistics": {
                "TotalActions": sum(counts.values()) + running,
                "TimeoutActions": counts["TIMEOUT"],
                "FailedActions": counts["FAILED"],
                "StoppedActions": counts["STOPPED"] + counts["CANCELLED"],
                "SucceededActions": counts["SUCCEEDED"],
                "RunningActions": running,
                "ErroredActions": counts["ERRORED"] + counts["ERROR"],
                "WaitingActions": 0,
            },
        }
        if self.ended is not None:
            told["CompletedOn"] = self.ended
        if self.chain.errors:
            told["ErrorMessage"] = "\n".join(self.chain.errors)
        return told


class Triggers:
    """Triggers and workflows.

    Attributes:
        name: ``glue``.
        schedules: What fires them.
    """

    name = "glue"

    def __init__(self, site: Site) -> None:
        """Make the service of a plane."""
        self.site = site
        self.schedules = Scheduler(site, "glue-trigger-schedules")
        self._lock = threading.RLock()
        self._triggers: dict[Where, dict[str, Any]] = {}
        self._runs: dict[tuple[str, str, str], _Run] = {}  # by region, workflow and id

    def operations(self) -> Mapping[str, Handler]:
        """Return the operations that this one answers; all others go to moto."""
        return {
            "CreateTrigger": self._create,
            "UpdateTrigger": self._update,
            "DeleteTrigger": self._delete,
            "StartTrigger": self._start,
            "StopTrigger": self._stop,
            "GetTrigger": self._get,
            "GetTriggers": self._list,
            "BatchGetTriggers": self._batch,
            "DeleteWorkflow": self._delete_workflow,
            "GetWorkflow": self._get_workflow,
            "BatchGetWorkflows": self._batch_workflows,
            "StartWorkflowRun": self._start_workflow,
            "StopWorkflowRun": self._stop_workflow,
            "GetWorkflowRun": self._get_run,
            "GetWorkflowRuns": self._list_runs,
        }

    def stop(self) -> None:
        """Nothing to do: chains watch the plane's stopping."""

    def _found(self, name: str, region: str) -> dict[str, Any]:
        if (region, name) not in self._triggers:
            raise AwsError("EntityNotFoundException", f"Trigger {name} not found.")
        return self._triggers[region, name]

    def _create(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            made = {key: call.body[key] for key in MEMBERS if call.body.get(key)}
            self._checked(made, call)
            if (call.region, made["Name"]) in self._triggers:
                message = f"Trigger with name {made['Name']} already exists"
                raise AwsError("AlreadyExistsException", message)
            self.site.moto.forward(call)
            active = bool(call.body.get("StartOnCreation")) and made["Type"] != "ON_DEMAND"
            made["State"] = "ACTIVATED" if active else "CREATED"
            self._triggers[call.region, made["Name"]] = made
            self._schedule(made, call.region)
        return {"Name": made["Name"]}

    def _checked(self, trigger: Mapping[str, Any], call: Call) -> None:
        """Refuse a trigger that Glue would refuse, or that the plane cannot fire."""
        kind, actions = trigger["Type"], trigger.get("Actions") or ()
        if kind == "EVENT":
            raise refused(call.operation, "a trigger of type EVENT")
        if kind not in ("ON_DEMAND", "SCHEDULED", "CONDITIONAL"):
            raise _invalid(f"Type is {kind!r}, expected ON_DEMAND, SCHEDULED or CONDITIONAL")
        if not actions:
            raise _invalid("Actions cannot be empty")
        for action in actions:
            if bool(action.get("JobName")) == bool(action.get("CrawlerName")):
                raise _invalid("An action has either JobName or CrawlerName")
        if sum(bool(action.get("CrawlerName")) for action in actions) > MAX_CRAWLERS:
            raise _invalid(f"A trigger can start at most {MAX_CRAWLERS} crawlers")
        if kind == "SCHEDULED":
            if not trigger.get("Schedule"):
                raise _invalid("Schedule cannot be empty for a SCHEDULED trigger")
            Cron.parse(trigger["Schedule"])
        if kind == "CONDITIONAL" and not (trigger.get("Predicate") or {}).get("Conditions"):
            raise _invalid("Predicate cannot be empty for a CONDITIONAL trigger")
        if trigger.get("WorkflowName"):
            self.site.moto.ask(
                "glue", "GetWorkflow", region=call.region, Name=trigger["WorkflowName"]
            )

    def _update(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            old = self._found(call.body["Name"], call.region)
            changes = call.body.get("TriggerUpdate") or {}
            if changes.get("EventBatchingCondition"):
                raise refused(call.operation, "an EventBatchingCondition")
            given = {key: changes[key] for key in MEMBERS if key in changes and key != "Name"}
            new = {**old, **given}
            self._checked(new, call)
            flat = {key: new[key] for key in MEMBERS if key in new}
            for operation, body in (
                ("DeleteTrigger", {"Name": new["Name"]}),
                ("CreateTrigger", flat),
            ):
                self.site.moto.ask("glue", operation, region=call.region, **body)
            self._triggers[call.region, new["Name"]] = new
            self._schedule(new, call.region)
            return {"Trigger": dict(new)}

    def _delete(self, call: Call) -> Mapping[str, Any]:
        name = call.body["Name"]
        with self._lock:
            self.site.moto.forward(call)
            self._triggers.pop((call.region, name), None)
            self.schedules.drop((call.region, name))
        return {"Name": name}

    def _start(self, call: Call) -> Mapping[str, Any]:
        name = call.body["Name"]
        with self._lock:
            trigger = self._found(name, call.region)
            on_demand = trigger["Type"] == "ON_DEMAND"
            if not on_demand:
                trigger["State"] = "ACTIVATED"
                self._schedule(trigger, call.region)
        if on_demand:  # it fires, and never activates
            self._fire(name, call.region)
        return {"Name": name}

    def _stop(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            trigger = self._found(call.body["Name"], call.region)
            if trigger["Type"] == "ON_DEMAND":
                raise _invalid("An ON_DEMAND trigger cannot be stopped: it never activates")
            trigger["State"] = "DEACTIVATED"
            self._schedule(trigger, call.region)
        return {"Name": call.body["Name"]}

    def _get(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            return {"Trigger": dict(self._found(call.body["Name"], call.region))}

    def _list(self, call: Call) -> Mapping[str, Any]:
        job = call.body.get("DependentJobName")
        with self._lock:
            found = [
                dict(trigger)
                for (region, _), trigger in self._triggers.items()
                if region == call.region
                and (not job or any(each.get("JobName") == job for each in trigger["Actions"]))
            ]
        return page("Triggers", found, call)

    def _batch(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            known = {name: dict(self._triggers[where, name])
                     for where, name in self._triggers if where == call.region}  # fmt: skip
        names = call.body["TriggerNames"]
        return {
            "Triggers": [known[name] for name in names if name in known],
            "TriggersNotFound": [name for name in names if name not in known],
        }

    def _schedule(self, trigger: Mapping[str, Any], region: str) -> None:
        """Make the scheduler agree with the trigger."""
        name = trigger["Name"]
        if trigger["Type"] != "SCHEDULED" or trigger["State"] != "ACTIVATED":
            self.schedules.drop((region, name))
            return
        cron = Cron.parse(trigger["Schedule"])
        self.schedules.put((region, name), cron, lambda: self._fire_due(name, region))

    def _fire_due(self, name: str, region: str) -> None:
        with suppress(AwsError):  # its workflow runs as often as it may
            self._fire(name, region)

    def _fire(self, name: str, region: str) -> None:
        """Fire a trigger; that of a workflow starts a run of it."""
        with self._lock:
            trigger = self._found(name, region)
            workflow = trigger.get("WorkflowName")
        if workflow:
            self.site.front.ask("glue", "StartWorkflowRun", region=region, Name=workflow)
            return
        chain = Chain(region=region)
        start(self.site, chain, [trigger], self._conditional(region, None))

    def _conditional(
        self, region: str, workflow: str | None
    ) -> Callable[[], list[Mapping[str, Any]]]:
        """Return what lists the conditional triggers that may fire."""

        def waiting() -> list[Mapping[str, Any]]:
            with self._lock:
                return [
                    trigger
                    for (where, _), trigger in self._triggers.items()
                    if where == region
                    and trigger["Type"] == "CONDITIONAL"
                    and trigger["State"] == "ACTIVATED"
                    and trigger.get("WorkflowName") == workflow
                ]

        return waiting

    def _start_workflow(self, call: Call) -> Mapping[str, Any]:
        name = call.body["Name"]
        with self._lock:
            workflow = self.site.moto.ask("glue", "GetWorkflow", region=call.region, Name=name)
            first = [
                trigger
                for (region, _), trigger in self._triggers.items()
                if region == call.region
                and trigger.get("WorkflowName") == name
                and trigger["Type"] != "CONDITIONAL"
            ]
            if not first:
                raise _invalid(f"Workflow {name} has no trigger that starts it")
            most = workflow["Workflow"].get("MaxConcurrentRuns")
            if most and sum(run.ended is None for run in self._of(call.region, name)) >= most:
                raise AwsError(
                    "ConcurrentRunsExceededException", f"Concurrent runs exceeded for {name}"
                )
            id_ = self.site.moto.forward(call)["RunId"]
            arguments = {"--WORKFLOW_NAME": name, "--WORKFLOW_RUN_ID": id_}
            chain = Chain(region=call.region, arguments=arguments)
            run = _Run(workflow=name, id=id_, chain=chain)
            self._runs[call.region, name, id_] = run

        def ended() -> None:
            run.ended = time.time()

        start(self.site, chain, first, self._conditional(call.region, name), ended)
        return {"RunId": id_}

    def _of(self, region: str, workflow: str) -> list[_Run]:
        return [run for key, run in self._runs.items() if key[:2] == (region, workflow)]

    def _stop_workflow(self, call: Call) -> Mapping[str, Any]:
        self.site.moto.forward(call)
        with self._lock:
            run = self._runs[call.region, call.body["Name"], call.body["RunId"]]
            if run.status in ENDED:
                message = f"Workflow run {run.id} is {run.status}, it cannot be stopped"
                raise AwsError("IllegalWorkflowStateException", message)
            run.chain.stopping.set()
        return {}

    def _delete_workflow(self, call: Call) -> Mapping[str, Any]:
        """Delete a workflow, its runs and its triggers."""
        name = call.body["Name"]
        with self._lock:
            answer = self.site.moto.forward(call)
            for run in self._of(call.region, name):
                run.chain.stopping.set()
                del self._runs[call.region, name, run.id]
            gone = [
                trigger["Name"]
                for (region, _), trigger in self._triggers.items()
                if region == call.region and trigger.get("WorkflowName") == name
            ]
        for trigger in gone:
            self.site.front.ask("glue", "DeleteTrigger", region=call.region, Name=trigger)
        return answer

    def _get_run(self, call: Call) -> Mapping[str, Any]:
        _no_graph(call)
        return {"Run": self._told(self.site.moto.forward(call)["Run"], call.region)}

    def _list_runs(self, call: Call) -> Mapping[str, Any]:
        _no_graph(call)
        answer = self.site.moto.forward(call)
        return {**answer, "Runs": [self._told(run, call.region) for run in answer["Runs"]]}

    def _get_workflow(self, call: Call) -> Mapping[str, Any]:
        _no_graph(call)
        return {"Workflow": self._with_last(self.site.moto.forward(call)["Workflow"], call.region)}

    def _batch_workflows(self, call: Call) -> Mapping[str, Any]:
        _no_graph(call)
        answer = self.site.moto.forward(call)
        told = [self._with_last(each, call.region) for each in answer.get("Workflows", ())]
        return {**answer, "Workflows": told}

    def _with_last(self, workflow: Mapping[str, Any], region: str) -> dict[str, Any]:
        last = workflow.get("LastRun")
        return {**workflow, **({"LastRun": self._told(last, region)} if last else {})}

    def _told(self, record: Mapping[str, Any], region: str) -> dict[str, Any]:
        """Return moto's record of a run with what is true of it."""
        with self._lock:
            run = self._runs.get((region, record["Name"], record["WorkflowRunId"]))
            return {**record, **(run.described() if run else {})}


def _no_graph(call: Call) -> None:
    if call.body.get("IncludeGraph"):
        raise refused(call.operation, "IncludeGraph")


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidInputException", message)


def service(site: Site) -> Triggers:
    """Return the service of a plane."""
    return Triggers(site)
