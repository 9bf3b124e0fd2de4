"""The comments domain with its read model: what the registry is given."""

from typing import Final

from events.comments.commands import COMMANDS
from events.comments.decider import DECIDER
from events.comments.events import STORED
from events.domain import Domain
from readmodel.comments.projection import PROJECTION

DOMAIN: Final = Domain(type="comment", commands=COMMANDS, events=STORED, decider=DECIDER, projections=(PROJECTION,))
