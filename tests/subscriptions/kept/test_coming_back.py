"""Who has ended and comes back pays the price of today; who never ended keeps their own."""

from datetime import timedelta
from decimal import Decimal

from flask import Flask
from sqlalchemy import func, select, update

from app.accounts.models import ERASED, User
from app.db import db
from app.payments.models import PaymentAlert, Refund
from app.subscriptions import history
from app.subscriptions import service as plans
from app.subscriptions.models import KeptSubscription, PlanPrice
from app.subscriptions.periods import MONTH
from app.subscriptions.retelling import change_words
from app.transactions import transaction
from tests.subscriptions.kept.test_renewing import go_to_end
from tests.subscriptions.kept.world import DECLINED, Person, choice, usd


def raise_price(person: Person, plan: str = "pro", amount: str = "99") -> None:
    with transaction():
        plans.add_price(None, plan, Decimal(amount), period=MONTH)
    person.clock.pass_(minutes=1)


def come_back(person: Person, *, days: int = 300) -> None:
    """Let a subscription end unpaid at 29; pay what it owed once a month of it costs 99."""
    person.fill_wallet("29")
    person.subscribe()
    go_to_end(person, days=20)
    assert person.state() == "none"
    person.clock.pass_(days=days)
    raise_price(person)
    person.fill_wallet("29")
    person.pay_from_wallet(person.invoices()[-1].id)


def test_who_pays_after_the_end_pays_the_price_of_today_from_the_next_period_on(
    person: Person,
) -> None:
    come_back(person)
    standing = person.standing()
    assert standing is not None
    assert (standing.state, standing.next_charge) == ("active", usd("99")), "what the page says"
    (back,) = [one for one in history.history_of(person.id) if one.what == "revived"]
    assert back.after is not None
    assert (back.after["price"], back.after["next"]["price"]) == ("29", "99")
    person.fill_wallet("198")
    for _ in range(2):
        go_to_end(person, hours=1)
    assert [one.total for one in person.invoices()[-2:]] == [Decimal(99)] * 2
    assert person.wallet() == 0
    assert "costs 99.00\xa0USD" in person.letters("renewal_due")[-1]


def test_no_way_leads_back_to_the_old_price(person: Person) -> None:
    """Neither thinking better of an end, nor a change, nor coming back once more."""
    come_back(person)
    person.cancel()
    person.undo()
    person.fill_wallet("5")
    invoice_id = person.change(choice("pro", extra_bot=1))
    assert invoice_id is not None
    person.pay_from_wallet(invoice_id)
    standing = person.standing()
    assert standing is not None and standing.next_charge == usd("104")
    assert person.change(choice("pro")) is None
    standing = person.standing()
    assert standing is not None and standing.next_charge == usd("99")
    go_to_end(person, days=20)
    assert (person.state(), person.invoices()[-1].total) == ("none", Decimal(99))
    raise_price(person, amount="120")
    person.fill_wallet("99")
    person.pay_from_wallet(person.invoices()[-1].id)
    standing = person.standing()
    assert standing is not None and standing.next_charge == usd("120")


def test_what_is_left_of_a_period_is_worth_what_was_paid_for_it(person: Person) -> None:
    """Not the price that follows: else an upgrade would give back more than came."""
    come_back(person)
    person.fill_wallet("79")
    invoice_id = person.change(choice("premium"))
    assert invoice_id is not None
    credit = person.invoices()[-1].lines[0]
    assert -29 <= credit.amount < -28


def test_a_period_that_is_paid_early_holds_the_price_that_it_was_paid_at(person: Person) -> None:
    come_back(person)
    person.live_on(days=26)
    person.fill_wallet("198")
    person.pay_from_wallet(person.invoices()[-1].id)
    raise_price(person, amount="120")
    go_to_end(person, hours=1)
    assert [one.total for one in person.invoices()[-2:]] == [Decimal(99)] * 2
    assert person.kept().prices_from is None


def test_who_never_ended_keeps_the_price_and_so_does_who_pays_in_the_grace(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    raise_price(person)
    go_to_end(person, days=3)
    assert person.state() == "past_due"
    person.fill_wallet("58")
    person.pay_from_wallet(person.invoices()[-1].id)
    go_to_end(person, hours=1)
    assert [one.total for one in person.invoices()] == [Decimal(29)] * 3


def test_who_cancels_and_orders_again_pays_the_price_of_today(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    raise_price(person)
    person.cancel()
    go_to_end(person, hours=1)
    assert person.state() == "none"
    invoice_id = person.start()
    db.session.rollback()
    assert invoice_id is not None and person.invoices()[-1].total == Decimal(99)


def test_nobody_comes_back_who_is_erased_and_the_money_goes_back_to_the_card(
    person: Person,
) -> None:
    person.subscribe(rail="demo")
    person.change_card(DECLINED)
    go_to_end(person, days=20)
    invoice_id = person.invoices()[-1].id
    assert person.state() == "none"
    person.open_page(invoice_id)
    with transaction():
        user = db.session.get_one(User, person.id)
        user.blocked_at, user.blocked_reason = person.clock.now, ERASED
    person.type_card(invoice_id)
    db.session.rollback()
    payment = person.payments()[-1]
    (alert,) = db.session.scalars(select(PaymentAlert)).all()
    (refund,) = db.session.scalars(select(Refund)).all()
    assert person.state() == "none" and alert.payment_id == refund.payment_id == payment.id
    assert (refund.target, refund.amount, person.wallet()) == ("rail", Decimal(29), Decimal(0))


def come_back_as_before(person: Person) -> None:
    """Come back while the old price went on for ever."""
    come_back(person, days=30)
    with transaction():
        db.session.execute(update(KeptSubscription).values(prices_from=None))
        # The history bears the time of the database, of which the clock is far ahead.
        first = db.session.scalars(select(func.min(PlanPrice.valid_from))).one()
        raised = update(PlanPrice).where(PlanPrice.amount == 99)
        db.session.execute(raised.values(valid_from=first + timedelta(milliseconds=1)))
    standing = person.standing()
    assert standing is not None and standing.next_charge == usd("29")


def run(app: Flask, *options: str) -> str:
    db.session.rollback()
    done = app.test_cli_runner().invoke(args=["subscriptions", "reprice-returned", *options])
    assert done.exit_code == 0, done.output
    return done.output


def test_who_came_back_at_the_old_price_is_found_and_corrected_once(
    app: Flask, person: Person
) -> None:
    come_back_as_before(person)
    assert "29 -> 99 USD" in run(app) and "Nothing was changed" in run(app)
    standing = person.standing()
    assert standing is not None and standing.next_charge == usd("29"), "that was a look only"
    assert "done" in run(app, "--apply")
    standing = person.standing()
    assert standing is not None and standing.next_charge == usd("99")
    newest = history.history_of(person.id)[0]
    assert (newest.what, newest.cause) == ("repriced", "came_back")
    assert "costs what was asked" in change_words(newest)
    assert "Nobody who came back" in run(app, "--apply")
    person.fill_wallet("99")
    go_to_end(person, hours=1)
    assert person.invoices()[-1].total == Decimal(99)
    assert "Nobody who came back" in run(app)


def test_what_is_asked_for_already_is_paid_as_it_is_and_corrected_after_that(
    app: Flask, person: Person
) -> None:
    come_back_as_before(person)
    person.live_on(days=26)
    assert "again after that day" in run(app, "--apply")
    person.fill_wallet("29")
    go_to_end(person, hours=1)
    assert (person.state(), person.invoices()[-1].total) == ("active", Decimal(29))
    assert "done" in run(app, "--apply")
    standing = person.standing()
    assert standing is not None and standing.next_charge == usd("99")


def test_who_never_ended_or_came_back_since_is_let_be(app: Flask, person: Person) -> None:
    person.fill_wallet("290")
    person.subscribe()
    come_back(Person(person.clock), days=5)
    assert "Nobody who came back" in run(app)
