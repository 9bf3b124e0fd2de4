"""What a role logs, seen from outside: loggers are made when modules are imported, before the form is known."""

import json
import subprocess
import sys

SPEAK = """
from runtime import logs
early = logs.get("consumer")
logs.configure({form!r}, "relay")
early.warning("said", action="test", number=7, theirs="a\\nb\\x1b[31m", ansi="\\x1b[31m")
early.debug("quiet", action="test")
"""


def _said(form: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", SPEAK.format(form=form)], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_a_logger_made_before_configuring_speaks_the_configured_form() -> None:
    out, err = _said("json")
    assert out == ""
    line = json.loads(err)
    assert [line[key] for key in ("event", "action", "part", "role", "level")] == ["said", "test", "consumer", "relay", "warning"]
    assert (line["number"], line["theirs"]) == (7, "a\nb\x1b[31m")


def test_json_is_one_encoded_line_an_event() -> None:
    _, err = _said("json")
    assert err.count("\n") == 1
    assert "\x1b[31m" not in err


def test_debug_is_asked_for() -> None:
    _, err = _said("json:debug")
    assert "quiet" in err


def test_columns_for_people() -> None:
    out, err = _said("console")
    assert out == ""
    assert "consumer" in err
    assert err.count("\n") == 1
    assert "\x1b[31m" not in err
