"""What goes over the wire: blocks of server-sent events. Pure.

A block that only has an id makes no event, but moves where a browser resumes: so who follows a quiet subject does not come back from
far behind.
"""

from readmodel.feed import Point, Told

RETRY_MILLISECONDS = 2000


def opening(point: Point) -> bytes:
    """The first block: when to come again, and where from, if nothing else comes."""
    return b"retry: %d\nid: %s\n\n" % (RETRY_MILLISECONDS, _text(point))


def event(told: Told) -> bytes:
    """One event."""
    name = told.name.replace("\n", " ").replace("\r", " ").encode()
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (_text(told.point), name, told.body)


def heartbeat(point: Point) -> bytes:
    """A comment, and how far this follower is."""
    return b":\nid: %s\n\n" % _text(point)


def missed(point: Point) -> bytes:
    """Changes that are no longer kept lay between where the follower was and this point."""
    return b'id: %s\nevent: reset\ndata: {"detail":"changes were missed; read anew what you show"}\n\n' % _text(point)


def _text(point: Point) -> bytes:
    return str(point).encode()
