"""Every kind of corruption is found, named with its invariant and its stream, and nothing else is."""

from tests.integration.readmodel.audit.corruptions import CORRUPTIONS, Corruption
from tests.integration.readmodel.audit.ground import Ground


async def prepared(ground: Ground, wanted: list[Corruption]) -> None:
    whole = [each.name for each in wanted if each.prepare is None]
    await ground.live("healthy", *whole)
    for each in wanted:
        if each.prepare is not None:
            await each.prepare(ground, each.name)


async def stored(ground: Ground) -> dict[str, object]:
    """Everything an audit reads, by where it is."""
    found = await ground.everything()
    return {f"{where} {key}": value for where, rows in found.items() for key, value in rows.items()}


def test_there_are_more_than_twenty_kinds_in_every_store() -> None:
    names = [each.name for each in CORRUPTIONS]
    assert len(names) == len(set(names)) > 40
    assert {found[:2] for each in CORRUPTIONS for found in each.finds} == {"I2", "I3", "I4", "I5", "I6", "I7"}


async def test_every_kind_can_be_seeded_on_a_stack_that_was_whole(ground: Ground) -> None:
    await prepared(ground, CORRUPTIONS)
    for each in CORRUPTIONS:
        before = await stored(ground)
        await each.spoil(ground, each.name)
        after = await stored(ground)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert 1 <= len(changed) <= 6, each.name
        assert all(each.name in key for key in changed), each.name
