"""Workgroups and prepared statements: where results go, what is enforced, what a query may read."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from penstock.local.site import Moto
from penstock.local.wire import AwsError, Call

__all__ = ["Workgroups"]

PRIMARY = "primary"
LEAST_CUTOFF_BYTES = 10_000_000


def _refused(message: str) -> AwsError:
    return AwsError("InvalidRequestException", message)


class Workgroups:
    """Workgroups by region; moto remembers that they are, this one what they say."""

    def __init__(self, moto: Moto) -> None:
        """Begin with what moto has."""
        self._moto = moto
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._prepared: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._lock = threading.RLock()

    def find(self, region: str, name: str) -> dict[str, Any]:
        """Return a workgroup as GetWorkGroup has it.

        Raises:
            AwsError: There is none.
        """
        with self._lock:
            found = self._known.get((region, name))
            if found is None:
                kept = self._moto.ask("athena", "GetWorkGroup", region=region, WorkGroup=name)
                if not kept.get("WorkGroup"):
                    raise _refused(f"WorkGroup {name} is not found.")
                found = self._known[region, name] = kept["WorkGroup"]
            return found

    def create(self, call: Call) -> dict[str, Any]:
        """Make a workgroup."""
        _checked(call.body.get("Configuration") or {})
        self._moto.forward(call)
        made = self.find(call.region, call.body["Name"])
        made["Configuration"].setdefault("ResultConfiguration", {})
        return {}

    def get(self, call: Call) -> dict[str, Any]:
        """Answer GetWorkGroup."""
        return {"WorkGroup": self.find(call.region, call.body["WorkGroup"])}

    def list(self, call: Call) -> dict[str, Any]:
        """Answer ListWorkGroups."""
        listed = self._moto.forward(call)["WorkGroups"]
        names = ("Name", "State", "Description", "CreationTime")
        found = [self.find(call.region, each["Name"]) for each in listed]
        return {"WorkGroups": [{n: each[n] for n in names if n in each} for each in found]}

    def update(self, call: Call) -> dict[str, Any]:
        """Change a workgroup."""
        body = call.body
        with self._lock:
            found = self.find(call.region, body["WorkGroup"])
            changes = dict(body.get("ConfigurationUpdates") or {})
            _checked(changes)
            results = dict(changes.pop("ResultConfigurationUpdates", None) or {})
            configuration = found["Configuration"]
            kept = configuration.setdefault("ResultConfiguration", {})
            for name in [name for name in results if name.startswith("Remove")]:
                if results.pop(name):
                    kept.pop(name.removeprefix("Remove"), None)
            kept |= results
            if changes.pop("RemoveBytesScannedCutoffPerQuery", False):
                configuration.pop("BytesScannedCutoffPerQuery", None)
            configuration |= changes
            for name in ("Description", "State"):
                if name in body:
                    found[name] = body[name]
        return {}

    def delete(self, call: Call) -> dict[str, Any]:
        """Drop a workgroup; its executions stay."""
        name = call.body["WorkGroup"]
        if name == PRIMARY:
            raise _refused("The primary workgroup cannot be deleted.")
        with self._lock:
            self.find(call.region, name)
            held = [key for key in self._prepared if key[:2] == (call.region, name)]
            if held and not call.body.get("RecursiveDeleteOption"):
                raise _refused(f"WorkGroup {name} is not empty")
            for key in held:
                del self._prepared[key]
            del self._known[call.region, name]
            self._moto.forward(call)
        return {}

    # ------------------------------------------------------------ prepared statements

    def prepare(self, region: str, workgroup: str, name: str, **more: Any) -> None:
        """Keep a prepared statement.

        Raises:
            AwsError: There is one of this name.
        """
        self.find(region, workgroup)
        with self._lock:
            if (region, workgroup, name) in self._prepared:
                raise _refused(f"PreparedStatement {name} already exists in WorkGroup {workgroup}")
            self._prepared[region, workgroup, name] = {
                "StatementName": name,
                "WorkGroupName": workgroup,
                "LastModifiedTime": time.time(),
                **more,
            }

    def prepared(self, region: str, workgroup: str, name: str) -> dict[str, Any]:
        """Return a prepared statement.

        Raises:
            AwsError: There is none.
        """
        with self._lock:
            found = self._prepared.get((region, workgroup, name))
        if found is None:
            raise AwsError(
                "ResourceNotFoundException",
                f"PreparedStatement {name} was not found in workGroup {workgroup}",
            )
        return found

    def create_prepared(self, call: Call) -> dict[str, Any]:
        """Answer CreatePreparedStatement."""
        body = call.body
        more = {"QueryStatement": body["QueryStatement"], **_described(body)}
        self.prepare(call.region, body["WorkGroup"], body["StatementName"], **more)
        return {}

    def get_prepared(self, call: Call) -> dict[str, Any]:
        """Answer GetPreparedStatement."""
        found = self.prepared(call.region, call.body["WorkGroup"], call.body["StatementName"])
        return {"PreparedStatement": found}

    def update_prepared(self, call: Call) -> dict[str, Any]:
        """Answer UpdatePreparedStatement."""
        found = self.prepared(call.region, call.body["WorkGroup"], call.body["StatementName"])
        changes = {"QueryStatement": call.body["QueryStatement"], **_described(call.body)}
        with self._lock:
            found |= {**changes, "LastModifiedTime": time.time()}
        return {}

    def delete_prepared(self, call: Call) -> dict[str, Any]:
        """Answer DeletePreparedStatement."""
        name = call.body["StatementName"]
        self.forget(call.region, call.body["WorkGroup"], name)
        return {}

    def forget(self, region: str, workgroup: str, name: str) -> None:
        """Drop a prepared statement.

        Raises:
            AwsError: There is none.
        """
        self.prepared(region, workgroup, name)
        with self._lock:
            self._prepared.pop((region, workgroup, name), None)

    def list_prepared(self, call: Call) -> dict[str, Any]:
        """Answer ListPreparedStatements."""
        self.find(call.region, call.body["WorkGroup"])
        with self._lock:
            found = [
                {name: each[name] for name in ("StatementName", "LastModifiedTime")}
                for key, each in sorted(self._prepared.items())
                if key[:2] == (call.region, call.body["WorkGroup"])
            ]
        return {"PreparedStatements": found}


def _described(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"Description": body["Description"]} if "Description" in body else {}


def _checked(configuration: Mapping[str, Any]) -> None:
    cutoff = configuration.get("BytesScannedCutoffPerQuery")
    if cutoff is not None and cutoff < LEAST_CUTOFF_BYTES:
        raise _refused(
            f"BytesScannedCutoffPerQuery is {cutoff}, it must be at least {LEAST_CUTOFF_BYTES}"
        )
    managed = configuration.get("ManagedQueryResultsConfiguration") or {}
    if managed.get("Enabled"):
        raise _refused("the local plane has no managed query results: name an OutputLocation")
