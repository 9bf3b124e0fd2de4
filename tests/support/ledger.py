"""A second domain, small and with a past: accounts whose events were stored in euros and are kept in cents today.

It shows what a domain of one's own takes (`HEADRACE_DOMAIN=tests.support.ledger:DOMAIN`), one command of several events, and
upcasting: v1 of both events is still in old streams (tests/golden/ledger_v1_commit.json) and is read by today's code.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, structs

from events.domain import CommandType, Context, Decider, Domain, Rejection, Upcast
from runtime.times import Micros

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,128}\Z")]
Cents = Annotated[int, Meta(ge=-(10**12), le=10**12)]


class Opened(Struct, frozen=True):
    owner: str
    currency: str


class Booked(Struct, frozen=True):
    cents: int
    note: str = ""


EVENTS: Final[Mapping[str, type[Struct]]] = {"account.opened.v2": Opened, "account.booked.v2": Booked}


def _opened_with_currency(v1: dict[str, Any]) -> dict[str, Any]:
    return v1 | {"currency": "EUR"}


def _booked_in_cents(v1: dict[str, Any]) -> dict[str, Any]:
    euros, _, cents = v1["euros"].partition(".")
    return {"cents": int(euros + cents.ljust(2, "0")), "note": v1.get("note", "")}


UPCASTS: Final = {
    "account.opened.v1": Upcast("account.opened.v2", _opened_with_currency),
    "account.booked.v1": Upcast("account.booked.v2", _booked_in_cents),
}


class OpenAccount(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    currency: str = "EUR"
    account_id: Id | None = None


class Book(Struct, frozen=True, forbid_unknown_fields=True):
    """All of its entries, or none."""

    account_id: Id
    entries: list[Cents]
    note: str = ""


class Account(Struct, frozen=True):
    owner: str
    currency: str
    cents: int = 0
    entries: int = 0


def evolve(account: Account | None, event: Opened | Booked, at: Micros) -> Account:
    if isinstance(event, Opened):
        return Account(event.owner, event.currency)
    assert account is not None
    return structs.replace(account, cents=account.cents + event.cents, entries=account.entries + 1)


def decide(command: OpenAccount | Book, account: Account | None, context: Context) -> Sequence[Opened | Booked]:
    if isinstance(command, OpenAccount):
        if account is not None:
            raise Rejection("account_exists", "an account with this id was opened before")
        return [Opened(context.actor, command.currency)]
    if account is None:
        raise Rejection("account_not_found", "there is no account with this id")
    if account.cents + sum(command.entries) < 0:
        raise Rejection("overdrawn", "an account is never below zero")
    return [Booked(cents, command.note) for cents in command.entries if cents]


def _assign(command: OpenAccount, ident: str) -> OpenAccount:
    return structs.replace(command, account_id=ident)


DOMAIN: Final = Domain(
    type="account",
    commands={
        "account.open": CommandType(OpenAccount, lambda command: command.account_id, creates=True, assign=_assign),
        "account.book": CommandType(Book, lambda command: command.account_id),
    },
    events=EVENTS,
    decider=Decider(initial=None, decide=decide, evolve=evolve, state=Account | None),
    upcasts=UPCASTS,
)
