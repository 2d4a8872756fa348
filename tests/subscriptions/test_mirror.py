"""What a provider's subscription gives, by what the provider says and we know of its prices."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from app.adapters.payments.port import Piece
from app.adapters.payments.port import RailSubscription as Seen
from app.adapters.payments.port import RailSubscriptionState as State
from app.db import db, utc_now
from app.payments.settling import take
from app.subscriptions import queries, service
from app.subscriptions.periods import MONTH
from app.transactions import transaction
from tests.factories import make_user

KNOWN, UNKNOWN = (Piece("price_pro", 1),), (Piece("price_of_somebody", 1),)


@pytest.fixture
def seen(database: None) -> Seen:
    """Return a subscription to Pro that runs and is paid."""
    with transaction():
        service.seed_plans()
        service.name_price("stripe", "price_pro", "pro", MONTH)
        owner = make_user().id
    now = utc_now()
    return Seen(
        id="sub_1",
        state=State.ACTIVE,
        price_id="price_pro",
        quantity=1,
        started_at=now,
        period_end=now + timedelta(days=30),
        owner=owner,
        paid_price_id="price_pro",
        pieces=KNOWN,
        settled=(KNOWN,),
    )


def hear(seen: Seen) -> str:
    """Hear of a subscription; return the plan that its owner has then."""
    with transaction():
        assert take("stripe", seen).applied
    db.session.rollback()
    assert seen.owner is not None
    return queries.limits_of(seen.owner).plan


def at_unknown_price(seen: Seen) -> Seen:
    return replace(seen, price_id=UNKNOWN[0].price, pieces=UNKNOWN, settled=(UNKNOWN,))


def test_c37_a_price_that_nobody_told_us_of_takes_nothing_away(seen: Seen) -> None:
    assert [hear(seen), hear(at_unknown_price(seen))] == ["pro", "pro"]


@pytest.mark.parametrize("state", [State.CANCELED, State.UNPAID, State.PAUSED])
def test_c37_what_is_over_gives_nothing_whatever_its_price(seen: Seen, state: State) -> None:
    hear(seen)
    hear(at_unknown_price(seen))
    assert hear(replace(at_unknown_price(seen), state=state)) == "free"


def _cancelled(seen: Seen) -> Seen:
    return replace(seen, cancel_at=utc_now() + timedelta(days=3))


def _overdue(seen: Seen) -> Seen:
    return replace(seen, state=State.PAST_DUE, unpaid_since=utc_now())


@pytest.mark.parametrize("make", [_cancelled, _overdue])
def test_c37_at_an_unknown_price_a_plan_ends_when_any_other_would(
    seen: Seen, make: Callable[[Seen], Seen]
) -> None:
    hear(seen)
    assert hear(make(at_unknown_price(seen))) == "pro"
    assert seen.owner is not None
    assert queries.limits_of(seen.owner).until is not None
    long_ago = replace(
        make(at_unknown_price(seen)),
        cancel_at=utc_now() - timedelta(days=1),
    )
    assert hear(long_ago) == "free"
