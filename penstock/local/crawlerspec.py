"""A crawler's definition: what CreateCrawler and UpdateCrawler take, checked, as a crawl uses it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.errors import InputError
from penstock.local.crawler.changes import Policy
from penstock.local.crawler.classify import CustomClassifier
from penstock.local.crawler.crawl import SAMPLED_FILES, Scope
from penstock.local.crawler.globs import excluder
from penstock.local.schedules import Cron
from penstock.local.wire import AwsError

__all__ = ["Spec", "refused"]

MAX_TABLE_PREFIX_CHARS = 128
MAX_SAMPLE_FILES = 249
NEW_FOLDERS = "CRAWL_NEW_FOLDERS_ONLY"
CONFIGURATION: Mapping[str, Any] = {
    "Version": (1, 1.0),
    "CrawlerOutput": {
        "Partitions": {"AddOrUpdateBehavior": ("InheritFromTable",)},
        "Tables": {"AddOrUpdateBehavior": ("MergeNewColumns",), "TableThreshold": int},
    },
    "Grouping": {
        "TableGroupingPolicy": ("CombineCompatibleSchemas",),
        "TableLevelConfiguration": int,
    },
    "CreatePartitionIndex": bool,
}


def refused(operation: str, what: str) -> AwsError:
    """Return the error for what AWS can do and the plane cannot."""
    return AwsError(
        "NotSupportedByLocalPlane",
        f"glue.{operation}: {what} is not in the local plane: it would need AWS itself\n"
        "  docs/local-plane.md lists what is real, what is recorded only and what is refused",
        status=501,
    )


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidInputException", message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """A checked definition.

    Attributes:
        name: Of the crawler.
        database: Where tables go.
        targets: S3 targets, as the API has them.
        classifiers: Names of custom ones.
        prefix: Of table names.
        update: SchemaChangePolicy.
        delete: SchemaChangePolicy.
        only_new: RecrawlPolicy CRAWL_NEW_FOLDERS_ONLY.
        configuration: Parsed.
        schedule: Of it, or None.
    """

    name: str
    database: str
    targets: tuple[Mapping[str, Any], ...]
    classifiers: tuple[str, ...]
    prefix: str
    update: Any
    delete: Any
    only_new: bool
    configuration: Mapping[str, Any]
    schedule: Cron | None

    @classmethod
    def read(cls, body: Mapping[str, Any], operation: str = "CreateCrawler") -> Spec:
        """Return a definition.

        Raises:
            AwsError: It is invalid as Glue says, or asks for what the plane has not.
        """
        recrawl = (body.get("RecrawlPolicy") or {}).get("RecrawlBehavior", "CRAWL_EVERYTHING")
        if recrawl == "CRAWL_EVENT_MODE":
            raise refused(operation, "RecrawlBehavior CRAWL_EVENT_MODE")
        policy = body.get("SchemaChangePolicy") or {}
        only_new = recrawl == NEW_FOLDERS
        fallback = ("LOG", "LOG") if only_new else ("UPDATE_IN_DATABASE", "DEPRECATE_IN_DATABASE")
        update = policy.get("UpdateBehavior", fallback[0])
        delete = policy.get("DeleteBehavior", fallback[1])
        if only_new and (update, delete) != ("LOG", "LOG"):
            raise _invalid(
                'The SchemaChangePolicy for "Crawl new folders only" Amazon S3 target can have only '
                "LOG DeleteBehavior value and LOG UpdateBehavior value."
            )
        schedule = _schedule_of(body)
        prefix = body.get("TablePrefix") or ""
        if len(prefix) > MAX_TABLE_PREFIX_CHARS:
            raise _invalid(f"TablePrefix has {len(prefix)} characters, expected at most 128")
        return cls(
            name=body["Name"],
            database=body.get("DatabaseName") or "default",
            targets=_targets(body.get("Targets") or {}, operation),
            classifiers=tuple(body.get("Classifiers") or ()),
            prefix=prefix,
            update=update,
            delete=delete,
            only_new=only_new,
            configuration=_configuration(body.get("Configuration")),
            schedule=Cron.parse(schedule) if schedule else None,
        )

    @property
    def roots(self) -> tuple[str, ...]:
        """Include paths, without a slash at their ends."""
        return tuple(target["Path"].rstrip("/") for target in self.targets)

    def scope(self, target: Mapping[str, Any], classifiers: Sequence[CustomClassifier]) -> Scope:
        """Return how one target is crawled."""
        grouping = self.configuration.get("Grouping", {})
        return Scope(
            root=target["Path"].rstrip("/"),
            exclusions=tuple(target.get("Exclusions") or ()),
            classifiers=tuple(classifiers),
            sample=int(target.get("SampleSize") or SAMPLED_FILES),
            combine="TableGroupingPolicy" in grouping,
            prefix=self.prefix,
            table_level=grouping.get("TableLevelConfiguration"),
        )

    def policy(self, *, run_id: str, now_ms: int) -> Policy:
        """Return what a crawl may change."""
        output = self.configuration.get("CrawlerOutput", {})
        exclusions = [pattern for each in self.targets for pattern in each.get("Exclusions") or ()]
        return Policy(
            crawler=self.name,
            run_id=run_id,
            now_ms=now_ms,
            roots=self.roots,
            update=self.update,
            delete=self.delete,
            merge_new="AddOrUpdateBehavior" in output.get("Tables", {}),
            inherit="AddOrUpdateBehavior" in output.get("Partitions", {}),
            only_new=self.only_new,
            exclusions=json.dumps(exclusions, separators=(",", ":")) if exclusions else "",
        )


def _schedule_of(body: Mapping[str, Any]) -> str:
    """Return the expression; GetCrawler has it in a structure of its own."""
    given = body.get("Schedule") or ""
    return str(given.get("ScheduleExpression", "")) if isinstance(given, Mapping) else str(given)


def _targets(targets: Mapping[str, Any], operation: str) -> tuple[Mapping[str, Any], ...]:
    for kind, given in targets.items():
        if given and kind != "S3Targets":
            raise refused(operation, f"a target of {kind}")
    found = tuple(targets.get("S3Targets") or ())
    if not found:
        raise _invalid("Targets has no S3Targets, expected at least one")
    for each in found:
        path = each.get("Path") or ""
        if not path.startswith("s3://") or not path.removeprefix("s3://").strip("/"):
            raise _invalid(
                f"S3 target path is {path!r}, expected s3://bucket or s3://bucket/prefix"
            )
        sample = each.get("SampleSize")
        if sample is not None and not 1 <= sample <= MAX_SAMPLE_FILES:
            raise _invalid(f"SampleSize is {sample}, expected 1 to {MAX_SAMPLE_FILES}")
        if each.get("EventQueueArn") or each.get("DlqEventQueueArn"):
            raise refused(operation, "a target with an event queue")
        try:
            excluder(each.get("Exclusions") or ())
        except InputError as error:
            raise _invalid(str(error)) from error
    return found


def _configuration(text: str | None) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise _invalid(f"Configuration is no JSON: {error}") from None
    _check(parsed, CONFIGURATION, "Configuration")
    level = parsed.get("Grouping", {}).get("TableLevelConfiguration", 1)
    if level < 1:
        raise _invalid(
            f"Configuration.Grouping.TableLevelConfiguration is {level}, expected 1 or more"
        )
    if parsed.get("CreatePartitionIndex"):
        raise refused("CreateCrawler", "CreatePartitionIndex in Configuration")
    if "TableThreshold" in parsed.get("CrawlerOutput", {}).get("Tables", {}):
        raise refused("CreateCrawler", "TableThreshold in Configuration")
    return dict(parsed)


def _check(value: Any, allowed: Any, where: str) -> None:
    """Refuse keys and values that a Configuration does not have."""
    if isinstance(allowed, Mapping):
        if not isinstance(value, dict):
            raise _invalid(f"{where} is {value!r}, expected an object")
        for key, item in value.items():
            if key not in allowed:
                raise _invalid(f"{where} has {key!r}, expected one of {', '.join(allowed)}")
            _check(item, allowed[key], f"{where}.{key}")
    elif isinstance(allowed, tuple):
        if value not in allowed:
            raise _invalid(f"{where} is {value!r}, expected {allowed[0]!r}")
    elif type(value) is not allowed:
        noun = {int: "a whole number", bool: "true or false"}[allowed]
        raise _invalid(f"{where} is {value!r}, expected {noun}")
