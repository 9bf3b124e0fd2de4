"""Finds the handler of a path. Paths are split before they are percent-decoded, so `%2F` never makes a part into two."""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.answers import Answer, Stream
from gateway.requests import Request

Handler = Callable[[Request], Awaitable[Answer | Stream]]
PromptHandler = Callable[[Request], Awaitable[Answer]]


class Route(NamedTuple):
    """`path` has `{name}` where a part varies."""

    method: str
    path: str
    handler: Handler
    prompt: PromptHandler | None = None
    """The handler again when, unless its caller would wait, it awaits nothing but futures once the body is there: it needs no task."""


def prompt(method: str, path: str, handler: PromptHandler) -> Route:
    """A route that needs no task of its own."""
    return Route(method, path, handler, handler)


class Served(NamedTuple):
    """One method of a path."""

    handler: Handler
    named: tuple[str, ...]
    """Parts of the path that vary for it though they are named here."""
    prompt: PromptHandler | None


class Found(NamedTuple):
    """The route of one request that needs no task."""

    path: str
    handler: PromptHandler
    parts: tuple[str, ...]


class Place:
    """One path with its methods."""

    __slots__ = ("allow", "path", "served")

    def __init__(self, path: str) -> None:
        self.path = path
        self.served: dict[str, Served] = {}
        """By method."""
        self.allow = b""

    def add(self, method: str, served: Served) -> None:
        """GET answers HEAD too."""
        for each in (method, "HEAD") if method == "GET" else (method,):
            self.served.setdefault(each, served)
        self.allow = ", ".join(sorted(self.served)).encode()


class _Node:
    __slots__ = ("named", "place", "varying")

    def __init__(self) -> None:
        self.named: dict[str, _Node] = {}
        self.varying: _Node | None = None
        self.place: Place | None = None


class Table:
    """The routes as a tree of path parts; a named part goes before a varying one."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for part in route.path.split("/")[1:]:
                node = _child(node, part)
            node.place = node.place or Place(route.path)
            node.place.add(route.method, Served(route.handler, (), route.prompt))
        _share(self._root)

    def find(self, raw_path: bytes) -> tuple[Place | None, tuple[str, ...]]:
        """(the place, the varying parts); None when there is nothing at this path."""
        node, varying = self._root, []
        for part in raw_path.decode("latin-1").split("/")[1:]:
            child = node.named.get(part)
            if child is None:
                child = node.varying
                if child is None:
                    return None, ()
                varying.append(_decoded(part) if "%" in part or not part.isascii() else part)
            node = child
        return node.place, tuple(varying)


def _child(node: _Node, part: str) -> _Node:
    if part.startswith("{"):
        node.varying = node.varying or _Node()
        return node.varying
    return node.named.setdefault(part, _Node())


def _share(node: _Node) -> None:
    """A last part that is named takes the other methods of what it would have been had it varied: an id may be `batch`."""
    for part, child in node.named.items():
        if child.place and node.varying and node.varying.place:
            for method, served in node.varying.place.served.items():
                child.place.add(method, served._replace(named=(part,)))
    for child in [*node.named.values(), *([node.varying] if node.varying else [])]:
        _share(child)


def _decoded(part: str) -> str:
    return unquote_to_bytes(part).decode("utf-8", "replace")
