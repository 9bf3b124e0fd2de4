"""The end of a subscription."""

import asyncio
from typing import cast

from readmodel.notices import Notices, listening
from tests.support.virtual_time import run_virtually


class Deaf:
    """Loses the first cancellations, as a library that is just connecting may."""

    def __init__(self, lost: int) -> None:
        self.lost = lost

    async def listen(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.lost -= 1
                if self.lost < 0:
                    raise


def test_a_listener_ends_though_its_cancellation_was_lost() -> None:
    async def main() -> int:
        deaf = Deaf(lost=2)
        async with asyncio.timeout(10), listening(cast(Notices, deaf)):
            await asyncio.sleep(1)
        return deaf.lost

    assert run_virtually(main()) == -1
