"""How a long-lived process collects garbage: rarely, and never what was there when it began to serve.

The cyclic collector walks everything that lives; after start-up that is mostly modules and service models that never die, and under
load mostly envelopes and histories that hold no cycles. Reference counting frees those by itself.
"""

import gc
from typing import Final

YOUNG: Final = 50_000
"""Allocations before a young collection; Python's own 700 suits scripts."""


def settle() -> None:
    """Call once, when everything the process stands on is open."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
