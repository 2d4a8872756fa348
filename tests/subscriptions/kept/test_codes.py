"""A promotion code on a subscription that we keep: first invoice, renewals, changes, the end."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select, update

from app.db import db
from app.errors import Conflict, InvalidInput
from app.payments import service as payments
from app.subscriptions import service as plans
from app.subscriptions.kept import service
from app.subscriptions.models import Plan
from app.subscriptions.periods import LIFETIME, MONTH, YEAR
from app.subscriptions.promotions import service as promotions
from app.subscriptions.promotions.models import PromoCode, PromoRedemption
from app.subscriptions.promotions.rules import Terms
from app.subscriptions.terms import Choice, Discount
from app.transactions import transaction
from tests.long import few
from tests.subscriptions.kept.world import Person, choice, usd

CODE = replace(choice(), promo="save")


def make(percent: str = "20", periods: int | None = 1, plans: tuple[str, ...] = ()) -> None:
    with transaction():
        discount = Discount("SAVE", percent=Decimal(percent), periods=periods)
        promotions.make(None, Terms(discount, plans, max_redemptions=1))


def taken() -> tuple[int, list[str]]:
    """Return how often the code counts as taken, and the states of who took it."""
    db.session.rollback()
    count = db.session.scalars(select(PromoCode.redeemed)).one()
    return count, list(db.session.scalars(select(PromoRedemption.state)))


def totals(person: Person) -> list[Decimal]:
    return [invoice.total for invoice in person.invoices()]


def renew(person: Person) -> None:
    """Let time pass into the next period."""
    end = person.kept().period_end
    assert end is not None
    person.live_on(seconds=(end - person.clock.now + timedelta(hours=2)).total_seconds())


def test_a_code_lowers_the_first_invoice_and_is_used_when_that_is_paid(person: Person) -> None:
    make()
    quote = service.quote(person.id, CODE)
    assert (quote.due_now, quote.next_charge) == (usd("23.20"), usd("29"))
    assert quote.lines[-1].money == usd("-5.80") and "SAVE" in quote.lines[-1].description
    invoice_id = person.start(CODE)
    assert taken() == (1, ["reserved"])
    assert invoice_id is not None
    person.fill_wallet("100")
    person.pay_from_wallet(invoice_id)
    (invoice,) = person.invoices()
    assert (invoice.discount, invoice.total) == (Decimal("5.8"), Decimal("23.2"))
    assert taken() == (1, ["used"])
    standing = person.standing()
    assert standing is not None and standing.next_charge == usd("29")


@pytest.mark.parametrize(
    ("periods", "wanted"),
    few([(2, ["23.2", "23.2", "29"]), (1, ["23.2", "29", "29"]), (None, ["23.2"] * 3)], 3),
)
def test_renewals_cost_less_for_as_long_as_the_code_says(
    person: Person, periods: int | None, wanted: list[str]
) -> None:
    make(periods=periods)
    person.fill_wallet("200")
    person.subscribe(CODE)
    assert service.quote(Person(person.clock).id, choice()).due_now == usd("29")
    for number in (1, 2):
        standing = person.standing()
        assert standing is not None and standing.next_charge is not None
        assert standing.next_charge.amount == Decimal(wanted[number])
        renew(person)
    assert totals(person) == [Decimal(one) for one in wanted]
    assert taken() == (1, ["used"])


def test_an_order_that_nobody_pays_gives_the_code_back(person: Person) -> None:
    make()
    person.start(CODE)
    person.live_on(days=2)
    assert person.state() == "none"
    assert taken() == (0, ["released"])
    assert person.start(CODE) is not None


@pytest.mark.parametrize("way", ["cancel", "void"])
def test_an_order_that_is_taken_back_gives_the_code_back(person: Person, way: str) -> None:
    make()
    invoice_id = person.start(CODE)
    assert invoice_id is not None
    if way == "cancel":
        person.cancel()
    else:
        with transaction():
            payments.void_invoice(person.id, invoice_id, "A wrong order")
    assert taken() == (0, ["released"])


def test_another_order_takes_the_code_over_and_the_same_one_stays(person: Person) -> None:
    make()
    first = person.start(CODE)
    assert person.start(replace(CODE, promo=" SAVE ")) == first
    dearer = replace(CODE, plan="premium")
    assert service.quote(person.id, dearer).due_now == usd("63.20")
    second = person.start(dearer)
    assert second not in {None, first}
    assert taken() == (1, ["reserved"])
    # Without the code it is another order, and the code is free again.
    assert person.start(replace(dearer, promo="")) not in {None, first, second}
    assert [one.state for one in person.invoices()] == ["void", "void", "open"]
    assert taken() == (0, ["released"])


def test_a_refused_code_makes_no_order(person: Person) -> None:
    make(plans=("premium",))
    with pytest.raises(InvalidInput, match="promo_not_for_plan"):
        person.start(CODE)
    with pytest.raises(InvalidInput, match="promo_not_for_plan"):
        service.quote(person.id, CODE)
    with pytest.raises(InvalidInput, match="promo_unknown"):
        person.start(replace(CODE, promo="else"))
    assert person.invoices() == [] and person.state() == "none"


def test_the_last_place_goes_to_one_of_two_people(person: Person) -> None:
    make()
    person.start(CODE)
    other = Person(person.clock)
    with pytest.raises(Conflict, match="promo_taken"):
        service.quote(other.id, CODE)
    with pytest.raises(Conflict, match="promo_taken"):
        other.start(CODE)
    assert other.state() == "none"


def test_who_has_used_a_code_does_not_use_it_again(person: Person) -> None:
    make()
    person.fill_wallet("100")
    person.subscribe(CODE)
    person.cancel()
    renew(person)
    assert person.state() == "none"
    with pytest.raises(Conflict, match="promo_used"):
        service.quote(person.id, CODE)
    with pytest.raises(Conflict, match="promo_used"):
        person.start(CODE)


def test_a_trial_keeps_the_code_for_its_first_invoice(person: Person) -> None:
    make()
    with transaction():
        db.session.execute(update(Plan).where(Plan.code == "pro").values(trial_days=10))
    quote = service.quote(person.id, CODE)
    assert (quote.due_now, quote.next_charge) == (usd("0"), usd("23.20"))
    assert person.start(CODE) is None
    assert taken() == (1, ["reserved"])
    person.fill_wallet("100")
    renew(person)
    assert totals(person) == [Decimal("23.2")]
    assert taken() == (1, ["used"])


def test_a_trial_that_nobody_pays_gives_the_code_back(person: Person) -> None:
    make()
    with transaction():
        db.session.execute(update(Plan).where(Plan.code == "pro").values(trial_days=10))
    person.start(CODE)
    person.live_on(days=14)
    assert person.state() == "none"
    assert taken() == (0, ["released"])


def test_what_costs_nothing_gives_nothing_back_when_it_is_changed(person: Person) -> None:
    make("100", periods=None, plans=("pro",))
    assert person.start(CODE) is None
    assert (person.plan(), taken()) == ("pro", (1, ["used"]))
    preview = service.preview_change(person.id, choice("premium"))
    # Nothing was paid for Pro: Premium is paid in full for what is left of the period.
    assert preview.due_now.amount == sum(line.money.amount for line in preview.lines)
    assert preview.due_now.amount > Decimal("78.9")
    assert preview.next_charge == usd("79")


@pytest.mark.long
def test_a_change_gives_back_what_was_paid_with_the_code_and_no_more(person: Person) -> None:
    make("50", periods=None)
    person.fill_wallet("500")
    person.subscribe(CODE)
    person.clock.pass_(days=1)
    first = person.change(choice("pro", extra_bot=1))
    assert first is not None
    person.pay_from_wallet(first)
    preview = service.preview_change(person.id, choice("premium", extra_bot=1))
    credit, charge = (line.money.amount for line in preview.lines)
    assert -credit / charge == pytest.approx(Decimal("14.5") / Decimal(79), abs=Decimal("0.001"))
    # What is bought within a period costs its full price, what follows costs less again.
    assert preview.next_charge == usd("42")
    second = person.change(choice("premium", extra_bot=1))
    assert second is not None
    person.pay_from_wallet(second)
    person.clock.pass_(days=1)
    with_more = service.preview_change(person.id, choice("premium", extra_bot=2))
    gone, come = (line.money.amount for line in with_more.lines)
    assert -gone * 2 == pytest.approx(come, abs=Decimal("0.01"))


@pytest.mark.long
def test_another_length_of_period_costs_its_full_price(person: Person) -> None:
    make(periods=None)
    person.fill_wallet("500")
    person.subscribe(CODE)
    preview = service.preview_change(person.id, choice("pro", YEAR))
    assert preview.next_charge == usd("290")
    person.change(choice("pro", YEAR))
    renew(person)
    assert totals(person) == [Decimal("23.2"), Decimal(290)]


def test_a_code_takes_an_amount_off_and_never_more_than_there_is(person: Person) -> None:
    with transaction():
        discount = Discount("SAVE", amount=usd("30"))
        promotions.make(None, Terms(discount))
    assert service.quote(person.id, replace(CODE, plan="premium")).due_now == usd("49")
    assert service.quote(person.id, CODE).due_now == usd("0")
    bot = Choice(None, MONTH, {"extra_bot": 7}, "save")
    assert service.quote(person.id, bot).due_now == usd("5")


def test_a_code_holds_for_what_is_sold_for_life(person: Person) -> None:
    make()
    with transaction():
        plans.add_price(None, "pro", Decimal(500), period=LIFETIME)
    person.clock.pass_(seconds=5)
    quote = service.quote(person.id, replace(CODE, period=LIFETIME))
    assert (quote.due_now, quote.next_charge) == (usd("400"), None)


def pay_next(person: Person) -> None:
    """Let a week before the end come, and pay the next period then."""
    end = person.kept().period_end
    assert end is not None
    person.clock.reach(end - timedelta(days=6))
    person.run()
    person.pay_from_wallet(person.invoices()[-1].id)


def test_a_credit_counts_each_paid_period_at_what_it_cost(person: Person) -> None:
    make("50")
    person.fill_wallet("500")
    person.subscribe(CODE)
    pay_next(person)
    preview = service.preview_change(person.id, choice("premium"))
    credit, charge = (line.money.amount for line in preview.lines)
    left = charge / Decimal(79)
    lowered, whole = left - 1, 1
    assert 0 < lowered < Decimal("0.22")
    assert -credit == pytest.approx(Decimal("14.5") * lowered + 29 * whole, abs=Decimal("0.02"))


def test_a_credit_is_whole_for_what_was_bought_within_a_lowered_period(person: Person) -> None:
    make("50", periods=2)
    person.fill_wallet("500")
    person.subscribe(CODE)
    invoice_id = person.change(choice("pro", extra_bot=1))
    assert invoice_id is not None
    person.pay_from_wallet(invoice_id)
    pay_next(person)
    preview = service.preview_change(person.id, choice("pro", extra_bot=2))
    credit, charge = (line.money.amount for line in preview.lines)
    left = charge / Decimal(10)
    # The bot cost 5.00 for what is left of this period, and 2.50 with the next one.
    assert -credit == pytest.approx(5 * (left - 1) + Decimal("2.5"), abs=Decimal("0.02"))


def written_off(person: Person) -> int:
    """Order with the code, and have staff write the invoice off; it may be paid all the same."""
    invoice_id = person.start(CODE)
    assert invoice_id is not None
    with transaction():
        payments.write_off(person.id, invoice_id, "Nobody answers")
    assert (person.state(), taken()) == ("none", (0, ["released"]))
    person.fill_wallet("100")
    return invoice_id


def test_late_money_takes_the_code_back_though_its_last_place_is_gone(person: Person) -> None:
    make(periods=2)
    invoice_id = written_off(person)
    other = Person(person.clock)
    other.start(CODE)
    person.pay_from_wallet(invoice_id)
    assert (person.state(), person.plan()) == ("active", "pro")
    assert taken()[0] == 2 and sorted(taken()[1]) == ["reserved", "used"]
    standing = person.standing()
    assert standing is not None and standing.next_charge == usd("23.20")


def test_late_money_for_a_lower_sum_is_kept_in_the_wallet_once_the_code_is_taken_elsewhere(
    person: Person,
) -> None:
    make()
    invoice_id = written_off(person)
    person.start(replace(CODE, plan="premium"))
    person.cancel()
    assert person.start(replace(CODE, plan="premium")) is not None
    person.cancel()
    person.pay_from_wallet(invoice_id)
    assert (person.state(), person.plan(), person.wallet()) == ("none", "free", Decimal(100))
    assert taken() == (0, ["released"])


def test_a_trial_that_becomes_one_for_life_gives_its_code_back(trial: Person) -> None:
    """A code lowers periods, and there are none any more: its place is for somebody else."""
    make()
    trial.start(CODE)
    assert taken() == (1, ["reserved"])
    with transaction():
        plans.add_price(None, "pro", Decimal(299), period=LIFETIME)
    trial.clock.pass_(seconds=2)
    trial.fill_wallet("299")
    trial.pay_from_wallet(trial.change(choice("pro", LIFETIME)) or 0)
    assert trial.state() == "active" and trial.wallet() == 0
    assert taken() == (0, ["released"])
