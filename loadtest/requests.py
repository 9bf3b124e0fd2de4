"""A command of the script as bytes on the wire. Pure."""

from typing import Final

from loadtest.script import Ask, Kind

_NAMES: Final = (b"create", b"update", b"delete")


class Requests:
    """`run` begins every key and every comment's id; `host` is what the header says."""

    def __init__(self, host: str, run: str) -> None:
        self._run = run.encode()
        self._tail = b" HTTP/1.1\r\nHost: %s\r\n" % host.encode()

    def comment(self, number: int) -> bytes:
        """A comment's id."""
        return b"%s-%d" % (self._run, number)

    def command(self, ask: Ask, *, wait: bool) -> bytes:
        """One post under its own key, by the friendly routes."""
        if ask.kind is Kind.CREATE:
            line = b"POST /pictures/%s/comments" % self._picture(ask)
            body = b'{"comment_id":"%s","text":"%s"}' % (self.comment(ask.number), ask.text)
        elif ask.kind is Kind.UPDATE:
            line, body = b"PATCH /comments/%s" % self.comment(ask.comment), b'{"text":"%s"}' % ask.text
        else:
            line, body = b"DELETE /comments/%s" % self.comment(ask.comment), b""
        headers = b"Idempotency-Key: %s-%d\r\nHeadrace-Actor: load-%d\r\n" % (self._run, ask.number, ask.author)
        if wait:
            headers += b"Prefer: wait=30\r\n"
        if body:
            headers += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        return line + self._tail + headers + b"\r\n" + body

    def read(self, comment: int, token: str, seconds: int = 10) -> bytes:
        """One comment, held to a token."""
        path = b"GET /comments/%s?after=%s&wait=%d" % (self.comment(comment), token.encode(), seconds)
        return path + self._tail + b"\r\n"

    def batch(self, asks: list[Ask]) -> bytes:
        """Many commands of one author in one request."""
        body = b"\n".join([self._line(ask) for ask in asks])
        headers = b"Headrace-Actor: load-%d\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n" % (asks[0].author, len(body))
        return b"POST /commands/batch" + self._tail + headers + b"\r\n" + body

    def message(self, ask: Ask) -> tuple[str, str, bytes]:
        """(routing key, message id, body) of the same command for the second door."""
        return f"comment.{_NAMES[ask.kind].decode()}", f"{self._run.decode()}-{ask.number}", b'{"data":%s}' % self._data(ask)

    def _line(self, ask: Ask) -> bytes:
        return b'{"name":"comment.%s","id":"%s-%d","data":%s}' % (_NAMES[ask.kind], self._run, ask.number, self._data(ask))

    def _data(self, ask: Ask) -> bytes:
        ident = self.comment(ask.comment)
        if ask.kind is Kind.CREATE:
            return b'{"comment_id":"%s","picture_id":"%s","text":"%s"}' % (ident, self._picture(ask), ask.text)
        if ask.kind is Kind.UPDATE:
            return b'{"comment_id":"%s","text":"%s"}' % (ident, ask.text)
        return b'{"comment_id":"%s"}' % ident

    def _picture(self, ask: Ask) -> bytes:
        return b"%s-p%d" % (self._run, ask.picture)
