"""Every kind of corruption is found, named with its invariant and its stream, and nothing else is."""

from headrace.audit.checking import audit
from headrace.audit.findings import Findings
from tests.integration.readmodel.audit.corruptions import CORRUPTIONS, Corruption, nothing
from tests.integration.readmodel.audit.ground import Ground, picture_of, stream_of


async def prepared(ground: Ground, wanted: list[Corruption]) -> None:
    whole = [each.name for each in wanted if each.prepare is None]
    await ground.live("healthy", *whole)


async def stored(ground: Ground) -> dict[str, object]:
    """Everything an audit reads, by where it is."""
    found = await ground.everything()
    return {f"{where} {key}": value for where, rows in found.items() for key, value in rows.items()}


def test_there_are_more_than_twenty_kinds_in_every_store() -> None:
    names = [each.name for each in CORRUPTIONS]
    assert len(names) == len(set(names)) > 40
    assert {found[:2] for each in CORRUPTIONS for found in each.finds} == {"I2", "I3", "I4", "I5", "I6", "I7"}


async def found(ground: Ground, settle: float = 0.5) -> tuple[Findings, set[str]]:
    """What an audit says, and the differences as `invariant name`."""
    findings = await audit(ground.house.settings, settle)
    return findings, {f"{each.invariant} {each.stream}" for each in findings.differences}


async def test_every_kind_is_found_and_nothing_else_is_on_a_stack_that_was_whole(ground: Ground) -> None:
    await prepared(ground, [each for each in CORRUPTIONS if each.prepare in (None, nothing)])
    clean, differences = await found(ground)
    assert (clean.ok, differences, clean.pending, clean.unnamed) == (True, set(), 0, 0)
    assert clean.checked == ("I2", "I3", "I4", "I5", "I6", "I7")
    assert clean.events == 4 * clean.streams > 100
    for each in CORRUPTIONS:
        if each.prepare not in (None, nothing):
            await each.prepare(ground, each.name)
        before = await stored(ground)
        await each.spoil(ground, each.name)
        after = await stored(ground)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert 1 <= len(changed) <= 6, each.name
        assert all(each.name in key for key in changed), each.name
    whole = await stored(ground)
    findings, differences = await found(ground)
    expected = {each.name: {named(kind, each.name) for kind in each.finds} for each in CORRUPTIONS}
    said = {
        name: {each for each in differences if each.split()[-1].removeprefix(ABOUT[each.split()[1] == "pictures"]) == name}
        for name in expected
    }
    assert said == expected
    assert differences == set().union(*expected.values())
    assert not findings.ok
    assert findings.parked == sum("parked" in each.name for each in CORRUPTIONS)
    assert findings.pending == sum("I4 S" in each.finds for each in CORRUPTIONS)
    assert await stored(ground) == whole  # nothing was mended


ABOUT = ("comment-", "picture-of-")


def named(kind: str, name: str) -> str:
    """`I6 P` of NAME as an audit says it."""
    invariant, what = kind.split()
    return f"{invariant} {stream_of(name) if what == 'S' else f'pictures {picture_of(name)}'}"
