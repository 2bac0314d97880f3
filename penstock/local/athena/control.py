"""Athena's operations: they start queries, tell of them, and hand out their results."""

from __future__ import annotations

import base64
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from penstock.local.athena.executions import Execution, Executions
from penstock.local.athena.metadata import Metadata
from penstock.local.athena.workgroups import PRIMARY, Workgroups
from penstock.local.site import Handler, Site
from penstock.local.wire import AwsError, Call

if TYPE_CHECKING:
    from penstock.local.athena.statements import Statement

__all__ = ["Athena"]

AT_ONCE = 4
TIMEOUT_S = 30 * 60.0  # Athena's quota of DML
POLL_S = 0.1
LONGEST_QUERY = 262_144
MOST_ROWS = 1000
MOST_LISTED = 50


def _invalid(message: str, code: str = "INVALID_INPUT") -> AwsError:
    return AwsError("InvalidRequestException", message, AthenaErrorCode=code)


class Athena:
    """Athena on a site."""

    name = "athena"

    def __init__(self, site: Site, *, timeout_s: float = TIMEOUT_S) -> None:
        """Prepare; heavy imports wait for the first query."""
        self.site = site
        self._timeout_s = timeout_s
        self.executions = Executions()
        self.workgroups = Workgroups(site.moto)
        self.metadata = Metadata(site)
        self._slots = threading.Semaphore(AT_ONCE)

    def operations(self) -> Mapping[str, Handler]:
        """Return what this answers."""
        groups, metadata = self.workgroups, self.metadata
        return {
            "StartQueryExecution": self.start,
            "GetQueryExecution": self.get,
            "BatchGetQueryExecution": self.batch_get,
            "ListQueryExecutions": self.list,
            "StopQueryExecution": self.stop_query,
            "GetQueryResults": self.results,
            "GetQueryRuntimeStatistics": self.runtime,
            "CreateWorkGroup": groups.create,
            "GetWorkGroup": groups.get,
            "ListWorkGroups": groups.list,
            "UpdateWorkGroup": groups.update,
            "DeleteWorkGroup": groups.delete,
            "CreatePreparedStatement": groups.create_prepared,
            "GetPreparedStatement": groups.get_prepared,
            "UpdatePreparedStatement": groups.update_prepared,
            "DeletePreparedStatement": groups.delete_prepared,
            "ListPreparedStatements": groups.list_prepared,
            "GetDatabase": metadata.database,
            "ListDatabases": metadata.databases,
            "GetTableMetadata": metadata.table,
            "ListTableMetadata": metadata.tables,
        }

    def stop(self) -> None:
        """End all queries."""
        for execution in self.executions.running():
            execution.stop_asked = True
            execution.interrupt()

    # ------------------------------------------------------------ queries

    def start(self, call: Call) -> dict[str, Any]:
        """Answer StartQueryExecution: parse, and run in a thread of its own."""
        body = call.body
        query = str(body.get("QueryString") or "")
        if not query.strip() or len(query) > LONGEST_QUERY:
            raise _invalid(
                f"QueryString has {len(query)} characters, 1 to {LONGEST_QUERY} are allowed"
            )
        group = self._group(call)
        configuration = self._configuration(group, body.get("ResultConfiguration") or {})
        context = dict(body.get("QueryExecutionContext") or {})
        if str(context.get("Catalog", "awsdatacatalog")).lower() != "awsdatacatalog":
            raise _invalid(
                f"the local plane has one catalog, AwsDataCatalog, not {context['Catalog']}"
            )
        parameters = tuple(str(each) for each in body.get("ExecutionParameters") or ())
        statement, parameters, database = self._parsed(call, query, parameters, context, group)
        made = str(uuid.uuid4())
        if token := body.get("ClientRequestToken"):
            known = self.executions.claimed(call.region, token, query, made)
            if known != made:
                return {"QueryExecutionId": known}
        execution = Execution(
            id=made,
            region=call.region,
            query=query,
            statement_type=statement.family,
            substatement=statement.word,
            workgroup=group["Name"],
            context=context,
            configuration=configuration,
            parameters=parameters,
        )
        self.executions.add(execution)
        run = self._prepared_run(execution, statement, database, group)
        self.site.spawn(f"athena-{made}", run)
        return {"QueryExecutionId": made}

    def _group(self, call: Call) -> dict[str, Any]:
        group = self.workgroups.find(call.region, call.body.get("WorkGroup") or PRIMARY)
        if group.get("State") == "DISABLED":
            raise _invalid(f"WorkGroup {group['Name']} is disabled.")
        return group

    def _configuration(self, group: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the ResultConfiguration that holds: the workgroup's, where it is enforced."""
        own = group["Configuration"].get("ResultConfiguration") or {}
        enforced = group["Configuration"].get("EnforceWorkGroupConfiguration", False)
        made = dict(own) if enforced and own.get("OutputLocation") else {**own, **given}
        location = str(made.get("OutputLocation") or "")
        if not location:
            raise _invalid(
                "No output location provided. An output location is required either through the "
                "Workgroup result configuration setting or as an API input."
            )
        if not location.startswith("s3://") or len(location) < 8:
            raise _invalid(f"outputLocation is not a valid S3 path: {location}")
        return {**made, "OutputLocation": location.rstrip("/") + "/"}

    def _parsed(
        self,
        call: Call,
        query: str,
        parameters: tuple[str, ...],
        context: Mapping[str, Any],
        group: Mapping[str, Any],
    ) -> tuple[Statement, tuple[str, ...], str]:
        """Return the statement to run, its parameters and its database; wrong SQL is refused here."""
        from penstock.local.athena.errors import QueryError
        from penstock.local.athena.statements import read

        database = str(context.get("Database") or "default").strip("`").lower()
        try:
            statement = read(query, database)
            if statement.kind == "execute":
                found = self.workgroups.prepared(call.region, group["Name"], statement.table)
                parameters = statement.values or parameters
                statement = read(found["QueryStatement"], database)
        except QueryError as error:
            code = "MALFORMED_QUERY" if error.kind == 1006 else "INVALID_INPUT"
            raise _invalid(error.message, code) from error
        return statement, parameters, database

    def _prepared_run(
        self, execution: Execution, statement: Statement, database: str, group: Mapping[str, Any]
    ) -> Any:
        from penstock.local.athena.catalog import Catalog
        from penstock.local.athena.meter import Meter
        from penstock.local.athena.task import Task

        meter = Meter(group["Configuration"].get("BytesScannedCutoffPerQuery"))
        execution.read = lambda: meter.bytes
        execution.interrupt = meter.end

        def started(engine: Any) -> None:
            execution.interrupt = engine.interrupt
            if execution.stop_asked:
                engine.interrupt()

        task = Task(
            id=execution.id,
            statement=statement,
            catalog=Catalog(self.site.moto, execution.region),
            database=database,
            output=execution.configuration["OutputLocation"],
            parameters=execution.parameters,
            meter=meter,
            folder=self.site.folder / "athena" / execution.id,
            may_place=not group["Configuration"].get("EnforceWorkGroupConfiguration", False),
            started=started,
        )
        return lambda: self._run(execution, task)

    def _run(self, execution: Execution, task: Any) -> None:
        while not self._slots.acquire(timeout=POLL_S):
            if execution.stop_asked or self.site.stopping.is_set():
                self._end(execution, "CANCELLED", "Query cancelled by user")
                return
        timer = threading.Timer(self._timeout_s, lambda: execution.interrupt())
        timer.daemon = True
        try:
            execution.started_s = time.time()
            execution.state = "RUNNING"
            timer.start()
            self._work(execution, task)
        finally:
            timer.cancel()
            self._slots.release()

    def _work(self, execution: Execution, task: Any) -> None:
        from penstock.local.athena.errors import SYSTEM, QueryError
        from penstock.local.athena.run import run

        try:
            if execution.stop_asked:
                self._end(execution, "CANCELLED", "Query cancelled by user")
                return
            if task.statement.kind == "prepare":
                self._prepare(execution, task)
                return
            outcome = run(task)
        except QueryError as error:
            self._failed(execution, task, error)
            return
        except Exception:  # noqa: BLE001  the query failed by our fault: its user learns that, the log why
            traceback.print_exc(file=sys.stderr)
            fault = QueryError(
                "INTERNAL_ERROR: the local plane failed; its log has the cause", category=SYSTEM
            )
            self._failed(execution, task, fault)
            return
        execution.outcome = outcome
        execution.configuration = {
            **execution.configuration,
            "OutputLocation": outcome.location,
        }
        self._end(execution, "SUCCEEDED", "")

    def _failed(self, execution: Execution, task: Any, error: Any) -> None:
        if execution.stop_asked:
            self._end(execution, "CANCELLED", "Query cancelled by user")
        elif task.meter.failure is not None:
            self._end(execution, "CANCELLED", task.meter.failure.message)
        elif time.time() - execution.started_s >= self._timeout_s:
            self._end(execution, "FAILED", f"Query timeout: {self._timeout_s:g} s are over")
        else:
            execution.error = error.answer()
            self._end(execution, "FAILED", error.message)

    def _prepare(self, execution: Execution, task: Any) -> None:
        """Run PREPARE and DEALLOCATE PREPARE."""
        from penstock.local.athena.results import write_text
        from penstock.local.athena.task import Outcome

        statement, place = task.statement, (execution.region, execution.workgroup)
        try:
            if statement.word == "PREPARE":
                self.workgroups.prepare(*place, statement.table, QueryStatement=statement.query)
            else:
                self.workgroups.forget(*place, statement.table)
        except AwsError as error:
            self._end(execution, "FAILED", error.message)
            return
        location = f"{task.output}{task.id}.txt"
        write_text(location, (), ())
        execution.outcome = Outcome(location=location)
        execution.configuration = {**execution.configuration, "OutputLocation": location}
        self._end(execution, "SUCCEEDED", "")

    def _end(self, execution: Execution, state: str, reason: str) -> None:
        execution.reason, execution.ended_s = reason, time.time()
        execution.interrupt = lambda: None
        execution.state = state  # last: readers go by it

    def get(self, call: Call) -> dict[str, Any]:
        """Answer GetQueryExecution."""
        found = self.executions.get(call.region, call.body["QueryExecutionId"])
        return {"QueryExecution": found.answer()}

    def batch_get(self, call: Call) -> dict[str, Any]:
        """Answer BatchGetQueryExecution."""
        found, missing = [], []
        for name in call.body["QueryExecutionIds"]:
            try:
                found.append(self.executions.get(call.region, name).answer())
            except AwsError as error:
                missing.append(
                    {
                        "QueryExecutionId": name,
                        "ErrorCode": "INVALID_QUERY_EXECUTION_ID",
                        "ErrorMessage": error.message,
                    }
                )
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing}

    def list(self, call: Call) -> dict[str, Any]:
        """Answer ListQueryExecutions, the newest first."""
        group = self.workgroups.find(call.region, call.body.get("WorkGroup") or PRIMARY)
        names = [each.id for each in self.executions.newest(call.region, group["Name"])]
        most = int(call.body.get("MaxResults") or MOST_LISTED)
        token = call.body.get("NextToken")
        if token and token not in names:
            raise _invalid(f"NextToken {token!r} is not one of ours")
        first = names.index(token) if token else 0
        more = {"NextToken": names[first + most]} if len(names) > first + most else {}
        return {"QueryExecutionIds": names[first : first + most], **more}

    def stop_query(self, call: Call) -> dict[str, Any]:
        """Answer StopQueryExecution; a query that is over stays as it is."""
        execution = self.executions.get(call.region, call.body["QueryExecutionId"])
        if not execution.ended:
            execution.stop_asked = True
            execution.interrupt()
        return {}

    # ------------------------------------------------------------ results

    def _ended(self, call: Call) -> Execution:
        execution = self.executions.get(call.region, call.body["QueryExecutionId"])
        if not execution.ended:
            raise _invalid(
                f"Query has not yet finished. Current state: {execution.state}",
                "INVALID_QUERY_EXECUTION_STATE",
            )
        if execution.state != "SUCCEEDED":
            raise _invalid(
                f"Query did not finish successfully. Final query state: {execution.state}",
                "INVALID_QUERY_EXECUTION_STATE",
            )
        return execution

    def results(self, call: Call) -> dict[str, Any]:
        """Answer GetQueryResults: a page of rows, the first of a SELECT being its names."""
        from penstock.errors import PenstockError
        from penstock.local.athena.results import page, text_rows

        execution = self._ended(call)
        outcome = execution.outcome
        most = int(call.body.get("MaxResults") or MOST_ROWS)
        if not 1 <= most <= MOST_ROWS:
            raise _invalid(f"MaxResults is {most}, 1 to {MOST_ROWS} are allowed")
        width, at = len(outcome.columns), _token(call.body.get("NextToken"))
        rows: list[dict[str, Any]] = []
        following: int | None = None
        try:
            if outcome.has_rows:
                rows, following = page(outcome.location, at, most, width)
            elif outcome.location.endswith(".txt"):
                rows = text_rows(outcome.location, width)
                following = at + most if len(rows) > at + most else None
                rows = rows[at : at + most]
        except (PenstockError, OSError) as error:
            raise _invalid(
                f"Could not find results: {outcome.location}", "QUERY_RESULTS_NOT_FOUND"
            ) from error
        token = base64.b64encode(str(following).encode()).decode()
        return {
            "UpdateCount": outcome.updated,
            "ResultSet": {
                "Rows": rows,
                "ResultSetMetadata": {"ColumnInfo": list(outcome.columns)},
            },
            **({} if following is None else {"NextToken": token}),
        }

    def runtime(self, call: Call) -> dict[str, Any]:
        """Answer GetQueryRuntimeStatistics: what is known of it."""
        execution = self._ended(call)
        timeline = {
            name: value
            for name, value in execution.statistics().items()
            if name.endswith("InMillis")
        }
        return {
            "QueryRuntimeStatistics": {
                "Timeline": timeline,
                "Rows": {"InputBytes": execution.read(), "OutputRows": execution.outcome.updated},
            }
        }


def _token(given: str | None) -> int:
    if given is None:
        return 0
    try:
        return int(base64.b64decode(given, validate=True))
    except ValueError:
        raise _invalid(f"NextToken {given!r} is not one of ours") from None
