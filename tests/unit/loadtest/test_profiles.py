"""Collapsed stacks summed by function, and medians of a setting's rounds."""

from loadtest.profiles import collapsed
from loadtest.tuning import FIGURES, middle, table

STACKS = [
    "main (/x/site-packages/uvloop/loop.py:5);work (/home/me/workers/a.py:10);send (/home/me/workers/a.py:20) 7",
    "main (/x/site-packages/uvloop/loop.py:6);work (/home/me/workers/a.py:11) 2",
    "main (/x/site-packages/uvloop/loop.py:6);work (/home/me/workers/a.py:11);work (/home/me/workers/a.py:12) 1",
    "not a stack",
]


def test_a_function_counts_once_a_stack_whatever_the_line() -> None:
    found = collapsed(STACKS)
    assert found.samples == 10
    assert {name.partition(" ")[0]: count for name, count in found.alone.items()} == {"send": 7, "work": 3}
    assert {name.partition(" ")[0]: count for name, count in found.within.items()} == {"main": 10, "work": 10, "send": 7}


def test_paths_are_told_from_the_package_on() -> None:
    assert all("/x/" not in name for name in collapsed(STACKS).within)
    assert "main (uvloop/loop.py)" in collapsed(STACKS).within


def test_a_setting_is_told_by_medians() -> None:
    rounds = [dict.fromkeys(FIGURES, value) for value in (3.0, 1.0, 2.0)]
    assert middle(rounds) == dict.fromkeys(FIGURES, 2.0)
    told = table({"setting": "HEADRACE_X", "points": [{"value": "1"} | middle(rounds)]})
    assert told.splitlines()[0].startswith("| `HEADRACE_X` | 202, p50 ms |")
    assert told.splitlines()[2] == "| `1` " + "| 2 " * len(FIGURES) + "|"
