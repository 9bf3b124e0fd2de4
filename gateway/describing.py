"""`/openapi.json` and `/docs`: the API described, and a page of one file that shows it."""

from importlib.resources import files

from events.domain import Registry
from gateway.answers import ENCODER, JSON, Answer
from gateway.comments import description
from gateway.openapi import document
from gateway.requests import Request

_POLICY = b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"


class DescriptionRoutes:
    """Two routes; both answers are made once."""

    def __init__(self, registry: Registry) -> None:
        self._document = ENCODER.encode(document(registry, description.paths(), description.schemas()))
        self._page = files("gateway").joinpath("docs.html").read_bytes()

    async def openapi(self, request: Request) -> Answer:  # noqa: ARG002 - a handler's shape
        """The document."""
        return Answer(200, [JSON], self._document)

    async def page(self, request: Request) -> Answer:  # noqa: ARG002
        """The page; it loads the document and nothing else."""
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", _POLICY)]
        return Answer(200, headers, self._page)
