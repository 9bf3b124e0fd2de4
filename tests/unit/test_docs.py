"""What the documents show is run: the domain of docs/domains.md, and the README's words about the commands there are."""

import ast
import re
from pathlib import Path
from typing import Any

from msgspec import Raw

from events.deciding import decide
from events.domain import Domain, Registry
from events.envelope import Command
from events.history import History
from events.ids import CommandId, Fingerprint, StreamId
from events.outcome import Status
from headrace.cli import COMMANDS
from runtime.times import Micros

ROOT = Path(__file__).parents[2]


def test_the_domain_of_the_documents_decides() -> None:
    source = re.findall(r"```python\n(from msgspec.*?)```", (ROOT / "docs" / "domains.md").read_text(encoding="utf-8"), re.S)[0]
    names: dict[str, Any] = {}
    exec(compile(source, "docs/domains.md", "exec"), names)
    domain = names["DOMAIN"]
    assert isinstance(domain, Domain)
    registry = Registry([domain])
    command = Command(
        id=CommandId("k"), name="order.place", stream=StreamId("order-7"), data=Raw(b'{"order_id":"7","cents":1200}'),
        fingerprint=Fingerprint("0" * 16), accepted_at=Micros(1),
    )  # fmt: skip
    draft = decide(History(command.stream, domain.decider), [command], registry)
    assert [outcome.status for outcome in draft.outcomes] == [Status.APPLIED]
    assert draft.state == 1200


def test_the_readme_names_only_commands_that_there_are() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(?:\.venv/bin/)?headrace ([a-z]+)", readme)) <= COMMANDS.keys()


def test_the_second_projection_is_thirty_lines_and_shown_as_it_is() -> None:
    source = (ROOT / "docs" / "examples" / "comments_per_author.py").read_text(encoding="utf-8")
    about = ast.parse(source).body[0]
    code = [line for number, line in enumerate(source.splitlines(), 1) if line.strip() and number > (about.end_lineno or 0)]
    assert len(code) <= 30
    shown = re.findall(r"```python\n(def project.*?)```", (ROOT / "docs" / "domains.md").read_text(encoding="utf-8"), re.S)[0]
    assert shown in source.replace("  # noqa: ARG001 - without a home table there is no row", "")
