"""A state folder for a stack of a test's own, removed with what lies outside of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.local.clean import clean


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    state = tmp_path / "state"
    yield state
    clean(state)
