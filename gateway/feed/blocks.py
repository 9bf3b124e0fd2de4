"""What goes over the wire: blocks of server-sent events. Pure.

A block that only has an id makes no event, but moves where a browser resumes: so who follows a quiet subject does not come back from
far behind.
"""

from readmodel.feed import Point, Told

RETRY_MILLISECONDS = 2000


def opening(point: Point | None) -> bytes:
    """The first block: when to come again, and where from, if nothing else comes."""
    return b"retry: %d\n%s\n" % (RETRY_MILLISECONDS, _where(point))


def event(told: Told) -> bytes:
    """One event."""
    name = told.name.replace("\n", " ").replace("\r", " ").encode()
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (_text(told.point), name, told.body)


def heartbeat(point: Point | None) -> bytes:
    """A comment, and how far this follower is."""
    return b":\n%s\n" % _where(point)


def missed(point: Point) -> bytes:
    """Changes that are no longer kept lay between where the follower was and this point."""
    return b'id: %s\nevent: reset\ndata: {"detail":"changes were missed; read anew what you show"}\n\n' % _text(point)


def _where(point: Point | None) -> bytes:
    return b"" if point is None else b"id: %s\n" % _text(point)


def _text(point: Point) -> bytes:
    return str(point).encode()
