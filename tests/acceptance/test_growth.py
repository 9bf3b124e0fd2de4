"""The axes of growth at a small size, as from a shell."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.acceptance.stack import Live, stack_up
from tests.acceptance.test_write_side_figures import ROLES, figures

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("axis", "points", "stored"),
    [
        ("commands", "300,900", 1_400),
        ("stored", "300,900", 1_600),
        ("streams", "1,200", 700),
        ("heat", "0,100", 800),
        ("text", "20,10000", 900),
    ],
)
async def test_an_axis_is_measured_and_drawn(live: Live, tmp_path: Path, axis: str, points: str, stored: int) -> None:
    picture = tmp_path / "axis.svg"
    sizes = ("--points", points, "--commands", "200", "--rounds", "1", "--streams", "300", "--svg", str(picture))
    code, found, told = await figures("loadtest.growth", axis, "--state", str(live.folder), *sizes)
    assert (code, found["faults"], found["stored"]) == (0, [], stored), told
    assert [point["at"] for point in found["points"]] == [float(each) for each in points.split(",")]
    for point in found["points"]:
        assert point["cpu_ms_by_role"].keys() == ROLES
        assert min(point["per_s"], point["requests_per_1000_commands"], point["cpu_ms_per_command"]) > 0
    assert len(list(ET.parse(picture).iter("{http://www.w3.org/2000/svg}circle"))) > 4
    assert told.count("\n|") >= 3


async def test_a_stack_that_grows_is_held_against_one_that_does_not(live: Live, tmp_path: Path) -> None:
    async with stack_up(tmp_path / "small", {}) as small:
        words = (
            "--points",
            "900",
            "--commands",
            "200",
            "--rounds",
            "2",
            "--trail",
            "1",
            "--state",
            str(live.folder),
            "--beside",
            str(small.folder),
        )
        code, found, told = await figures("loadtest.growth", "stored", *words)
    assert (code, found["faults"], found["stored"]) == (0, [], 1_800), told
    assert min(found["points"][0]["beside"].values()) > 0
    assert "times its CPU" in told
