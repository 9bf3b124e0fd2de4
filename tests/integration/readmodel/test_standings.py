"""How far every projector is on given streams, as the reconciler asks for it."""

from sqlalchemy import text

from events.ids import MAX_VERSION
from readmodel.control import AMQP, BESIDE, PARKED, PUBLISHED
from readmodel.reconciling import STREAMS_A_SELECT, open_standings
from readmodel.schema import create_generation, set_current
from tests.integration.readmodel.conftest import House, write
from tests.unit.readmodel.commits import REGISTRY, broken, comment, delivery, history, stored


async def test_every_projector_is_as_far_as_it_says_and_a_parked_stream_owes_nobody(house: House) -> None:
    await write(house, *history(comment("all"), updates=2), *history(comment("parked")))
    await write(house, broken(comment("parked"), 2, 1, "[]"))
    ahead = history(comment("ahead"), updates=1)
    await stored(house.store, *ahead)
    await house.rds.handle([delivery(*ahead)])
    async with house.database.engine.begin() as connection:
        row = {"version": 2, "commit_first": 2, "head_id": "c2"}
        await connection.execute(PUBLISHED.insert(), [{"stream": comment("all"), **row}, {"stream": comment("amqp-parked"), **row}])
        parked = {"projector": AMQP, "stream": comment("amqp-parked"), "reason": "fork", "detail": "", "first_version": 3}
        known = {column.name for column in PARKED.columns}
        parked |= {"last_version": 3} if "last_version" in known else {}
        await connection.execute(PARKED.insert(), [{"generation": BESIDE, **parked}])
    async with open_standings(house.settings, REGISTRY, amqp=True) as standings:
        names = ("all", "parked", "ahead", "amqp-parked", "unknown")
        found = await standings.of([comment(each) for each in names])
        many = await standings.of([comment(n) for n in range(STREAMS_A_SELECT + 1)] + [comment("all")])
    assert {each: tuple(found[comment(each)].values()) for each in names} == {
        "all": (3, 3, 2),
        "parked": (MAX_VERSION, MAX_VERSION, 0),
        "ahead": (2, 0, 0),
        "amqp-parked": (0, 0, MAX_VERSION),
        "unknown": (0, 0, 0),
    }
    assert (len(many), many[comment("all")]) == (STREAMS_A_SELECT + 2, {"rds": 3, "cache": 3, "amqp": 2})


async def test_the_generation_that_queries_read_is_the_one_that_counts(house: House) -> None:
    await write(house, *history(comment(1)))
    async with open_standings(house.settings, REGISTRY, amqp=False) as standings:
        assert (await standings.of([comment(1)]))[comment(1)]["rds"] == 1
        async with house.database.engine.begin() as connection:
            await create_generation(connection, REGISTRY, 2)
            await set_current(connection, 2)
        assert (await standings.of([comment(1)]))[comment(1)]["rds"] == 0
        async with house.database.engine.begin() as connection:
            await connection.execute(text("INSERT INTO rds_2.positions VALUES ('cache', :stream, 1, 1, 'c1')"), {"stream": comment(1)})
        assert (await standings.of([comment(1)]))[comment(1)]["cache"] == 1
