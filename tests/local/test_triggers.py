"""Triggers and workflows on the plane, through the unmodified boto3; what they start here are crawlers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the unmodified client
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from penstock.local import Plane

DEADLINE_S = 30.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in time: {what}")


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    """Return code and message of a call that is refused."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


class Line:
    """Three crawlers of a bucket: a and b succeed, bad fails."""

    def __init__(self) -> None:
        self.name = f"line-{uuid.uuid4().hex[:8]}"
        self.glue, s3 = boto3.client("glue"), boto3.client("s3")
        s3.create_bucket(Bucket=self.name)
        s3.put_object(Bucket=self.name, Key="a/a.json", Body='{"x": 1}')
        s3.put_object(Bucket=self.name, Key="bad/a.xml", Body="<?xml version='1.0'?><r/>")
        for crawler, path in (("a", "a"), ("b", "a"), ("bad", "bad"), ("c", "a")):
            self.glue.create_crawler(
                Name=self.at(crawler),
                Role="r",
                DatabaseName=self.name.replace("-", "_"),
                Targets={"S3Targets": [{"Path": f"s3://{self.name}/{path}"}]},
            )

    def at(self, name: str) -> str:
        return f"{self.name}-{name}"

    def trigger(self, name: str, *starts: str, **more: Any) -> str:
        actions = [{"CrawlerName": self.at(each)} for each in starts]
        given = {"Type": "ON_DEMAND", **more}
        self.glue.create_trigger(Name=self.at(name), Actions=actions, **given)
        return self.at(name)

    def after(
        self, name: str, starts: str, logical: str, states: dict[str, str], **more: Any
    ) -> str:
        conditions = [
            {"LogicalOperator": "EQUALS", "CrawlerName": self.at(crawler), "CrawlState": state}
            for crawler, state in states.items()
        ]
        return self.trigger(
            name,
            starts,
            Type="CONDITIONAL",
            Predicate={"Logical": logical, "Conditions": conditions},
            **{"StartOnCreation": True, **more},
        )

    def crawls(self, crawler: str) -> list[str]:
        found = self.glue.list_crawls(CrawlerName=self.at(crawler))["Crawls"]
        return [crawl["State"] for crawl in found]

    def workflow(self, **more: Any) -> str:
        self.glue.create_workflow(Name=self.name, **more)
        return self.name

    def run_of(self, id_: str) -> dict[str, Any]:
        """Wait for the end of a workflow run and return it."""

        def ended() -> Any:
            run = self.glue.get_workflow_run(Name=self.name, RunId=id_)["Run"]
            return run if run["Status"] not in ("RUNNING", "STOPPING") else None

        return dict(until(ended, f"the end of {id_}"))


def job_of(line: Line, name: str, script: str) -> str:
    """Make a job of plain Python that runs a script."""
    key = f"scripts/{name}.py"
    boto3.client("s3").put_object(Bucket=line.name, Key=key, Body=script)
    line.glue.create_job(
        Name=line.at(name),
        Role="r",
        Command={
            "Name": "pythonshell",
            "ScriptLocation": f"s3://{line.name}/{key}",
            "PythonVersion": "3.9",
        },
    )
    return line.at(name)


@pytest.fixture
def line(plane: Plane) -> Line:
    return Line()


def test_an_on_demand_trigger_starts_its_actions_and_stays_created(line: Line) -> None:
    name = line.trigger("go", "a", "b")

    line.glue.start_trigger(Name=name)

    until(lambda: line.crawls("a") == line.crawls("b") == ["COMPLETED"], "both crawls")
    assert line.glue.get_trigger(Name=name)["Trigger"]["State"] == "CREATED"


def test_conditional_triggers_fire_on_what_their_chain_did(line: Line) -> None:
    go = line.trigger("go", "a", "bad")
    line.after("both", "b", "AND", {"a": "SUCCEEDED", "bad": "FAILED"})
    line.after("never", "c", "ANY", {"a": "FAILED", "bad": "SUCCEEDED"})

    line.glue.start_trigger(Name=go)

    until(lambda: line.crawls("b") == ["COMPLETED"], "the crawl of b")
    assert (line.crawls("a"), line.crawls("bad"), line.crawls("c")) == (
        ["COMPLETED"],
        ["FAILED"],
        [],
    )


def test_a_crawler_that_a_person_starts_fires_nothing(line: Line) -> None:
    line.after("then", "b", "ANY", {"a": "SUCCEEDED"})

    line.glue.start_crawler(Name=line.at("a"))

    until(lambda: line.crawls("a") == ["COMPLETED"], "the crawl")
    go = line.trigger("go", "c")
    line.glue.start_trigger(Name=go)
    until(lambda: line.crawls("c") == ["COMPLETED"], "a later chain")
    assert line.crawls("b") == []


def test_triggers_that_are_not_active_do_not_fire(line: Line) -> None:
    line.after("never-started", "b", "ANY", {"a": "SUCCEEDED"}, StartOnCreation=False)
    stopped = line.after("stopped", "b", "ANY", {"a": "SUCCEEDED"})
    line.glue.stop_trigger(Name=stopped)
    line.after("last", "c", "ANY", {"a": "SUCCEEDED"})

    line.glue.start_trigger(Name=line.trigger("go", "a"))

    until(lambda: line.crawls("c") == ["COMPLETED"], "the active trigger")
    assert line.crawls("b") == []
    states = {each["Name"]: each["State"] for each in line.glue.batch_get_triggers(
        TriggerNames=[stopped, line.at("never-started"), line.at("last")])["Triggers"]}  # fmt: skip
    assert states == {
        stopped: "DEACTIVATED",
        line.at("never-started"): "CREATED",
        line.at("last"): "ACTIVATED",
    }


def test_a_workflow_runs_to_its_end(line: Line) -> None:
    workflow = line.workflow(DefaultRunProperties={"day": "1", "kind": "full"})
    line.trigger("go", "a", WorkflowName=workflow)
    line.after("then", "b", "AND", {"a": "SUCCEEDED"}, WorkflowName=workflow)
    line.after("other", "c", "AND", {"a": "SUCCEEDED"})  # of no workflow, so not of this chain

    id_ = line.glue.start_workflow_run(Name=workflow, RunProperties={"day": "2"})["RunId"]

    run = line.run_of(id_)
    assert run["Status"] == "COMPLETED"
    assert run["Statistics"] == {
        "TotalActions": 2,
        "TimeoutActions": 0,
        "FailedActions": 0,
        "StoppedActions": 0,
        "SucceededActions": 2,
        "RunningActions": 0,
        "ErroredActions": 0,
        "WaitingActions": 0,
    }
    assert run["WorkflowRunProperties"] == {"day": "2", "kind": "full"}
    assert run["CompletedOn"] > run["StartedOn"]
    assert (line.crawls("a"), line.crawls("b"), line.crawls("c")) == (["COMPLETED"],) * 2 + ([],)
    last = line.glue.get_workflow(Name=workflow)["Workflow"]["LastRun"]
    assert (last["WorkflowRunId"], last["Status"]) == (id_, "COMPLETED")
    runs = line.glue.get_workflow_runs(Name=workflow)["Runs"]
    assert [(each["WorkflowRunId"], each["Status"]) for each in runs] == [(id_, "COMPLETED")]


def test_jobs_and_crawlers_follow_each_other(line: Line) -> None:
    workflow = line.workflow()
    good = job_of(line, "good", "import sys; print(sys.argv)")
    bad = job_of(line, "failing", "raise SystemExit('no rows')")
    line.trigger("go", "a", WorkflowName=workflow)
    conditions = [
        {"LogicalOperator": "EQUALS", "CrawlerName": line.at("a"), "CrawlState": "SUCCEEDED"}
    ]
    line.glue.create_trigger(
        Name=line.at("jobs"),
        Type="CONDITIONAL",
        WorkflowName=workflow,
        StartOnCreation=True,
        Actions=[{"JobName": good, "Arguments": {"--day": "7"}}, {"JobName": bad}],
        Predicate={"Logical": "AND", "Conditions": conditions},
    )
    states = [
        {"LogicalOperator": "EQUALS", "JobName": good, "State": "SUCCEEDED"},
        {"LogicalOperator": "EQUALS", "JobName": bad, "State": "FAILED"},
    ]
    line.trigger("last", "c", Type="CONDITIONAL", WorkflowName=workflow, StartOnCreation=True,
                 Predicate={"Logical": "AND", "Conditions": states})  # fmt: skip

    id_ = line.glue.start_workflow_run(Name=workflow)["RunId"]

    counts = line.run_of(id_)["Statistics"]
    assert (counts["SucceededActions"], counts["FailedActions"]) == (3, 1)
    assert line.crawls("c") == ["COMPLETED"]
    arguments = line.glue.get_job_runs(JobName=good)["JobRuns"][0]["Arguments"]
    assert {key: arguments[key] for key in ("--day", "--WORKFLOW_NAME", "--WORKFLOW_RUN_ID")} == {
        "--day": "7",
        "--WORKFLOW_NAME": workflow,
        "--WORKFLOW_RUN_ID": id_,
    }


def test_what_a_workflow_cannot_start_is_counted_and_told(line: Line) -> None:
    workflow = line.workflow()
    line.trigger("go", "a", "none", WorkflowName=workflow)

    run = line.run_of(line.glue.start_workflow_run(Name=workflow)["RunId"])

    assert (run["Status"], run["ErrorMessage"]) == (
        "COMPLETED",
        f"Crawler {line.at('none')} not found.",
    )
    assert (run["Statistics"]["ErroredActions"], run["Statistics"]["SucceededActions"]) == (1, 1)


def test_a_workflow_run_can_be_stopped(line: Line) -> None:
    s3 = boto3.client("s3")
    for number in range(60):
        s3.put_object(Bucket=line.name, Key=f"a/p={number}/a.json", Body='{"x": 1}')
    workflow = line.workflow(MaxConcurrentRuns=1)
    line.trigger("go", "a", WorkflowName=workflow)
    line.after("then", "b", "ANY", {"a": "CANCELLED"}, WorkflowName=workflow)
    id_ = line.glue.start_workflow_run(Name=workflow)["RunId"]
    assert refusal(line.glue.start_workflow_run, Name=workflow) == (
        "ConcurrentRunsExceededException",
        f"Concurrent runs exceeded for {workflow}",
    )

    line.glue.stop_workflow_run(Name=workflow, RunId=id_)

    run = line.run_of(id_)
    assert run["Status"] == "STOPPED"
    assert run["Statistics"]["StoppedActions"] == 1
    assert (line.crawls("a"), line.crawls("b")) == (["STOPPED"], [])
    assert refusal(line.glue.stop_workflow_run, Name=workflow, RunId=id_) == (
        "IllegalWorkflowStateException",
        f"Workflow run {id_} is STOPPED, it cannot be stopped",
    )


def test_a_trigger_is_updated_and_deleted(line: Line) -> None:
    name = line.trigger("go", "a")

    told = line.glue.update_trigger(
        Name=name,
        TriggerUpdate={"Description": "new", "Actions": [{"CrawlerName": line.at("b")}]},
    )["Trigger"]

    assert (told["Description"], told["Actions"]) == ("new", [{"CrawlerName": line.at("b")}])
    line.glue.start_trigger(Name=name)
    until(lambda: line.crawls("b") == ["COMPLETED"], "the crawl of b")
    line.glue.delete_trigger(Name=name)
    gone = ("EntityNotFoundException", f"Trigger {name} not found.")
    assert refusal(line.glue.get_trigger, Name=name) == gone
    assert refusal(line.glue.start_trigger, Name=name) == gone


def test_deleting_a_workflow_deletes_its_triggers(line: Line) -> None:
    workflow = line.workflow()
    name = line.trigger("go", "a", WorkflowName=workflow)

    line.glue.delete_workflow(Name=workflow)

    assert refusal(line.glue.get_trigger, Name=name)[0] == "EntityNotFoundException"


CRAWL: Any = {"CrawlerName": "c"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Type": "SCHEDULED", "Actions": [CRAWL]}, "Schedule cannot be empty for a SCHEDULED trigger"),
        ({"Type": "CONDITIONAL", "Actions": [CRAWL]},
         "Predicate cannot be empty for a CONDITIONAL trigger"),
        ({"Type": "ON_DEMAND", "Actions": []}, "Actions cannot be empty"),
        ({"Type": "ON_DEMAND", "Actions": [{"Timeout": 1}]},
         "An action has either JobName or CrawlerName"),
        ({"Type": "ON_DEMAND", "Actions": [CRAWL] * 3}, "A trigger can start at most 2 crawlers"),
        ({"Type": "SCHEDULED", "Actions": [CRAWL], "Schedule": "cron(x)"},
         "Invalid Schedule cron expression: cron(x): it has 1 fields in cron(...), expected 6"),
    ],
)  # fmt: skip
def test_invalid_triggers_are_refused(line: Line, given: dict[str, Any], message: str) -> None:
    found = refusal(line.glue.create_trigger, Name=line.at("t"), **given)

    assert found == ("InvalidInputException", message)


def test_a_workflow_without_a_start_is_refused(line: Line) -> None:
    workflow = line.workflow()

    assert refusal(line.glue.start_workflow_run, Name=workflow) == (
        "InvalidInputException",
        f"Workflow {workflow} has no trigger that starts it",
    )


def test_event_triggers_and_graphs_are_refused(line: Line) -> None:
    workflow = line.workflow()

    event = refusal(line.glue.create_trigger, Name="e", Type="EVENT", Actions=[CRAWL])
    graph = refusal(line.glue.get_workflow, Name=workflow, IncludeGraph=True)

    rest = (
        " is not in the local plane: it would need AWS itself\n"
        "  docs/local-plane.md lists what is real, what is recorded only and what is refused"
    )
    assert event == (
        "NotSupportedByLocalPlane",
        f"glue.CreateTrigger: a trigger of type EVENT{rest}",
    )
    assert graph == ("NotSupportedByLocalPlane", f"glue.GetWorkflow: IncludeGraph{rest}")
