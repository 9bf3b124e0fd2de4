"""Which domains this process knows: comments, and those that `HEADRACE_DOMAIN` plugs in; and which projections that makes."""

import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Final

from events.domain import Domain, Registry
from events.ids import StreamId
from readmodel.comments.domain import DOMAIN as COMMENTS
from readmodel.projection import Changes, Happened, Projection, Row, nothing_projected
from runtime.errors import ConfigurationError
from runtime.settings import Settings

_TAKEN: Final = frozenset({"rds", "cache", "amqp"})
TAKEN_TABLES: Final = frozenset({"positions", "alembic_version"})
"""Of every generation, and no projection's."""
_NOTHING: Final = nothing_projected()


class UnknownDomain(ValueError):  # noqa: N818 - said in a park's detail, as the glossary would
    """No domain of this process knows this type of stream; a newer or differently set process may."""


def registry(settings: Settings) -> Registry:
    """Raises ConfigurationError naming every fault. A plugged-in domain of type `comment` takes the built-in one's place."""
    domains, faults = [], []
    for wanted in filter(None, (part.strip() for part in settings.domain.split(","))):
        found = _load(wanted)
        if isinstance(found, Domain):
            domains.append(found)
        else:
            faults.append(f"HEADRACE_DOMAIN: {wanted}: {found}")
    comments = next((each for each in domains if each.type == COMMENTS.type), None)
    if comments is None:
        domains.insert(0, COMMENTS)
    elif COMMENTS.projections[0] not in comments.projections:
        faults.append("HEADRACE_DOMAIN: a domain in place of comments must keep its projection, which the queries read")
    faults += _projection_faults(domains)
    if faults:
        raise ConfigurationError(faults)
    return Registry(domains)


def _load(wanted: str) -> Domain | str:
    """The domain, or what is wrong with its name."""
    module, colon, attribute = wanted.partition(":")
    if not colon or not module or not attribute:
        return "not package.module:ATTRIBUTE"
    if str(Path.cwd()) not in sys.path:  # a console script's path begins with its own folder, not with the user's
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(import_module(module), attribute)
    except Exception as wrong:  # noqa: BLE001 - the user's module may raise anything while it is imported
        return f"{type(wrong).__name__}: {wrong}"
    return found if isinstance(found, Domain) else "not an events.domain.Domain"


def _projection_faults(domains: Sequence[Domain]) -> list[str]:
    faults, names, tables = [], set(_TAKEN), set(TAKEN_TABLES)
    for domain in domains:
        for each in domain.projections:
            if not isinstance(each, Projection):
                faults.append(f"HEADRACE_DOMAIN: {domain.type}: {each!r} is not a readmodel.projection.Projection")
                continue
            taken = [name for name in (each.name,) if name in names]
            taken += [table.name for table in each.tables if table.name in tables or table.schema is not None]
            faults += [f"HEADRACE_DOMAIN: projection {each.name}: the name {name} is taken or has a schema" for name in taken]
            names.add(each.name)
            tables |= {table.name for table in each.tables}
    return faults


def all_projections(registry: Registry) -> list[Projection]:
    """Of all domains."""
    return [each for domain in registry.domains for each in domain.projections if isinstance(each, Projection)]


def projections_of(registry: Registry, stream: StreamId) -> Sequence[Projection]:
    """Whom a stream's commits concern; never nobody, so that nothing is acknowledged without a trace."""
    domain = registry.of_stream(stream)
    return (_UNKNOWN,) if domain is None else _of_domain(domain.projections)


@lru_cache(maxsize=256)
def _of_domain(projections: tuple[object, ...]) -> tuple[Projection, ...]:
    return tuple(each for each in projections if isinstance(each, Projection)) or (_NOTHING,)


def feeding(registry: Registry) -> dict[str, Projection]:
    """By domain type: the one of its projections whose changes are told in the feed, so that each is told once."""
    found = {}
    for domain in registry.domains:
        own = [each for each in domain.projections if isinstance(each, Projection)]
        found[domain.type] = next((each for each in own if each.home is not None), own[0] if own else _NOTHING)
    return found


def _unknown(row: Row | None, happened: Happened) -> Changes:  # noqa: ARG001 - a projection's shape
    raise UnknownDomain(f"no domain of this process has streams like {happened.stream}")


_UNKNOWN: Final = Projection("rds", (), _unknown)
