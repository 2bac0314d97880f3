"""Schedules: what they allow, and when they fire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.local import Plane
from penstock.local.front import Front
from penstock.local.glue import Glue
from penstock.local.schedules import Cron, Scheduler
from penstock.local.site import Moto, Site
from penstock.local.triggers import Triggers
from penstock.local.wire import AwsError

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("expression", "when", "expected"),
    [
        ("cron(0 12 * * ? *)", NOON, True),
        ("cron(0 12 * * ? *)", NOON + timedelta(minutes=1), False),
        ("cron(0/15 * * * ? *)", NOON + timedelta(minutes=45), True),
        ("cron(0/15 * * * ? *)", NOON + timedelta(minutes=46), False),
        ("cron(5-7,30 * * * ? *)", NOON + timedelta(minutes=6), True),
        ("cron(0 12 ? * MON-FRI *)", NOON, True),
        ("cron(0 12 ? * SUN,SAT *)", NOON, False),
        ("cron(0 12 ? * 2 *)", NOON, True),
        ("cron(0 12 2 MAR ? 2026)", NOON, True),
        ("cron(0 12 2 MAR ? 2027)", NOON, False),
        ("cron(*/30 8-18/2 ? * * *)", NOON, True),
    ],
)
def test_expressions(expression: str, when: datetime, expected: bool) -> None:
    assert Cron.parse(expression).matches(when) is expected


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("rate(5 minutes)", "it has 0 fields in cron(...), expected 6"),
        ("cron(0 12 * * ?)", "it has 5 fields in cron(...), expected 6"),
        ("cron(0 12 * * * *)", "expected ? for either the day of month or the day of week"),
        ("cron(60 12 * * ? *)", "its field minutes is '60', expected 0 to 59"),
        ("cron(9-5 12 * * ? *)", "its field minutes is '9-5', expected 0 to 59"),
        ("cron(0 12 L * ? *)",
         "its field day of month is 'L', expected 1 to 31, lists, ranges and steps of them"),
        ("cron(0 12 ? * FRI#2 *)",
         "its field day of week is 'FRI#2', expected 1 to 7, lists, ranges and steps of them"),
        ("cron(*/0 12 * * ? *)",
         "its field minutes is '*/0', expected 0 to 59, lists, ranges and steps of them"),
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(expression: str, problem: str) -> None:
    with pytest.raises(AwsError) as caught:
        Cron.parse(expression)

    assert caught.value.code == "InvalidInputException"
    assert caught.value.message == f"Invalid Schedule cron expression: {expression}: {problem}"


@given(st.integers(0, 59), st.integers(0, 23), st.integers(0, 3000))
def test_a_daily_schedule_matches_one_minute_a_day(minute: int, hour: int, day: int) -> None:
    cron = Cron.parse(f"cron({minute} {hour} * * ? *)")
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)

    minutes = [start + timedelta(minutes=each) for each in range(24 * 60)]

    assert [each for each in minutes if cron.matches(each)] == [
        start.replace(hour=hour, minute=minute)
    ]


def test_it_fires_once_for_each_schedule_that_came_due(tmp_path: Path) -> None:
    site = Site(tmp_path, "http://127.0.0.1:1", Moto(None))
    fired: list[str] = []
    scheduler = Scheduler(site, "test")
    now = datetime.now(UTC) + timedelta(hours=1)  # later than the thread itself will look
    ahead = f"cron({now.minute} {now.hour} * * ? *)"
    try:
        scheduler.put("a", Cron.parse(ahead), lambda: fired.append("a"))
        scheduler.put("b", Cron.parse(ahead), lambda: fired.append("b"))
        scheduler.drop("b")
        scheduler.drop("never there")

        counts = [
            scheduler.tick(now),
            scheduler.tick(now),
            scheduler.tick(now + timedelta(minutes=1)),
        ]
    finally:
        site.stop()

    assert (counts, fired) == ([1, 0, 0], ["a"])


def test_a_machine_that_slept_fires_once(tmp_path: Path) -> None:
    site = Site(tmp_path, "http://127.0.0.1:1", Moto(None))
    fired: list[int] = []
    scheduler = Scheduler(site, "test")
    try:
        scheduler.put("a", Cron.parse("cron(* * * * ? *)"), lambda: fired.append(1))
        scheduler.tick(datetime.now(UTC) + timedelta(days=2))
    finally:
        site.stop()

    assert fired == [1]


def test_crawlers_and_triggers_start_when_they_are_due(plane: Plane, tmp_path: Path) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    app = DomainDispatcherApplication(create_backend_app)
    site = Site(tmp_path, plane.endpoint, Moto(app))
    glue, triggers = Glue(site), Triggers(site)
    site.front = Moto(Front(app, (glue, triggers), site.regions))
    ahead = datetime.now(UTC) + timedelta(hours=1)
    due = f"cron({ahead.minute} {ahead.hour} * * ? *)"

    def ask(operation: str, **body: Any) -> dict[str, Any]:
        return site.front.ask("glue", operation, region="us-east-1", **body)

    def crawls(name: str) -> int:
        return len(ask("ListCrawls", CrawlerName=name)["Crawls"])

    for name, more in (("timed", {"Schedule": due}), ("triggered", {}), ("off", {"Schedule": due})):
        targets = {"S3Targets": [{"Path": "s3://no-such-bucket-here/"}]}
        ask("CreateCrawler", Name=name, Role="r", DatabaseName="d", Targets=targets, **more)
    ask("StopCrawlerSchedule", CrawlerName="off")
    actions = [{"CrawlerName": "triggered"}]
    ask("CreateTrigger", Name="t", Type="SCHEDULED", Schedule=due, Actions=actions)
    assert triggers.schedules.tick(ahead) == 0
    ask("StartTrigger", Name="t")
    try:
        fired = [glue.schedules.tick(ahead), triggers.schedules.tick(ahead + timedelta(days=1))]

        assert fired == [1, 1]
        assert [crawls("timed"), crawls("triggered"), crawls("off")] == [1, 1, 0]
    finally:
        site.stop()
