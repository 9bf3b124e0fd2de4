"""What `headrace parked` is not asked for."""

import pytest

from headrace.cli import WRONG, main


@pytest.mark.parametrize(
    "words",
    [
        ["redrive"],
        ["discard"],
        ["discard", "--all"],
        ["redrive", "comment-1", "--all"],
        ["redrive", "--all", "--after", "x:1:y"],
        ["list", "--all"],
        ["list", "--most", "0"],
        ["list", "--after", "x"],
        ["list", "--after", "x:y:z"],
    ],
)
def test_wrong_use_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parked", *words, "--state", "/nowhere"]) == WRONG
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
