"""Ordering, changing and leaving a plan on the pages, with the rail of the demonstration."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select, update

from app.accounts.models import Role, User
from app.db import db, utc_now
from app.money import Money
from app.payments import wallet_rail
from app.payments.models import Invoice
from app.subscriptions import buying, queries, rules, service, usage
from app.subscriptions.kept import jobs
from app.subscriptions.models import KeptSubscription, PlanPrice
from app.subscriptions.periods import LIFETIME, MONTH, Period, Unit
from app.subscriptions.promotions import service as promotions
from app.subscriptions.promotions.rules import MAX_CODE, Terms
from app.subscriptions.rules import RunningBots
from app.subscriptions.terms import Discount
from app.transactions import transaction
from app.wallet import service as wallet
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_account, make_user
from tests.long import few
from tests.payments import world

KEY = "ab" * 16
ORDER = {"period": "month", "rail": "demo", "key": KEY}


@pytest.fixture(autouse=True)
def plans(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction():
        # A fresh installation would lead to its set-up.
        make_user(Role.ADMIN)
        service.seed_plans()
        # What was sold before this second: a preview rounds down to it.
        db.session.execute(update(PlanPrice).values(valid_from=utc_now() - timedelta(hours=1)))
    two = staticmethod(lambda user_id: RunningBots(2, 0))
    monkeypatch.setattr(usage._Registered, "counter", two)


@pytest.fixture
def user(plans: None) -> User:
    with transaction():
        return make_user()


@pytest.fixture
def client(login_as: Callable[[User], Client], user: User) -> Client:
    return login_as(user)


def fill_wallet(user: User, amount: str) -> None:
    with transaction():
        wallet.grant(
            f"fill:{amount}",
            user.id,
            Money(Decimal(amount), "USD"),
            actor_id=None,
            reason="A present",
        )


def order(client: Client, plan: str = "pro", **fields: str) -> str:
    """Order a plan as its page shows it; return the path that the answer leads to."""
    answer = client.post_form(f"/subscribe/{plan}", read(client, plan, **fields))
    assert answer.status_code == 303, re.findall(r"form-error.*?</p>|notice.*?</div>", answer.text)
    return urlsplit(answer.location).path


def read(client: Client, plan: str = "pro", **fields: str) -> dict[str, str]:
    """Return the form of an order with the sums that were shown for it."""
    form = {**ORDER, **fields}
    if "seen" not in form:
        asked = {name: value for name, value in form.items() if name != "key"}
        page = client.get(f"/subscribe/{plan}/quote", query_string=asked).text
        form["seen"] = seen_on(page) if 'name="seen"' in page else ""
    return form


def buy(client: Client, plan: str = "pro", **fields: str) -> None:
    """Order a plan and pay it with a card of the demonstration."""
    page = order(client, plan, **fields)
    assert page.startswith("/demo-pay/")
    assert world.pay(client, page).startswith("/checkouts/")
    world.settle(client)


def count(model: type[Invoice] | type[KeptSubscription]) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def states() -> list[str]:
    """Return the states of all invoices, the oldest first."""
    db.session.rollback()
    return list(db.session.scalars(select(Invoice.state).order_by(Invoice.id)))


def token_on(page: str) -> str:
    found = re.search(r'name="token"[^>]*value="([^"]+)"', page)
    assert found is not None, page
    return found.group(1)


def plan_of(user: User) -> str:
    db.session.rollback()
    return queries.limits_of(user.id).plan


def seen_on(page: str) -> str:
    found = re.search(r'name="seen" value="([^"]+)"', page)
    assert found is not None, page
    return found.group(1)


# ---- the price list ----


def test_a_visitor_registers_and_comes_back_to_the_choice() -> None:
    page = new_visitor().get("/pricing?period=year").text
    assert "/register?next=/subscribe/pro?period%3Dyear" in page
    assert "online payment" not in page


def test_a_year_shows_what_it_comes_to_by_the_month_and_saves() -> None:
    page = new_visitor().get("/pricing?period=year").text
    assert ">290.00\u00a0USD<" in page and "24.17\u00a0USD a month" in page
    assert "58.00\u00a0USD" in page and "\u221216 %" in page


@pytest.mark.parametrize("period", ["", "x" * 3000, "99-month", "13-fortnight", "-1-day", "😀"])
def test_a_period_that_is_not_sold_shows_the_month(period: str) -> None:
    answer = new_visitor().get("/pricing", query_string={"period": period})
    assert answer.status_code == 200 and ">29.00\u00a0USD<" in answer.text


def test_a_price_to_come_and_the_places_left_for_life_are_told() -> None:
    with transaction():
        service.add_price(
            None, "pro", Decimal(39), period=MONTH, valid_from=utc_now() + timedelta(days=9)
        )
        service.add_price(None, "pro", Decimal(990), period=LIFETIME, seats=1)
    page = new_visitor().get("/pricing?period=lifetime").text
    assert "1 place is left." in page and "39.00\u00a0USD a month" in page
    assert "keeps today" in page


@pytest.mark.parametrize("period", few([LIFETIME, MONTH], 1), ids=lambda one: one.code)
def test_what_is_sold_out_is_told_before_it_is_ordered(
    client: Client, login_as: Callable[[User], Client], period: Period
) -> None:
    with transaction():
        service.add_price(None, "pro", Decimal(990), period=period, seats=1)
    for key in (KEY, "cd" * 16):
        # The seat of an order of one's own is one's own.
        assert order(client, period=period.code, key=key).startswith("/demo-pay/")
    page = new_visitor().get(f"/pricing?period={period.code}").text
    assert "Sold out." in page and f"/subscribe/pro?period%3D{period.code}" not in page
    assert "or 990.00" not in new_visitor().get("/pricing?period=year").text
    told = login_as(make_user()).get(f"/subscribe/pro?period={period.code}").text
    assert "Pro is sold out at this price" in told and "Order and pay" not in told


def test_an_extra_bot_that_is_not_sold_for_a_period_is_named(client: Client) -> None:
    with transaction():
        service.add_price(None, "pro", Decimal(990), period=LIFETIME)
    asked = {"period": "lifetime", "addon_extra_bot": "1", "rail": "wallet"}
    page = client.get("/subscribe/pro/quote", query_string=asked).text
    assert "Extra bot is not sold for this period" in page


def test_the_present_plan_is_marked_and_leads_to_its_page(client: Client) -> None:
    page = client.get("/pricing").text
    assert page.count("Your plan") == 1
    assert 'href="/subscribe/pro?period=month"' in page
    buy(client)
    page = client.get("/pricing").text
    assert 'href="/subscriptions/change?plan=premium&amp;period=month"' in page


def new_visitor() -> Client:
    from flask import current_app

    return new_client(current_app)


# ---- ordering ----


@pytest.mark.parametrize("plan", ["free", "nothing", "x" * 500, "%00"])
def test_what_is_not_sold_has_no_order_page(client: Client, plan: str) -> None:
    assert client.get(f"/subscribe/{plan}").status_code in {400, 404}


def test_the_order_page_says_what_is_due_now_and_next(client: Client) -> None:
    page = client.get("/subscribe/pro?period=year&addon_extra_bot=2").text
    assert "290.00\u00a0USD" in page and "100.00\u00a0USD" in page
    assert "Order and pay 390.00\u00a0USD" in page and "Next charge on" in page


def test_the_sum_follows_the_choice_without_an_order(client: Client) -> None:
    page = client.get("/subscribe/pro/quote?period=month&addon_extra_bot=3&rail=wallet").text
    assert "Order and pay 44.00\u00a0USD" in page and "Not enough in the wallet" in page
    assert count(KeptSubscription) == 0


@pytest.mark.parametrize(
    "fields",
    few(
        [
            {"period": "lifetime"},
            {"period": "\x00"},
            {"period": ""},
            {"rail": "stripe"},
            {"rail": "x" * 9999},
            {"key": "short"},
            {"key": ""},
            {"addon_extra_bot": "-1"},
            {"addon_extra_bot": "101"},
            {"addon_extra_bot": "9" * 5000},
            {"addon_extra_bot": "NaN"},
            {"addon_extra_bot": "😀"},
        ],
        3,
    ),
)
def test_an_absurd_order_is_refused_with_its_reason(client: Client, fields: dict[str, str]) -> None:
    answer = client.post_form("/subscribe/pro", {**ORDER, **fields})
    assert answer.status_code == 422 and "notice-danger" in answer.text
    assert count(KeptSubscription) == 0
    asked = {name: value.replace("\x00", "?")[:500] for name, value in fields.items()}
    assert client.get("/subscribe/pro/quote", query_string=asked).status_code == 200


def test_paid_by_card_the_plan_holds_and_the_page_leads_on(client: Client, user: User) -> None:
    page = order(client)
    back = world.pay(client, page)
    waiting = client.get(back)
    assert waiting.status_code == 200 and "Waiting for the provider" in waiting.text
    assert plan_of(user) == "free"
    world.settle(client)
    assert plan_of(user) == "pro"
    arrival = client.get(back).location
    assert urlsplit(arrival).path == "/subscriptions"
    part = client.get(back, headers={"HX-Request": "true"})
    assert part.headers["HX-Redirect"] == arrival
    page = client.get(arrival).text
    assert "Your payment has come." in page
    for wrong in ("0", "9" * 30, "x", "-1"):
        assert "has come" not in client.get(f"/subscriptions?paid={wrong}").text
    assert "It renews by itself on" in page and "2 of 20" in page and ".pdf" in page
    assert "Paid: Pro." in page
    assert "Pro" in client.get("/profile").text and "Pro" in client.get("/dashboard").text


def test_the_same_post_twice_is_one_order(client: Client, user: User) -> None:
    first, second = order(client), order(client)
    assert first == second and (count(KeptSubscription), count(Invoice)) == (1, 1)


def test_paid_from_the_wallet_it_holds_at_once(client: Client, user: User) -> None:
    fill_wallet(user, "30")
    assert order(client, rail="wallet") == "/subscriptions"
    assert plan_of(user) == "pro"
    assert "Wallet" in client.get("/subscriptions").text


@pytest.mark.long
def test_an_empty_wallet_leaves_an_order_that_can_be_paid_or_withdrawn(
    client: Client, user: User
) -> None:
    assert order(client, rail="wallet") == "/subscriptions"
    page = client.get("/subscriptions").text
    assert "Your wallet has 0.00 USD free, 29.00 USD are missing." in page
    assert "Waiting for payment" in page and "Pro is ordered." in page and "Pay now" in page
    assert 'id="plan-notice"' not in page
    assert "is not paid" in client.get("/subscribe/premium").text
    assert client.get("/subscriptions/cancel").status_code == 200
    client.post_form("/subscriptions/cancel")
    assert states() == ["void"] and plan_of(user) == "free"


def test_another_choice_takes_the_place_of_an_unpaid_order(client: Client, user: User) -> None:
    order(client)
    buy(client, "premium", key="cd" * 16)
    assert plan_of(user) == "premium" and states() == ["void", "paid"]


def test_a_bot_can_be_rented_without_a_plan(client: Client, user: User) -> None:
    page = client.get("/subscribe/extra_bot").text
    assert "Rent a bot" in page and "Order and pay 5.00\u00a0USD" in page
    buy(client, "extra_bot", addon_extra_bot="2")
    limits = queries.limits_of(user.id)
    assert (limits.plan, limits.max_bots, limits.max_live_bots) == ("free", 5, 2)
    assert "Extra bot" in client.get("/subscriptions").text


def test_who_has_a_subscription_is_led_to_changing_it(client: Client) -> None:
    buy(client)
    answer = client.get("/subscribe/premium?period=year")
    assert answer.location == "/subscriptions/change?period=year&plan=premium"
    assert order(client, "premium", key="cd" * 16) == "/subscriptions/change"
    assert client.get("/subscribe/extra_bot").location == "/subscriptions/change?addon_extra_bot=1"
    assert count(KeptSubscription) == 1


# ---- changing ----


def test_an_upgrade_is_read_paid_and_holds(client: Client, user: User) -> None:
    buy(client)
    page = client.get("/subscriptions/change?plan=premium").text
    assert "Pay 50.00\u00a0USD and change now" in page
    changed = client.post_form(
        "/subscriptions/change", {"plan": "premium", "period": "month", "token": token_on(page)}
    )
    assert changed.location == "/subscriptions"
    world.settle(client)
    assert plan_of(user) == "premium"


def test_what_was_not_read_is_not_agreed_to(client: Client, user: User) -> None:
    buy(client)
    for token in ("", "old", "\x00", "x" * 9999):
        answer = client.post_form(
            "/subscriptions/change", {"plan": "premium", "period": "month", "token": token}
        )
        assert answer.status_code == 422 and "changed meanwhile" in answer.text
    assert plan_of(user) == "pro" and count(Invoice) == 1


def test_a_smaller_plan_begins_with_the_next_period_and_names_the_bots_that_stop(
    client: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    namer = staticmethod(lambda user_id, bots, live: ["Quokka"] if bots < 100 else [])
    monkeypatch.setattr(usage._Registered, "namer", namer)
    buy(client, "premium")
    page = client.get("/subscriptions/change?plan=pro").text
    assert "Quokka" in page and "1 bot would stop" in page and "Change on" in page
    assert re.search(r"Running bots</dt>\s*<dd[^>]*>.*100 .*20</dd>", page)
    client.post_form(
        "/subscriptions/change", {"plan": "pro", "period": "month", "token": token_on(page)}
    )
    assert plan_of(user) == "premium"
    page = client.get("/subscriptions").text
    assert "From the next period on: Pro." in page and "29.00\u00a0USD" in page
    assert re.search(r"Noted\. From [^:]+ on: Pro\.", page)
    assert re.search(r"<dt>From [^<]+ on</dt>\s*<dd>Pro · By the month</dd>", page)
    client.post_form("/subscriptions/cancel")
    page = client.get("/subscriptions").text
    assert not re.search(r"<dt>From [^<]+ on</dt>", page), "it comes only if the plan is kept"


def test_what_is_chosen_from_stands_with_the_prices_of_its_periods(client: Client) -> None:
    months = Period(3, Unit.MONTH)
    with transaction():
        service.add_price(None, "pro", Decimal(10), period=Period(10, Unit.DAY))
        service.add_price(None, "extra_bot", Decimal(14), period=months)
    bots = "5.00\u00a0USD a month, 14.00\u00a0USD for 3 months, 50.00\u00a0USD a year."
    assert bots in client.get("/subscribe/pro").text
    buy(client)
    page = client.get("/subscriptions/change").text
    assert bots in page and "29.00\u00a0USD a month" in page and "for 10 days" not in page


def test_without_a_subscription_there_is_nothing_to_change(client: Client) -> None:
    assert client.get("/subscriptions/change").location == "/subscriptions"
    assert client.get("/subscriptions/change/preview").status_code == 409
    for verb in ("go-on", "pause", "resume", "portal"):
        assert client.post_form(f"/subscriptions/{verb}").location == "/subscriptions"


# ---- leaving ----


def test_cancelled_it_holds_until_its_end_and_can_go_on(client: Client, user: User) -> None:
    buy(client)
    page = client.get("/subscriptions/cancel").text
    assert "From then on the free plan holds" in page
    client.post_form("/subscriptions/cancel")
    page = client.get("/subscriptions").text
    assert "will not renew" in page and "Keep Pro" in page and plan_of(user) == "pro"
    client.post_form("/subscriptions/cancel")
    client.post_form("/subscriptions/go-on")
    page = client.get("/subscriptions").text
    assert "It renews by itself" in page and "The cancellation was taken back." in page


def test_the_page_of_a_cancelled_plan_says_what_would_go_on(client: Client) -> None:
    buy(client, "premium")
    client.post_form("/subscriptions/cancel")
    page = client.get("/subscriptions").text
    assert "Keep Premium" in page and "If you keep it" in page
    assert re.search(r"<dd>Premium · [^<]*month · .*79\.00", page)
    client.post_form("/subscriptions/go-on")
    shown = client.get("/subscriptions/change?plan=pro").text
    wanted = {"plan": "pro", "period": "month", "token": token_on(shown)}
    client.post_form("/subscriptions/change", wanted)
    client.post_form("/subscriptions/cancel")
    page = client.get("/subscriptions").text
    assert "Take the cancellation back" in page and "Keep Premium" not in page
    assert re.search(r"<dd>Pro · [^<]*month · .*29\.00", page)


def test_a_plan_of_somebody_else_stays_as_it_is(
    client: Client, user: User, login_as: Callable[[User], Client]
) -> None:
    buy(client)
    with transaction():
        other = make_user()
    stranger = login_as(other)
    stranger.post_form("/subscriptions/cancel")
    assert "will not renew" not in client.get("/subscriptions").text
    assert plan_of(user) == "pro" and plan_of(other) == "free"


# ---- what has to be heard ----


def test_who_has_nothing_to_be_charged_by_is_not_told_that_it_renews(client: Client) -> None:
    page = order(client)
    world.pay(client, page, world.DISPUTED)
    world.settle(client)
    told = client.get("/subscriptions").text
    assert "The next period is yours to pay, by" in told and "renews by itself" not in told


@pytest.mark.long
def test_every_page_tells_of_a_payment_that_failed(client: Client, user: User) -> None:
    fall_behind(client, user)
    text = ""
    for page in ("/dashboard", "/bots", "/profile", "/subscriptions"):
        text = client.get(page).text
        assert 'id="plan-notice"' in text and "Pay now" in text, page
    assert "There is not enough money in the wallet." in text and "Your plan goes on until" in text
    assert plan_of(user) == "pro"


def test_who_owes_something_is_led_to_paying_it(client: Client, user: User) -> None:
    fall_behind(client, user)
    assert client.get("/subscribe/premium").location == "/subscriptions"
    owed = order(client, "premium", key="cd" * 16)
    assert owed.startswith("/invoices/")
    assert count(KeptSubscription) == 1
    # Who has just paid is not asked to pay on the page that waits for the news of it.
    back = client.get(world.pay(client, world.open_page(client, int(owed.rpartition("/")[2])))).text
    assert "Waiting for the provider" in back and "Pay now" not in back


def test_a_wallet_that_is_too_empty_for_the_next_period_is_told(client: Client, user: User) -> None:
    fill_wallet(user, "30")
    order(client, rail="wallet")
    assert 'id="plan-notice"' not in client.get("/dashboard").text
    live_on(user, 28)
    assert "28.00\u00a0USD short" in client.get("/dashboard").text


def test_a_renewal_is_told_in_the_week_before_it_until_it_is_paid(
    client: Client, user: User
) -> None:
    fill_wallet(user, "58")
    order(client, rail="wallet")
    live_on(user, 20)
    jobs.renew_due()
    assert 'id="plan-notice"' not in client.get("/dashboard").text
    live_on(user, 5)
    jobs.renew_due()
    page = client.get("/dashboard").text
    assert "Pro renews on" in page and "Pay ahead" in page
    db.session.rollback()
    number = db.session.scalars(select(Invoice.id).where(Invoice.state == "open")).one()
    db.session.rollback()
    with transaction():
        wallet_rail.pay_invoice(user.id, number)
    assert 'id="plan-notice"' not in client.get("/dashboard").text


def test_the_end_of_free_days_is_told(client: Client, user: User) -> None:
    with transaction():
        pro = queries.plans_on_offer()[1]
        service.change_plan(None, "pro", pro, visible=True, trial_days=14)
    page = client.get("/subscribe/pro").text
    assert "Free until" in page and "Begin the free days" in page
    assert order(client) == "/subscriptions" and plan_of(user) == "pro"
    assert "Free days" in client.get("/subscriptions").text
    assert 'id="plan-notice"' not in client.get("/dashboard").text
    live_on(user, 12)
    assert "Your free days of Pro end on" in client.get("/dashboard").text


# ---- refusals ----


def test_a_limit_leads_to_the_plan_that_allows_more(client: Client, user: User) -> None:
    error = rules.allowance_spent(
        queries.limits_of(user.id), rules.Allowance.PAST_RUNS, queries.plans_on_offer(), 60
    )
    assert error.values["better_code"] == "pro"
    for _ in range(2):
        with transaction():
            make_account(user)
    answer = client.post_form(
        "/exchanges/new?exchange=paper",
        {"label": "More", "exchange": "bybit", "balance": "100"},
    )
    assert answer.status_code == 422 and 'href="/subscribe/pro"' in answer.text


def fall_behind(client: Client, user: User) -> None:
    """Have a plan whose next period the wallet can't pay."""
    fill_wallet(user, "29")
    order(client, rail="wallet")
    live_on(user, 32)
    db.session.rollback()
    jobs.renew_due()
    jobs.renew_due()
    db.session.rollback()


def live_on(user: User, days: int) -> None:
    """Let a subscription have begun so many days earlier."""
    names = ("started_at", "anchor", "period_start", "period_end", "trial_end")
    with transaction():
        kept = db.session.scalars(
            select(KeptSubscription).where(KeptSubscription.user_id == user.id)
        ).one()
        for name in names:
            moment = getattr(kept, name)
            setattr(kept, name, moment and moment - timedelta(days=days))


# ---- promotion codes ----


def make_code(percent: str = "20") -> None:
    with transaction():
        discount = Discount("SPRING", percent=Decimal(percent))
        promotions.make(None, Terms(discount))


def test_a_code_is_typed_and_the_new_sum_stands_there_before_paying(
    client: Client, user: User
) -> None:
    make_code()
    assert 'name="promo"' in client.get("/subscribe/pro").text
    chosen = {"period": "month", "rail": "demo", "promo": "spring"}
    quote = client.get("/subscribe/pro/quote", query_string=chosen).text
    assert "Code SPRING" in quote and "Order and pay 23.20" in quote
    buy(client, promo="spring")
    db.session.rollback()
    invoice = db.session.scalars(select(Invoice)).one()
    assert (invoice.discount, invoice.total) == (Decimal("5.8"), Decimal("23.2"))
    assert plan_of(user) == "pro"
    page = client.get(f"/invoices/{invoice.id}").text
    assert "Discount" in page and "5.80" in page


def test_a_link_brings_its_code_along(client: Client) -> None:
    make_code()
    page = client.get("/subscribe/pro?promo=spring").text
    assert 'value="spring"' in page and "23.20" in page


def test_a_code_that_takes_all_off_begins_at_once(client: Client, user: User) -> None:
    make_code(percent="100")
    assert order(client, promo="SPRING") == "/subscriptions"
    assert plan_of(user) == "pro"


@pytest.mark.parametrize(
    "code",
    few(["nothing", "x" * 41, "x" * 5_000, "\x00\x00\x00", "😀😀😀", "<b>bold</b>", "' or 1=1"], 3),
)
def test_a_code_that_does_not_hold_is_refused_with_a_sentence(client: Client, code: str) -> None:
    make_code()
    answer = client.post_form("/subscribe/pro", {**ORDER, "promo": code})
    assert answer.status_code == 422
    assert len(code) > MAX_CODE or "There is no promotion code like this" in answer.text
    assert "<b>bold" not in answer.text
    chosen = {"period": "month", "rail": "demo", "promo": code}
    quote = client.get("/subscribe/pro/quote", query_string=chosen)
    # What no page can mean is refused by the house before it comes here.
    assert quote.status_code == (400 if "\x00" in code else 200)
    assert "Order and pay" not in quote.text
    assert count(Invoice) == 0


def test_a_price_that_nobody_has_read_is_not_taken_from_the_wallet(
    client: Client, user: User
) -> None:
    fill_wallet(user, "100.00")
    old = {**ORDER, "rail": "wallet", "seen": seen_on(client.get("/subscribe/pro").text)}
    with transaction():
        service.add_price(None, "pro", Decimal("49.00"))
    answer = client.post_form("/subscribe/pro", old)
    assert answer.status_code == 422 and "What it costs has changed meanwhile" in answer.text
    assert count(Invoice) == 0 and plan_of(user) == "free"
    order(client, rail="wallet", seen=seen_on(answer.text))
    assert plan_of(user) == "pro"
    assert buying.in_wallet(user.id) == Money(Decimal("51.00"), "USD")


@pytest.mark.long
def test_an_order_in_place_of_one_that_waits_is_taken_at_the_shown_sums_only(
    client: Client, user: User
) -> None:
    fill_wallet(user, "100")
    order(client)
    old = {**ORDER, "rail": "wallet", "seen": seen_on(client.get("/subscribe/pro").text)}
    with transaction():
        service.add_price(None, "pro", Decimal("90.00"))
    answer = client.post_form("/subscribe/pro", {**old, "key": "cd" * 16})
    assert answer.status_code == 422 and states() == ["open"]
    order(client, rail="wallet", key="cd" * 16, seen=seen_on(answer.text))
    assert states() == ["void", "paid"]


def test_an_order_without_the_sums_that_were_read_shows_them(client: Client, user: User) -> None:
    fill_wallet(user, "100.00")
    answer = client.post_form("/subscribe/pro", {**ORDER, "rail": "wallet"})
    assert answer.status_code == 422 and "Nothing is ordered yet" in answer.text
    assert seen_on(answer.text) == "29 USD 29 USD"
    assert count(Invoice) == 0 and plan_of(user) == "free"


@pytest.mark.long
def test_who_has_a_plan_that_is_not_sold_any_more_keeps_it_beside_more_bots(
    client: Client, user: User
) -> None:
    fill_wallet(user, "100.00")
    order(client, rail="wallet")
    with transaction():
        service.change_plan(None, "pro", queries.limits_of_plan("pro"), visible=False)
    page = client.get("/subscriptions/change").text
    assert re.search(r'<input checked[^>]*name="plan"[^>]*value="pro"', page)
    wanted = {"plan": "pro", "period": "month", "addon_extra_bot": "2"}
    shown = client.get("/subscriptions/change/preview", query_string=wanted).text
    answer = client.post_form("/subscriptions/change", {**wanted, "token": token_on(shown)})
    assert answer.status_code == 303, answer.text
    db.session.rollback()
    standing = buying.standing(user.id)
    assert standing is not None
    assert (standing.plan_code, standing.addons) == ("pro", {"extra_bot": 2})


@pytest.mark.long
def test_bots_that_are_not_rented_out_any_more_stay_when_the_plan_is_changed(
    client: Client, user: User
) -> None:
    fill_wallet(user, "100.00")
    order(client, rail="wallet", addon_extra_bot="2")
    bots = queries.limits_of_plan("extra_bot")
    with transaction():
        service.change_plan(None, "extra_bot", bots, visible=False)
    page = client.get("/subscriptions/change?plan=premium").text
    assert re.search(r'name="addon_extra_bot"[^>]*value="2"', page) and "Extra bot × 2" not in page
    wanted = {"plan": "premium", "period": "month", "addon_extra_bot": "2"}
    answer = client.post_form("/subscriptions/change", {**wanted, "token": token_on(page)})
    assert answer.status_code == 303, answer.text
    limits = queries.limits_of(user.id)
    assert (limits.plan, limits.max_bots) == ("premium", 100 + 2)
