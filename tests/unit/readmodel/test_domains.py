"""Which domains and projections a process ends up with, and what is refused."""

import pytest
from sqlalchemy import MetaData, Table

from docs.examples import comments_per_author
from events.ids import StreamId
from readmodel.comments.projection import PROJECTION
from readmodel.domains import all_projections, projections_of, registry
from runtime.errors import ConfigurationError
from runtime.settings import Settings
from tests.unit.readmodel.commits import REGISTRY, comment

NOT_A_DOMAIN = Table("x", MetaData())


def test_comments_are_built_in_and_unknown_streams_concern_somebody() -> None:
    assert all_projections(REGISTRY) == [PROJECTION]
    assert projections_of(REGISTRY, comment(1)) == (PROJECTION,)
    assert [each.name for each in projections_of(REGISTRY, StreamId("order-1"))] == ["rds"]


def test_a_domain_may_take_the_place_of_comments_with_a_projection_more() -> None:
    both = registry(Settings(domain="docs.examples.comments_per_author:DOMAIN"))
    assert projections_of(both, comment(1)) == (PROJECTION, comments_per_author.PROJECTION)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("nowhere", "not package.module:ATTRIBUTE"),
        ("no_such_module_here:DOMAIN", "ModuleNotFoundError"),
        ("events.comments.decider:NOTHING", "AttributeError"),
        ("tests.unit.readmodel.test_domains:NOT_A_DOMAIN", r"not an events\.domain\.Domain"),
        ("docs.examples.comments_per_author:DOMAIN, nowhere", "nowhere"),
        ("docs.examples.comments_per_author:DOMAIN,docs.examples.comments_per_author:DOMAIN", "taken"),
    ],
)
def test_what_cannot_be_plugged_in_is_named(wanted: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        registry(Settings(domain=wanted))
