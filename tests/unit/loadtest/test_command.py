"""`headrace load` asked for what makes no sense: said in one line, before anything is done."""

from argparse import ArgumentParser

import pytest

from headrace.errors import WrongUse
from loadtest.command import arguments, main


@pytest.mark.parametrize(
    "words",
    [
        ("--rate", "fast"),
        ("--rate", "0"),
        ("--mix", "create=0"),
        ("--mix", "eat=1"),
        ("--duration", "0"),
        ("--text", "-1"),
        ("--search", "1"),
        ("--settle", "-1"),
    ],
)
def test_wrong_use(words: tuple[str, ...]) -> None:
    parser = ArgumentParser()
    parser.add_argument("--state")
    arguments(parser)
    with pytest.raises(WrongUse) as wrong:
        main(parser.parse_args(words))
    assert words[0] in str(wrong.value)
    assert len(str(wrong.value).splitlines()) == 1
