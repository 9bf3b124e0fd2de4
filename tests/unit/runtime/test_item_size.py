"""AWS's published rules for an item's size and for units, with its own examples where it gives some."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.item_size import item_size, number_size, read_units, write_units

KB = 1024


@pytest.mark.parametrize(
    ("number", "size"),
    [
        ("0", 1),
        ("7", 2),
        ("42", 2),
        ("123", 3),
        ("1234", 3),
        ("1200", 2),
        ("-42", 2),
        ("0.050", 2),
        ("10.01", 3),
        ("1.5e10", 2),
        ("9" * 38, 20),
    ],
)
def test_a_number_takes_a_byte_for_two_significant_digits_and_one_more(number: str, size: int) -> None:
    assert number_size(number) == size


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "héllo 😀"}, 11),
        ({"S": ""}, 0),
        ({"B": b"\0\1\2"}, 3),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"SS": ["ab", "é"]}, 4),
        ({"NS": ["1", "123"]}, 5),
        ({"BS": [b"12", b"3"]}, 3),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}, {"L": []}]}, 3 + 1 + 2 + 1 + 3),
        ({"M": {}}, 3),
        ({"M": {"ab": {"N": "12"}}}, 3 + 1 + 2 + 2),
    ],
)
def test_an_attribute_takes_its_name_and_its_value(value: dict[str, object], size: int) -> None:
    assert item_size({"naïve": value}) == len("naïve".encode()) + size


def test_what_dynamodb_does_not_know_is_refused() -> None:
    with pytest.raises(KeyError):
        item_size({"a": {"X": 1}})


@pytest.mark.parametrize(("size", "units"), [(0, 1), (1, 1), (KB, 1), (KB + 1, 2), (3 * KB, 3), (400 * KB, 400)])
def test_a_write_unit_for_each_kilobyte_begun(size: int, units: int) -> None:
    assert write_units(size) == units


@pytest.mark.parametrize(("size", "units"), [(0, 1), (4 * KB, 1), (4 * KB + 1, 2), (8 * KB, 2), (10 * KB, 3)])
def test_a_read_unit_for_each_four_kilobytes_begun_and_half_when_eventually_consistent(size: int, units: int) -> None:
    assert read_units(size, consistent=True) == units
    assert read_units(size, consistent=False) == units / 2


@given(st.integers(1, 10**18))
def test_zeros_at_the_ends_take_nothing(number: int) -> None:
    assert number_size(f"00{number}") == number_size(str(number)) == number_size(f"{number}000") == number_size(f"0.00{number}")
