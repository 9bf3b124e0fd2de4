"""Commands that bring up one stack after the other, at a small size, as from a shell."""

import pytest

from tests.acceptance.test_write_side_figures import ROLES, figures

pytestmark = pytest.mark.slow


async def test_what_a_setting_trades() -> None:
    sizes = ("--rounds", "1", "--rate", "40", "--duration", "3", "--burst", "600")
    code, found, told = await figures("loadtest.tuning", "HEADRACE_LINGER_SECONDS=0.05,0.5", *sizes)
    assert (code, found["faults"]) == (0, []), told
    assert [point["value"] for point in found["points"]] == ["0.05", "0.5"]
    assert all(point["burst_per_s"] > 0 and point["visible_p50_ms"] > 0 for point in found["points"])


async def test_growth_by_processes() -> None:
    code, found, told = await figures("loadtest.growth", "workers", "--points", "1,2", "--commands", "400", "--rounds", "1")
    assert (code, found["faults"]) == (0, []), told
    assert [point["at"] for point in found["points"]] == [1, 2]
    assert all(point["cpu_ms_by_role"].keys() == ROLES for point in found["points"])
