"""The projector "amqp" that dies by SIGKILL when the broker has confirmed a batch and before its positions are committed."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence

from runtime.settings import load
from workers import projector_amqp
from workers.amqp.exchange import Exchange
from workers.amqp.messages import EventMessage

_publish = Exchange.publish


async def _publish_and_die(self: Exchange, messages: Sequence[EventMessage]) -> Counter[str]:
    await _publish(self, messages)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("alive")


if __name__ == "__main__":
    Exchange.publish = _publish_and_die  # type: ignore[method-assign]
    sys.exit(projector_amqp.main(load()))
