import pytest

from runtime.times import Micros, parse_rfc3339, rfc3339


@pytest.mark.parametrize("text", ["2026-01-31T23:59:59.000001Z", "2026-02-01t01:59:59.000001+02:00", "2026-01-31T23:59:59.000001z"])
def test_a_time_of_rfc_3339_is_read(text: str) -> None:
    assert rfc3339(parse_rfc3339(text)) == "2026-01-31T23:59:59.000001Z"


@pytest.mark.parametrize(
    "text",
    [
        "2999-W01-1T00:00:00Z", "2026-01-31T23:59:59+0000", "2026-01-31T23:59:59+00", "2026-01-31T23:59:59+00:00:30",
        "2026-01-31T23:59:59", "2026-01-31", "2026-01-31 23:59:59Z", "0000-01-01T00:00:00Z", "9999-12-31T24:00:00Z", "",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which words it uses is no contract
        parse_rfc3339(text)


def test_years_from_the_first_are_exact() -> None:
    assert parse_rfc3339(rfc3339(Micros(1))) == 1
