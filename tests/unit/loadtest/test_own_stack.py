"""One stack after the other in one process."""

import os

import pytest

from loadtest.own_stack import environment


def test_what_a_stack_leaves_in_the_environment_is_gone_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_LEASE_SECONDS", "7")
    monkeypatch.delenv("HEADRACE_DATABASE_URL", raising=False)
    with environment({"HEADRACE_LEASE_SECONDS": "3"}):
        assert os.environ["HEADRACE_LEASE_SECONDS"] == "3"
        os.environ["HEADRACE_DATABASE_URL"] = "postgresql://gone"
    assert os.environ["HEADRACE_LEASE_SECONDS"] == "7"
    assert "HEADRACE_DATABASE_URL" not in os.environ
