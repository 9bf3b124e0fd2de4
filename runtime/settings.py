"""Everything a process can be told, as one frozen object read from the environment once, at the composition root."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from runtime.errors import ConfigurationError

MAX_PARTITIONS: Final = 256
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_T = TypeVar("_T")


def _text(value: str) -> str:
    return value


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"not a URL of {' or '.join(schemes)}")
        return value

    return parse


def _between(low: float, high: float, kind: Callable[[str], _T]) -> Callable[[str], _T]:
    def parse(value: str) -> _T:
        number = kind(value)
        if not low <= float(number) <= high:  # type: ignore[arg-type]  # kind is int or float
            raise ValueError(f"not between {low:g} and {high:g}")
        return number

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"not one of {', '.join(words)}")
        return value

    return parse


def _bind(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("not HOST:PORT")
    return value


def _feed(value: str) -> int:
    seconds = int(value)
    if seconds != 0 and not 60 <= seconds <= 7 * 86_400:
        raise ValueError("neither 0 nor between 60 and 604800")
    return seconds


def _flag(value: str) -> bool:
    return {"1": True, "0": False, "": False}[value]


def _setting(name: str, parse: Callable[[str], Any], default: Any, doc: str) -> Any:
    return field(default=default, metadata={"name": name, "parse": parse, "doc": doc})


@dataclass(frozen=True, slots=True)
class Settings:
    """One field a setting; `describe()` lists them for docs/settings.md."""

    aws_endpoint_url: str | None = _setting(
        "AWS_ENDPOINT_URL",
        _url("http", "https"),
        None,
        "Where AWS answers. Unset: AWS itself, or LocalStack's own variables (`LOCALSTACK_HOST`).",
    )
    aws_region: str = _setting("AWS_REGION", _text, "us-east-1", "The region of the stack.")
    database_url: str = _setting(
        "HEADRACE_DATABASE_URL", _url("postgresql"), "", "PostgreSQL of the read model: `postgresql://USER@HOST:PORT/DB`."
    )
    redis_url: str = _setting("HEADRACE_REDIS_URL", _url("redis", "rediss"), "", "Redis: `redis://HOST:PORT/DB`.")
    amqp_url: str = _setting(
        "HEADRACE_AMQP_URL",
        _url("amqp", "amqps"),
        "",
        "RabbitMQ: `amqp://USER:PASSWORD@HOST:PORT/VHOST`. Commands are taken from it and events published to it; unset: neither.",
    )
    bind: str = _setting(
        "HEADRACE_BIND",
        _bind,
        "127.0.0.1:8080",
        "HOST:PORT of this process's own HTTP listener: the gateway's API; a worker's `/healthz`, `/readyz`, `/metrics`.",
    )
    stack: str = _setting("HEADRACE_STACK", _text, "headrace", "Prefix of every name the stack has in AWS and Redis.")
    partitions: int | None = _setting(
        "HEADRACE_PARTITIONS",
        _between(1, MAX_PARTITIONS, int),
        None,
        "Partitions of a new stack (16). A process that is told another number than its stack has does not start, and a gateway ends "
        "when that changes under it; `headrace provision --partitions N` changes a stack's.",
    )
    domain: str = _setting(
        "HEADRACE_DOMAIN", _text, "", "`package.module:DOMAIN` of your own domain, beside comments; several with commas."
    )
    auth: str = _setting(
        "HEADRACE_AUTH",
        _one_of("off"),
        "off",
        "Who callers are: `off` takes the `Headrace-Actor` header at its word and is refused off loopback unless the network is trusted.",
    )
    trusted_network: bool = _setting(
        "HEADRACE_TRUSTED_NETWORK",
        _flag,
        False,
        "`1`: whoever reaches the listener may be believed (a private container network).",
    )
    linger_seconds: float = _setting(
        "HEADRACE_LINGER_SECONDS",
        _between(0, 2, float),
        0.25,
        "The most that a command waits in its gateway for company; so long under load only, in proportion to it below 1,250 commands a "
        "second. Less: sooner done, more requests and more CPU a command.",
    )
    gather_seconds: float = _setting(
        "HEADRACE_GATHER_SECONDS",
        _between(0.02, 2, float),
        0.2,
        "The most that a relay waits from one read of a shard to the next while commits come; so long only when two hundred came. Less: "
        "sooner visible, more requests and more CPU a command.",
    )
    lease_seconds: float = _setting(
        "HEADRACE_LEASE_SECONDS", _between(1, 300, float), 10.0, "How long a relay's lease lasts without renewal."
    )
    relay: str = _setting(
        "HEADRACE_RELAY",
        _one_of("fleet", "lambda"),
        "fleet",
        "Who publishes what the stream brings: the relay processes, or the Lambda function of docs/relay-lambda.md; never both.",
    )
    visibility_seconds: int = _setting(
        "HEADRACE_VISIBILITY_SECONDS",
        _between(2, 43_200, int),
        30,
        "How long a received message stays with its worker unless extended; extended at a third of it.",
    )
    feed_seconds: int = _setting(
        "HEADRACE_FEED_SECONDS",
        _feed,
        3600,
        "How long projected changes are kept for those who follow `GET /events`; 60 or more. `0`: none are written, and there is no feed.",
    )
    log: str = _setting(
        "HEADRACE_LOG",
        _one_of("json", "console", "json:debug", "console:debug"),
        "json",
        "Form of the log: `json` or `console`, with `:debug` for more.",
    )
    state: str = _setting("HEADRACE_STATE", _text, ".headrace", "Folder of the local stack that `headrace up` runs.")
    backend: str = _setting("HEADRACE_BACKEND", _text, "aws", "What the reports call the AWS backend.")

    def bind_address(self) -> tuple[str, int]:
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read all settings; ConfigurationError names every fault at once."""
    source = os.environ if environ is None else environ
    faults: list[str] = []
    values: dict[str, Any] = {}
    for each in fields(Settings):
        name = each.metadata["name"]
        raw = source.get(name, "")
        if raw == "":
            continue
        try:
            values[each.name] = each.metadata["parse"](raw)
        except (ValueError, KeyError) as wrong:
            faults.append(f"{name}: {wrong}" if isinstance(wrong, ValueError) else f"{name}: not 0 or 1")
    settings = Settings(**values)
    faults += _contradictions(settings)
    if faults:
        raise ConfigurationError(faults)
    return settings


def require(settings: Settings, *names: str) -> None:
    """End with one error naming every setting this process needs and was not given."""
    by_field = {each.name: each.metadata["name"] for each in fields(Settings)}
    missing = [f"{by_field[name]}: not set" for name in names if not getattr(settings, name)]
    if missing:
        raise ConfigurationError(missing)


def _contradictions(settings: Settings) -> list[str]:
    host, _ = settings.bind_address()
    if settings.auth == "off" and host not in LOOPBACK and not settings.trusted_network:
        return [f"HEADRACE_AUTH: off on {host} would believe anyone; bind to loopback or set HEADRACE_TRUSTED_NETWORK=1"]
    return []


def describe() -> list[tuple[str, str, str]]:
    """(name, default, what it does) of every setting, in order."""
    return [(f.metadata["name"], "" if f.default in (None, "") else f"{f.default}", f.metadata["doc"]) for f in fields(Settings)]
