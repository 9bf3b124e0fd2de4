"""`GET /events`: changes as server-sent events, from now on or from where the caller was."""

from collections.abc import Callable
from typing import Final

from events.domain import Registry
from events.ids import is_id
from gateway.answers import Header, Stream, Write
from gateway.feed.following import Follower, Source
from gateway.feed.lines import Form, Subject, Wanted
from gateway.feed.tail import Tail
from gateway.outcomes import Notices
from gateway.problems import Problem, later, malformed
from gateway.requests import Request, stopping
from readmodel.feed import Point, parse_point
from readmodel.feed_reading import NEVER, POOL, Changes
from runtime.times import Micros, parse_rfc3339

MOST_FOLLOWERS: Final = 1000
FULL_SECONDS: Final = 5
"""Until one may try again where too many follow."""
LATEST: Final = parse_rfc3339("9999-12-31T00:00:00Z")
"""A later time might be none in another zone."""
HEADERS: Final[list[Header]] = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies of nginx's kind would hold events back
]


class Feed:
    """One a process; `run` in a task of its own."""

    def __init__(self, changes: Changes, notices: Notices, registry: Registry, most: int = MOST_FOLLOWERS) -> None:
        self.form = Form(registry)
        self._changes, self._most = changes, most
        self._tail = Tail(changes, notices, self.form)
        self._source = Source(self._tail, changes, self.form, POOL - 1)  # one connection is the tail's
        self._followers: set[Follower] = set()
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled."""
        await self._tail.run()

    def stop(self) -> None:
        """Every feed ends at once; its caller resumes elsewhere by its last id."""
        self._stopping = True
        for each in list(self._followers):
            each.end()

    def check_room(self) -> None:
        """Problems `unavailable`: too many, or about to stop."""
        if self._stopping:
            raise stopping()
        if len(self._followers) >= self._most:
            raise later("unavailable", "too many follow the feed at this gateway", FULL_SECONDS)

    async def follower(self, begin: Point | Micros | None, subject: Subject | None, abort: Callable[[], None]) -> Follower:
        """From an id, a time, or now on. Raises Retryable."""
        self.check_room()
        start, wanted, missed = await self._start(begin, subject)
        self.check_room()
        return Follower(self._source, start, wanted, missed=missed, abort=abort)

    async def _start(self, begin: Point | Micros | None, subject: Subject | None) -> tuple[Point, Wanted, bool]:
        horizon = await self._changes.horizon(careful=True)
        if isinstance(begin, Point):
            if begin.transaction <= horizon.next:
                return begin, Wanted(subject), False
            start = await self._changes.since(NEVER)  # of a database that is no more
            return start.point, Wanted(subject), True
        if begin is not None:
            start = await self._changes.since(begin)
            if begin < start.now:
                return start.point, Wanted(subject, begin), start.missed
        return Point(horizon.transaction), Wanted(subject), False

    async def answer(self, follower: Follower, write: Write, request: Request) -> None:
        """The body."""
        self._followers.add(follower)
        try:
            if self._stopping:
                return
            await follower.follow(write, request.gone)
        finally:
            self._followers.discard(follower)


class FeedRoute:
    """One route; without a feed it is switched off."""

    def __init__(self, feed: Feed | None) -> None:
        self._feed = feed

    async def get(self, request: Request) -> Stream:
        """Endless, but for HEAD."""
        feed = self._feed
        if feed is None:
            raise Problem("not_found", "the feed is switched off here")
        given = request.parameters(once=("since", *feed.form.names))
        begin, subject = _begin(request, given), _subject(given, feed.form.names)
        abort = request.scope.get("state", {}).get("abort", _nothing)
        follower = await feed.follower(begin, subject, abort)

        async def answer(write: Write) -> None:
            if request.scope["method"] != "HEAD":
                await feed.answer(follower, write, request)

        return Stream(200, list(HEADERS), answer)


def _begin(request: Request, given: dict[str, list[str]]) -> Point | Micros | None:
    """`Last-Event-ID` is newer than the address it is sent to."""
    last = request.header(b"last-event-id")
    if last:
        point = parse_point(last)
        if point is None:
            raise malformed("the header Last-Event-ID is no event's id of this feed")
        return point
    if "since" not in given:
        return None
    since = given["since"][0]
    point = parse_point(since)
    if point is not None:
        return point
    try:
        return min(max(NEVER, parse_rfc3339(since)), LATEST)
    except (ValueError, OverflowError):
        raise malformed("since must be an event's id or an RFC 3339 time with a zone") from None


def _subject(given: dict[str, list[str]], names: list[str]) -> Subject | None:
    subjects = [(name, given[name][0]) for name in names if name in given]
    if len(subjects) > 1:
        raise malformed(f"{' and '.join(name for name, _ in subjects)} exclude one another")
    if subjects and not is_id(subjects[0][1]):
        raise malformed(f"{subjects[0][0]} must be 1-128 of A-Za-z0-9._~-")
    return subjects[0] if subjects else None


def _nothing() -> None:
    """Where there is no connection of ours."""
