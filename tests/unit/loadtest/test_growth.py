"""What an axis of growth is made of, and how it is drawn."""

from collections import Counter
from xml.etree import ElementTree as ET

import pytest

from loadtest.growth.axes import Run, by_commands, by_heat, by_stored, by_streams, by_text, said
from loadtest.growth.plot import Panel, plot
from loadtest.growth.turns import Cost, against, middle

RUN = Run("grow1", 100)


def test_creations_reach_each_point_and_no_comment_is_created_twice() -> None:
    turns = by_commands(RUN, (1_000, 3_000))
    assert [turn.commands for turn in turns] == [1_000, 2_000]
    made = [command.data["comment_id"] for turn in turns for command in turn.given()]
    assert len(set(made)) == len(made) == 3_000
    assert made[0] == "grow1-100"


def test_what_is_stored_before_a_measured_turn_is_what_the_point_says() -> None:
    turns = by_stored(RUN, (1_000, 5_000), 400, 1)
    assert [(turn.label, turn.commands, turn.measured) for turn in turns] == [
        ("up to 1,000", 1_000, False), ("1,000", 400, True), ("up to 5,000", 3_600, False), ("5,000", 400, True)]  # fmt: skip
    made = [command.data["comment_id"] for turn in turns for command in turn.given()]
    assert len(set(made)) == len(made) == sum(turn.creates for turn in turns)


@pytest.mark.parametrize(("point", "least"), [(1, 1), (10, 10), (50, 48)])
def test_updates_go_to_so_many_streams(point: int, least: int) -> None:
    (turn,) = by_streams(RUN, (point,), 500, 0)
    hit = {command.data["comment_id"] for command in turn.given()}
    assert least <= len(hit) <= point
    assert turn.creates == 0


def test_no_command_of_one_round_is_one_of_another() -> None:
    ids = [command.id for number in range(3) for turn in by_streams(RUN, (1, 10), 50, number) for command in turn.given()]
    assert len(set(ids)) == len(ids) == 300


def test_no_update_repeats_a_text() -> None:
    texts = [command.data["text"] for number in range(3) for turn in by_streams(RUN, (1, 10), 50, number) for command in turn.given()]
    assert len(set(texts)) == len(texts)
    assert {len(text) for text in texts} == {200}


def test_a_share_of_the_updates_goes_to_one_comment() -> None:
    cold, half, hot = by_heat(RUN, (0, 50, 100), 1_000, 0)
    shares = [Counter(command.data["comment_id"] for command in turn.given())["grow1-0"] for turn in (cold, half, hot)]
    assert shares[0] < 40
    assert 400 < shares[1] < 620
    assert shares[2] == 1_000


def test_texts_are_as_long_as_asked() -> None:
    turns = by_text(RUN, (20, 10_000), 10)
    assert [{len(command.data["text"]) for command in turn.given()} for turn in turns] == [{20}, {10_000}]
    assert len(said(7)) == 7


def test_a_point_is_told_by_the_medians_of_its_rounds() -> None:
    costs = [
        Cost(rate, {"sqs.A": calls}, {"relay": cpu}, {"relay": 50.0}) for rate, calls, cpu in ((1, 9.0, 0.1), (3, 5.0, 0.3), (2, 7.0, 0.2))
    ]
    found = middle(costs)
    assert (found["per_s"], found["requests_per_1000_commands"], found["cpu_ms_per_command"]) == (2, 7.0, 0.2)
    assert (found["by_call"], found["cpu_ms_by_role"]) == ({"sqs.A": 7.0}, {"relay": 0.2})


def test_a_stack_is_held_against_another_round_by_round() -> None:
    ours = [Cost(10, {"sqs.A": calls}, {"relay": cpu}, {}) for calls, cpu in ((10.0, 0.2), (30.0, 0.3), (8.0, 0.4))]
    theirs = [Cost(20, {"sqs.A": 10.0}, {"relay": 0.1}, {}) for _ in range(3)]
    assert against(ours, theirs) == {"requests": 1.0, "cpu": 3.0, "per_s": 0.5}


def test_the_picture_has_every_point_of_every_series() -> None:
    drawn = plot("Growth & <cost>", "streams", ["1", "1,000"], [1, 1000], [Panel("CPU", {"all": [0.1, 0.3], "relay": [0.0, 0.1]})])
    root = ET.fromstring(drawn)
    circles = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert circles == [(0.0, 135.0), (300.0, 45.0), (0.0, 180.0), (300.0, 135.0)]
