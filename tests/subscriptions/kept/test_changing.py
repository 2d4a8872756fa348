"""Another plan, more bots, another period, for life: what it costs and when it holds."""

from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import select, update

from app.adapters.payments.port import DisputeState, RailDispute
from app.db import db, utc_now
from app.errors import Conflict, DomainError
from app.money import Money
from app.payments import service as payments
from app.payments.demo import provider
from app.payments.jobs import look_at_checkout
from app.payments.models import Checkout, Dispute, Invoice, Payment
from app.payments.rules import RefundTarget
from app.payments.settling import take
from app.subscriptions import history, queries
from app.subscriptions import service as plans
from app.subscriptions.kept import service
from app.subscriptions.models import Plan
from app.subscriptions.periods import LIFETIME, MONTH, YEAR, Period
from app.subscriptions.seats import left_of_offer
from app.subscriptions.terms import Choice, Verb
from app.transactions import transaction
from app.wallet import service as wallet
from app.wallet.rules import Line
from tests.at_once import at_once
from tests.subscriptions.kept.world import PAYS, Person, choice, usd


@pytest.fixture
def subscriber(person: Person) -> Person:
    """Somebody with Pro for a month and money in the wallet; half of the month is over."""
    person.clock.reach(person.clock.now.replace(day=1) + timedelta(days=40))
    person.clock.reach(person.clock.now.replace(month=4, year=person.clock.now.year + 1, day=1))
    person.fill_wallet("1000")
    person.subscribe()
    person.clock.reach(person.kept().started_at + timedelta(days=15))
    return person


def test_an_upgrade_costs_what_is_left_and_holds_once_it_is_paid(subscriber: Person) -> None:
    with transaction():
        preview = service.preview_change(subscriber.id, choice("premium"))
    credit, charge = preview.lines
    assert (credit.money, charge.money) == (usd("-14.50"), usd("39.50"))
    assert credit.description == "Unused part of Pro"
    assert charge.description.startswith("Premium until ")
    assert (preview.due_now, preview.next_charge) == (usd("25"), usd("79"))
    assert preview.next_at == subscriber.kept().period_end
    with transaction():
        invoice_id = service.change(subscriber.id, choice("premium"), preview.token)
    assert subscriber.plan() == "pro", "until it is paid"
    invoice = db.session.get_one(Invoice, invoice_id)
    assert (invoice.total, [line.kind for line in invoice.lines]) == (
        Decimal(25),
        ["proration", "proration"],
    )
    standing = subscriber.standing()
    assert standing is not None and Verb.PAY in standing.may
    assert standing.pay_invoice_id == invoice_id
    assert subscriber.pay_from_wallet(invoice_id or 0)
    assert subscriber.plan() == "premium"
    subscriber.live_on(days=16)
    assert [one.total for one in subscriber.invoices()] == [Decimal(29), Decimal(25), Decimal(79)]
    assert subscriber.state() == "active"


def test_agreeing_twice_makes_one_invoice_and_an_old_preview_none(subscriber: Person) -> None:
    wanted = choice("premium")
    with transaction():
        token = service.preview_change(subscriber.id, wanted).token
    with transaction():
        first = service.change(subscriber.id, wanted, token)
    with transaction():
        assert service.change(subscriber.id, wanted, token) == first
    with transaction():
        again = service.preview_change(subscriber.id, wanted).token
    subscriber.clock.pass_(minutes=16)
    for old, asked in ((again, wanted), (again, choice("premium", extra_bot=1)), ("x", wanted)):
        with pytest.raises(Conflict, match="preview_changed"), transaction():
            service.change(subscriber.id, asked, old)
    assert [one.state for one in subscriber.invoices()] == ["paid", "open"]


def test_another_upgrade_takes_the_place_of_one_that_is_not_paid(subscriber: Person) -> None:
    first = subscriber.change(choice("premium"))
    second = subscriber.change(choice("pro", extra_bot=1))
    assert [one.state for one in subscriber.invoices()] == ["paid", "void", "open"]
    with pytest.raises(Conflict, match="invoice_not_open"):
        subscriber.pay_from_wallet(first or 0)
    subscriber.pay_from_wallet(second or 0)
    limits = queries.limits_of(subscriber.id)
    assert (limits.plan, limits.max_live_bots) == ("pro", 11)
    assert subscriber.invoices()[2].total == Decimal("2.5")


@pytest.mark.long
def test_an_upgrade_that_nobody_pays_is_dropped(subscriber: Person) -> None:
    subscriber.change(choice("premium"))
    subscriber.live_on(days=2)
    assert [one.state for one in subscriber.invoices()] == ["paid", "void"]
    subscriber.live_on(days=14)
    assert (subscriber.plan(), subscriber.state()) == ("pro", "active")
    assert [one.total for one in subscriber.invoices()] == [Decimal(29), Decimal(25), Decimal(29)]


@pytest.mark.long
def test_an_upgrade_that_staff_take_back_is_dropped(subscriber: Person) -> None:
    invoice_id = subscriber.change(choice("premium"))
    with transaction():
        payments.void_invoice(0, invoice_id or 0, "a mistake")
    assert (subscriber.plan(), subscriber.state()) == ("pro", "active")
    subscriber.live_on(days=16)
    assert subscriber.invoices()[2].total == Decimal(29)


@pytest.mark.long
def test_an_upgrade_in_the_last_week_asks_anew_for_the_next_period(subscriber: Person) -> None:
    subscriber.live_on(days=10)
    assert [one.total for one in subscriber.invoices()] == [Decimal(29), Decimal(29)]
    invoice_id = subscriber.change(choice("premium"))
    assert subscriber.invoices()[1].state == "void"
    subscriber.pay_from_wallet(invoice_id or 0)
    subscriber.run()
    totals = [(one.total, one.state) for one in subscriber.invoices()]
    assert totals[-1] == (Decimal(79), "open")
    subscriber.live_on(days=6)
    assert subscriber.invoices()[-1].state == "paid"


def test_an_upgrade_after_an_early_payment_costs_the_rest_and_the_next_period(
    subscriber: Person,
) -> None:
    subscriber.live_on(days=10)
    subscriber.pay_from_wallet(subscriber.invoices()[1].id)
    with transaction():
        preview = service.preview_change(subscriber.id, choice("premium"))
    # A sixth of 30 days and 31 more.
    assert [line.money for line in preview.lines] == [usd("-33.83"), usd("92.17")]


def test_a_downgrade_waits_for_the_next_period_and_pays_nothing_out(subscriber: Person) -> None:
    subscriber.pay_from_wallet(subscriber.change(choice("premium")) or 0)
    subscriber.clock.pass_(days=1)
    left = subscriber.wallet()
    with transaction():
        preview = service.preview_change(subscriber.id, choice("pro"))
    assert (preview.due_now, preview.lines) == (usd("0"), ())
    assert (preview.takes_effect, preview.next_charge) == (
        subscriber.kept().period_end,
        usd("29"),
    )
    assert subscriber.change(choice("pro")) is None
    assert (subscriber.plan(), subscriber.wallet()) == ("premium", left)
    standing = subscriber.standing()
    assert standing is not None and standing.next_charge == usd("29")
    subscriber.live_on(days=15)
    assert (subscriber.plan(), subscriber.wallet()) == ("pro", left - 29)
    told = [change.what for change in history.history_of(subscriber.id)]
    assert "change_planned" in told and "changed" in told


@pytest.mark.long
def test_a_downgrade_waits_even_if_its_period_is_paid_early(subscriber: Person) -> None:
    subscriber.pay_from_wallet(subscriber.change(choice("premium")) or 0)
    subscriber.change(choice("pro"))
    subscriber.live_on(days=10)
    subscriber.pay_from_wallet(subscriber.invoices()[-1].id)
    assert subscriber.plan() == "premium"
    with pytest.raises(Conflict, match="change_waits"):
        subscriber.change(choice("premium"))
    subscriber.live_on(days=6)
    assert (subscriber.plan(), subscriber.invoices()[-1].total) == ("pro", Decimal(29))


def test_a_planned_change_is_dropped_by_choosing_what_one_has(subscriber: Person) -> None:
    subscriber.change(choice("pro", YEAR))
    standing = subscriber.standing()
    assert standing is not None and standing.next_charge == usd("290")
    with pytest.raises(Conflict, match="nothing_changes"):
        subscriber.change(choice("pro", YEAR))
    assert subscriber.change(choice("pro")) is None
    standing = subscriber.standing()
    assert standing is not None and standing.next_charge == usd("29")
    with pytest.raises(Conflict, match="nothing_changes"):
        subscriber.change(choice("pro"))


def test_another_period_begins_when_this_one_ends(subscriber: Person) -> None:
    end = subscriber.kept().period_end
    assert end is not None
    subscriber.change(choice("pro", YEAR))
    subscriber.live_on(days=16)
    kept = subscriber.kept()
    assert (kept.period, kept.period_start, kept.period_end) == ("year", end, YEAR.after(end))
    assert subscriber.invoices()[-1].total == Decimal(290)
    assert subscriber.plan() == "pro"


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [(MONTH, YEAR), (YEAR, MONTH)])
def test_another_period_that_is_paid_late_follows_the_one_before(
    person: Person, before: Period, after: Period
) -> None:
    person.fill_wallet("29" if before == MONTH else "290")
    person.subscribe(choice("pro", before))
    end = person.kept().period_end
    assert end is not None
    person.change(choice("pro", after))
    person.clock.reach(end - timedelta(days=3))
    person.live_on(days=5)
    assert (person.state(), person.kept().period) == ("past_due", before.code)
    person.fill_wallet("500")
    person.pay_from_wallet(person.invoices()[-1].id)
    kept = person.kept()
    assert (kept.state, kept.period_start, kept.period_end) == ("active", end, after.after(end))


@pytest.mark.long
def test_a_dearer_plan_of_another_period_is_not_given_for_the_grace(subscriber: Person) -> None:
    subscriber.change(choice("premium", YEAR))
    with transaction():
        wallet.pay_from_wallet(
            "spent", subscriber.id, "USD", (Line("one_off", Decimal(971)),), refs=()
        )
    subscriber.live_on(days=18)
    assert (subscriber.state(), subscriber.plan()) == ("past_due", "pro")
    subscriber.live_on(days=20)
    assert (subscriber.state(), subscriber.plan()) == ("none", "free")
    subscriber.fill_wallet("790")
    subscriber.pay_from_wallet(subscriber.invoices()[-1].id)
    kept = subscriber.kept()
    assert (subscriber.plan(), kept.period) == ("premium", "year"), "what the money was asked for"
    assert kept.anchor is not None and kept.period_end == YEAR.after(kept.anchor)


@pytest.mark.long
def test_what_is_paid_for_early_comes_though_it_is_canceled(subscriber: Person) -> None:
    subscriber.change(choice("premium", YEAR))
    subscriber.live_on(days=10)
    subscriber.pay_from_wallet(subscriber.invoices()[-1].id)
    subscriber.cancel()
    subscriber.undo()
    subscriber.live_on(days=6)
    standing = subscriber.standing()
    assert standing is not None
    assert (subscriber.plan(), standing.next_charge) == ("premium", usd("790"))


def test_money_for_a_change_that_staff_gave_up_goes_to_the_wallet(subscriber: Person) -> None:
    invoice_id = subscriber.change(choice("premium")) or 0
    with transaction():
        payments.write_off(0, invoice_id, "nobody pays")
    before = subscriber.wallet()
    subscriber.pay_from_wallet(invoice_id)
    assert (subscriber.plan(), subscriber.wallet()) == ("pro", before)


def test_nothing_is_changed_once_the_period_is_over(subscriber: Person) -> None:
    end = subscriber.kept().period_end
    assert end is not None
    # Moments of previews are whole seconds.
    subscriber.clock.reach(end + timedelta(seconds=1))
    with pytest.raises(Conflict, match="pay_first"):
        subscriber.change(choice("premium"))


def test_bots_are_added_now_and_given_back_later(subscriber: Person) -> None:
    subscriber.pay_from_wallet(subscriber.change(choice("pro", extra_bot=3)) or 0)
    assert queries.limits_of(subscriber.id).max_live_bots == 13
    assert subscriber.invoices()[-1].lines[0].kind == "bot"
    subscriber.clock.pass_(days=1)
    assert subscriber.change(choice("pro", extra_bot=1)) is None
    assert queries.limits_of(subscriber.id).max_live_bots == 13
    subscriber.live_on(days=15)
    assert queries.limits_of(subscriber.id).max_live_bots == 11
    assert subscriber.invoices()[-1].total == Decimal(34)


def test_from_a_rented_bot_to_a_plan_without_it(person: Person) -> None:
    person.fill_wallet("1000")
    person.subscribe(choice(None, extra_bot=1))
    person.clock.pass_(hours=1)
    person.pay_from_wallet(person.change(choice("pro")) or 0)
    limits = queries.limits_of(person.id)
    assert (limits.plan, limits.max_live_bots) == ("pro", 10)


@pytest.mark.long
def test_what_is_kept_keeps_its_price_through_a_change(subscriber: Person) -> None:
    with transaction():
        plans.add_price(None, "pro", Decimal(49))
    subscriber.clock.pass_(hours=1)
    subscriber.pay_from_wallet(subscriber.change(choice("pro", extra_bot=1)) or 0)
    subscriber.live_on(days=16)
    assert subscriber.invoices()[-1].total == Decimal(34)


def test_nothing_is_changed_while_money_is_owed_or_the_end_is_near(person: Person) -> None:
    person.start()
    with pytest.raises(Conflict, match="pay_first"):
        person.change(choice("premium"))
    person.fill_wallet("29")
    person.pay_from_wallet(person.invoices()[0].id)
    person.cancel()
    with pytest.raises(Conflict, match="subscription_ends"):
        person.change(choice("premium"))
    person.undo()
    person.live_on(days=33)
    with pytest.raises(Conflict, match="pay_first"):
        person.change(choice("premium"))


@pytest.mark.long
def test_a_trial_is_changed_for_what_comes_after_it(person: Person) -> None:
    with transaction():
        pro = queries.plans_on_offer()[1]
        plans.change_plan(None, "pro", pro, visible=True, trial_days=14)
    person.fill_wallet("100")
    person.start()
    person.clock.pass_(days=1)
    assert person.change(choice("premium")) is None
    assert person.plan() == "pro"
    person.live_on(days=14)
    assert (person.plan(), person.wallet()) == ("premium", Decimal(21))


@pytest.mark.long
@pytest.mark.parametrize("left", [timedelta(seconds=1), timedelta(minutes=59)])
def test_an_upgrade_in_the_last_moments_comes_with_the_next_period_and_its_money(
    subscriber: Person, left: timedelta
) -> None:
    end = subscriber.kept().period_end
    assert end is not None
    subscriber.clock.reach(end - timedelta(days=1))
    subscriber.run()
    subscriber.clock.reach(end - left)
    wallet_before = subscriber.wallet()
    with transaction():
        preview = service.preview_change(subscriber.id, choice("premium"))
    assert (preview.due_now, preview.takes_effect) == (usd("0"), end)
    assert preview.next_charge == usd("79")
    assert subscriber.change(choice("premium")) is None
    assert subscriber.plan() == "pro"
    subscriber.live_on(hours=2)
    assert (subscriber.plan(), subscriber.wallet()) == ("premium", wallet_before - 79)


def test_without_money_an_upgrade_in_the_last_moments_gives_no_grace_of_the_larger_plan(
    person: Person,
) -> None:
    person.fill_wallet("29")
    person.subscribe()
    end = person.kept().period_end
    assert end is not None
    person.clock.reach(end - timedelta(seconds=2))
    person.change(choice("premium"))
    person.live_on(days=3)
    assert (person.state(), person.plan()) == ("past_due", "pro")


def test_what_is_left_of_a_cheap_year_costs_nothing_and_so_waits(person: Person) -> None:
    person.fill_wallet("2000")
    _sell("pro", YEAR, 9)
    with transaction():
        plans.add_price(None, "premium", Decimal(100), period=YEAR)
    person.clock.pass_(days=1)
    person.subscribe(choice("pro", YEAR))
    end = person.kept().period_end
    assert end is not None
    person.clock.reach(end - timedelta(hours=20))
    assert person.change(choice("premium", YEAR)) is None
    assert person.plan() == "pro"


def test_a_planned_change_waits_through_a_cancellation_that_is_taken_back(
    subscriber: Person,
) -> None:
    subscriber.pay_from_wallet(subscriber.change(choice("premium")) or 0)
    subscriber.change(choice("pro"))
    before = subscriber.standing()
    assert before is not None and before.next_charge == usd("29")
    subscriber.cancel()
    cancelled = subscriber.standing()
    assert cancelled is not None and cancelled.if_kept is not None
    assert (cancelled.next_charge, cancelled.following) == (None, None)
    kept = cancelled.if_kept
    assert (kept.names, kept.charge, kept.is_other) == ("Pro", usd("29"), True)
    subscriber.undo()
    after = subscriber.standing()
    assert after is not None
    assert (after.next_charge, after.next_at) == (before.next_charge, before.next_at)
    assert (after.following, after.if_kept) == (before.following, None)
    subscriber.live_on(days=16)
    assert (subscriber.plan(), subscriber.invoices()[-1].total) == ("pro", Decimal(29))


def test_a_planned_change_that_stays_cancelled_never_comes(subscriber: Person) -> None:
    subscriber.change(choice(None, extra_bot=1))
    subscriber.cancel()
    subscriber.live_on(days=16)
    assert (subscriber.state(), subscriber.plan(), len(subscriber.invoices())) == (
        "none",
        "free",
        1,
    )


@pytest.mark.parametrize(("back", "credit"), [("19", "-5.00"), ("29", "0.00")])
def test_an_upgrade_credits_nothing_that_was_given_back(
    subscriber: Person, back: str, credit: str
) -> None:
    with transaction():
        payment = subscriber.payments()[0].id
        payments.refund(0, "r", payment, Decimal(back), RefundTarget.WALLET, "as asked")
    with transaction():
        preview = service.preview_change(subscriber.id, choice("premium"))
    assert [line.money for line in preview.lines] == [usd(credit), usd("39.50")]
    before = subscriber.wallet()
    subscriber.pay_from_wallet(subscriber.change(choice("premium")) or 0)
    assert before - subscriber.wallet() == preview.due_now.amount


def test_an_upgrade_credits_nothing_that_a_bank_holds_until_it_gives_it_back(
    subscriber: Person,
) -> None:
    payment = subscriber.payments()[0].id
    with transaction():
        dispute = Dispute(
            payment_id=payment, rail="demo", external_id="d", state="open", amount=Decimal(29),
            currency="USD",
        )  # fmt: skip
        db.session.add(dispute)
    assert _credit_for(subscriber, choice("premium")) == usd("0")
    with transaction():
        db.session.execute(update(Dispute).values(state="won"))
    assert _credit_for(subscriber, choice("premium")) == usd("-14.50")


def test_a_dispute_of_what_was_paid_twice_lowers_no_credit(person: Person) -> None:
    """The second payment is in the wallet; the first one, which bought the period, is untouched."""
    invoice_id = person.start() or 0
    person.open_page(invoice_id)
    page = db.session.scalars(select(Checkout)).one()
    page_id, checkout_id = page.external_id or "", page.id
    person.fill_wallet("29")
    person.pay_from_wallet(invoice_id)
    provider.pay(page_id, PAYS)
    look_at_checkout(checkout_id)
    assert person.wallet() == Decimal(29), "paid by the wallet, so the card filled it again"
    before = _credit_for(person, choice("premium"))
    _dispute(person.payments()[1])
    assert person.wallet() == 0
    assert _credit_for(person, choice("premium")) == before != usd("0")


def test_a_dispute_of_what_is_back_in_the_wallet_is_counted_once(person: Person) -> None:
    """A bank that takes 10.00 of which 10.00 are in the wallet again takes those."""
    person.subscribe(rail="demo")
    payment = person.payments()[0]
    with transaction():
        payments.refund(0, "r", payment.id, Decimal(10), RefundTarget.WALLET, "as asked")
    before = _credit_for(person, choice("premium"))
    _dispute(payment, "10.00")
    assert person.wallet() == 0
    assert _credit_for(person, choice("premium")) == before == usd("-19")


def _dispute(payment: Payment, amount: str = "29.00") -> None:
    seen = RailDispute("dp_1", payment.external_id, DisputeState.OPEN, usd(amount), utc_now(), None)
    with transaction():
        assert take("demo", seen).applied


def test_one_upgrade_after_another_credits_what_both_have_paid(subscriber: Person) -> None:
    with transaction():
        payment = subscriber.payments()[0].id
        payments.refund(0, "r", payment, Decimal(19), RefundTarget.WALLET, "as asked")
        plans.add_price(None, "premium", Decimal(999), period=LIFETIME)
    subscriber.pay_from_wallet(subscriber.change(choice("premium")) or 0)
    subscriber.clock.pass_(days=5)
    # A third of 10.00 and two thirds of 34.50: what a third of Premium is worth.
    assert _credit_for(subscriber, choice("premium", LIFETIME)) == usd("-26.33")


def _credit_for(person: Person, wanted: Choice) -> Money:
    with transaction():
        return service.preview_change(person.id, wanted).lines[0].money


def test_money_given_back_after_a_preview_makes_it_hold_no_longer(subscriber: Person) -> None:
    wanted = choice("premium")
    with transaction():
        token = service.preview_change(subscriber.id, wanted).token
    with transaction():
        payment = subscriber.payments()[0].id
        payments.refund(0, "r", payment, Decimal(19), RefundTarget.WALLET, "as asked")
    with pytest.raises(Conflict, match="preview_changed"), transaction():
        service.change(subscriber.id, wanted, token)


# -- for life, and seats --------------------------------------------------------------------------


@pytest.fixture
def seats(person: Person) -> Person:
    """Two seats of Pro for life are on sale."""
    with transaction():
        plans.add_price(None, "pro", Decimal(499), period=LIFETIME, seats=2)
    person.clock.pass_(days=1)
    return person


def test_what_is_bought_for_life_is_paid_once_and_never_ends(seats: Person) -> None:
    seats.subscribe(choice("pro", LIFETIME), rail="demo")
    assert seats.invoices()[0].lines[0].description == "Pro, a lifetime"
    standing = seats.standing()
    assert standing is not None
    assert (standing.period_end, standing.next_charge, standing.may) == (None, None, frozenset())
    seats.clock.pass_(days=4000)
    seats.run()
    assert (seats.plan(), seats.state(), len(seats.invoices())) == ("pro", "active", 1)
    with pytest.raises(Conflict, match="subscription_for_life"):
        seats.cancel()
    with pytest.raises(Conflict, match="subscription_for_life"):
        seats.change(choice("premium"))


def test_from_a_month_to_a_life_less_what_is_left(seats: Person) -> None:
    seats.fill_wallet("600")
    seats.subscribe()
    seats.clock.pass_(days=1)
    invoice_id = seats.change(choice("pro", LIFETIME))
    assert left_of_offer("pro", LIFETIME) == 1, "reserved"
    seats.pay_from_wallet(invoice_id or 0)
    standing = seats.standing()
    assert standing is not None and standing.period_end is None
    paid = sum(one.total for one in seats.invoices())
    assert Decimal(499) < paid < Decimal(501)
    seats.clock.pass_(days=400)
    seats.run()
    assert (seats.plan(), len(seats.invoices())) == ("pro", 2)


def test_a_seat_comes_back_from_an_invoice_that_is_not_paid(seats: Person) -> None:
    others = [Person(seats.clock) for _ in range(2)]
    for one in others:
        one.start(choice("pro", LIFETIME))
    with pytest.raises(Conflict, match="sold_out"):
        seats.start(choice("pro", LIFETIME))
    assert seats.invoices() == []
    others[0].cancel()
    assert seats.start(choice("pro", LIFETIME)) is not None
    others[1].clock.pass_(days=2)
    others[1].run()
    assert left_of_offer("pro", LIFETIME) == 2


def test_the_last_seats_are_sold_once_however_many_buy_at_once(seats: Person, app: Flask) -> None:
    """BEY-07: who comes too late is told so and not charged."""
    buyers = [Person(seats.clock) for _ in range(8)]

    def buy(number: int) -> str:
        one = buyers[number]
        try:
            with transaction():
                service.start(one.id, choice("pro", LIFETIME), "wallet", f"key-{one.id}")
        except DomainError as error:
            return error.code
        return "bought"

    assert sorted(at_once(app, len(buyers), buy)) == ["bought"] * 2 + ["sold_out"] * 6
    assert len(db.session.scalars(select(Invoice.id)).all()) == 2
    assert left_of_offer("pro", LIFETIME) == 0


def test_many_clicks_of_one_person_at_once_make_one_subscription(
    person: Person, app: Flask
) -> None:

    def click(number: int) -> object:
        try:
            with transaction():
                return service.start(person.id, choice(), "wallet", f"key-{number % 2}")
        except DomainError as error:
            return error.code

    outcomes = at_once(app, 6, click)
    assert len(person.invoices()) == 1
    assert set(outcomes) <= {person.invoices()[0].id, "ordered_elsewhere"}


@pytest.mark.long
def test_seats_of_a_month_are_counted_by_subscription_not_by_invoice(person: Person) -> None:
    with transaction():
        plans.add_price(None, "pro", Decimal(19), seats=2)
    person.clock.pass_(days=1)
    person.fill_wallet("1000")
    person.subscribe()
    person.live_on(days=62)
    assert len(person.invoices()) > 2
    assert left_of_offer("pro", MONTH) == 1


def _sell(plan: str, period: Period, seats: int) -> None:
    """Sell a plan for a period at a new price, so many times."""
    with transaction():
        plans.add_price(None, plan, Decimal(99), period=period, seats=seats)


@pytest.mark.long
def test_a_change_that_waits_has_its_seat_until_it_is_dropped(person: Person) -> None:
    _sell("premium", YEAR, 1)
    other = Person(person.clock)
    for one in (person, other):
        one.clock.pass_(days=1)
        one.fill_wallet("500")
        one.subscribe()
    person.clock.pass_(hours=1)
    assert person.change(choice("premium", YEAR)) is None
    assert left_of_offer("premium", YEAR) == 0
    with pytest.raises(Conflict, match="sold_out"):
        other.change(choice("premium", YEAR))
    # More bots beside it are no second seat.
    assert person.change(choice("premium", YEAR, extra_bot=1)) is None
    person.change(choice())
    assert other.change(choice("premium", YEAR)) is None
    other.live_on(days=40)
    assert (other.plan(), left_of_offer("premium", YEAR)) == ("premium", 0)


@pytest.mark.long
def test_changes_that_are_planned_at_once_take_the_last_seat_once(
    person: Person, app: Flask
) -> None:
    _sell("premium", YEAR, 1)
    people = [Person(person.clock) for _ in range(3)]
    person.clock.pass_(days=1)
    tokens = []
    for one in people:
        one.fill_wallet("29")
        one.subscribe()
        with transaction():
            tokens.append(service.preview_change(one.id, choice("premium", YEAR)).token)

    def agree(number: int) -> str:
        try:
            with transaction():
                service.change(people[number].id, choice("premium", YEAR), tokens[number])
        except DomainError as error:
            return error.code
        return "planned"

    assert sorted(at_once(app, 3, agree)) == ["planned", "sold_out", "sold_out"]


@pytest.mark.long
def test_a_trial_has_its_seat_while_it_lasts(person: Person) -> None:
    _sell("pro", MONTH, 1)
    with transaction():
        db.session.execute(update(Plan).where(Plan.code == "pro").values(trial_days=20))
    person.clock.pass_(days=1)
    assert person.start() is None
    assert (person.state(), left_of_offer("pro", MONTH)) == ("trialing", 0)
    with pytest.raises(Conflict, match="sold_out"):
        Person(person.clock).start()
    person.live_on(days=23)
    assert (person.state(), left_of_offer("pro", MONTH)) == ("none", 1)
