"""A card whose charge was disputed is not charged by itself again: its owner is asked."""

import pytest
from sqlalchemy import select, update

from app.adapters.payments.port import DisputeState, RailDispute
from app.db import db, utc_now
from app.payments.demo.cards import Card, Outcome
from app.payments.models import Payment, RailCustomer
from app.payments.settling import take
from app.subscriptions.kept import ways
from app.transactions import transaction
from tests.subscriptions.kept.test_renewing import go_to_end
from tests.subscriptions.kept.world import PAYS, Person, usd

OTHER = Card("4000000000005126", Outcome.REFUND_FAILS)


def dispute(person: Person, state: DisputeState) -> None:
    payment = person.payments()[0]
    seen = RailDispute("dp_1", payment.external_id, state, usd("29.00"), utc_now(), None)
    with transaction():
        assert take("demo", seen).applied
    db.session.rollback()


def test_a_card_is_asked_for_no_more_once_a_dispute_was_lost(person: Person) -> None:
    person.subscribe(rail="demo")
    dispute(person, DisputeState.OPEN)
    dispute(person, DisputeState.LOST)
    go_to_end(person, days=4)
    assert len(person.payments()) == 1, "no second charge, and no second dispute"
    standing = person.standing()
    assert standing is not None and standing.pay_invoice_id == person.invoices()[-1].id
    assert (standing.state, standing.is_asked, standing.failure) == ("past_due", True, None)
    letters = person.letters("renewal_due")
    assert len(letters) == 5 and "Nothing is kept to pay with" in letters[0]
    # Who pays by hand by that card has paid; it is not charged by itself all the same.
    person.pay_by_card(person.invoices()[-1].id)
    assert person.state() == "active"
    go_to_end(person, hours=1)
    assert (len(person.payments()), person.state()) == (2, "past_due")
    person.pay_by_card(person.invoices()[-1].id, OTHER)
    go_to_end(person, hours=1)
    assert (len(person.payments()), person.state()) == (4, "active"), "another card is charged"


@pytest.mark.parametrize(
    ("end", "is_offered"), [(DisputeState.OPEN, False), (DisputeState.WON, True)]
)
def test_a_card_rests_while_the_bank_decides_and_is_charged_again_once_we_have_won(
    person: Person, end: DisputeState, is_offered: bool
) -> None:
    person.subscribe(rail="demo")
    assert db.session.scalar(select(RailCustomer.method)) == PAYS.label
    dispute(person, DisputeState.OPEN)
    dispute(person, end)
    found = ways.ways_of(person.id)
    assert found is not None
    assert ("demo" in {one.rail for one in found.means}) is is_offered


# Called "Visa 4242" as well, and another card.
NAMESAKE = Card("4111111111114242", Outcome.PAYS)


def test_another_card_of_the_same_words_is_charged(person: Person) -> None:
    person.subscribe(rail="demo")
    dispute(person, DisputeState.OPEN)
    go_to_end(person, hours=1)
    assert person.state() == "past_due"
    person.pay_by_card(person.invoices()[-1].id, NAMESAKE)
    assert {one.method for one in person.payments()} == {PAYS.label}
    go_to_end(person, hours=1)
    assert (len(person.payments()), person.state()) == (3, "active")


@pytest.mark.parametrize("table", [Payment, RailCustomer])
def test_what_was_kept_before_cards_had_names_is_known_by_its_words(
    person: Person, table: type[Payment] | type[RailCustomer]
) -> None:
    person.subscribe(rail="demo")
    dispute(person, DisputeState.OPEN)
    with transaction():
        db.session.execute(update(table).values(method_ref=""))
    found = ways.ways_of(person.id)
    assert found is not None
    assert "demo" not in {one.rail for one in found.means}


def test_the_rail_itself_charges_no_disputed_card(person: Person) -> None:
    """Another one was used last, and the one that the rail keeps is not that."""
    person.subscribe(rail="demo")
    dispute(person, DisputeState.OPEN)
    go_to_end(person, hours=1)
    person.pay_by_card(person.invoices()[-1].id, NAMESAKE)
    person.change_card(PAYS)
    go_to_end(person, hours=1)
    assert (len(person.payments()), person.state()) == (2, "past_due")
