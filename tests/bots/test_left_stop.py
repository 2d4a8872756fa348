"""A position in a contract is not left without its stop when a bot ends and keeps it."""

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest
from sqlalchemy import select

from app.bots import jobs, service, stopping
from app.bots.funds import read_funds
from app.bots.live.rows import give_up_stops
from app.bots.models import Bot, BotMetrics
from app.bots.queries import bot_card, left_coins, notices_for
from app.bots.queries.names import unfinished_bots
from app.bots.starting import start_as_planned_now
from app.bots.wording import say
from app.db import db, utc_now
from app.errors import Conflict
from app.exchanges.models import PaperBalance, PaperOrder, PaperStake
from app.notifications.queries import caught_mails
from app.trades.queries import Line
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.live_world import World
from tests.bots.shop import GRID, Shop
from tests.bots.test_running import as_contract
from tests.long import few

LONG: dict[str, Any] = {
    "direction": "long", "leverage": Decimal(3), "stop_loss": Decimal(85), "at_exit": "sell",
}  # fmt: skip
SHORT: dict[str, Any] = {**LONG, "direction": "short", "stop_loss": Decimal(115)}


class Desk:
    """A bot on a contract that holds a position and has a stop for it."""

    def __init__(self, **params: Any) -> None:
        self.shop = Shop.open()
        as_contract(self.shop)
        self.world = World(self.shop.market_id)
        self.bot = self.shop.run_bot("97.9", "95.9", **{**LONG, **params})
        assert self.held != 0

    @property
    def held(self) -> Decimal:
        return Decimal(self.world.metrics(self.bot).base)

    @property
    def state(self) -> str:
        return str(self.world.bot(self.bot).state)

    def stops(self) -> list[tuple[Decimal, Decimal]]:
        live = [o for o in self.world.open_orders(self.bot) if o.purpose == "protect"]
        return [(order.price, order.quantity - order.filled) for order in live]

    def others(self) -> int:
        return sum(order.purpose != "protect" for order in self.world.open_orders(self.bot))

    def ticks(self, count: int = 4) -> None:
        for _ in range(count):
            self.shop.tick()

    def stop(self, how: StopHow = StopHow.KEEP) -> None:
        with transaction():
            stopping.request_stop(self.shop.user_id, self.bot, how, by_operator=True)
        self.ticks()

    def end_by_plan(self) -> None:
        with transaction():
            stopping.system_stop(self.bot, "plan_ended", plan="pro")
        self.ticks()

    def notices(self) -> list[str]:
        with transaction():
            return [line.code for line in notices_for(bot_card(self.shop.user_id, self.bot))]

    def agree(self) -> None:
        ours = {order.client_id for order in self.world.open_orders(self.bot)}
        with transaction():
            venue = select(PaperOrder.client_id).where(PaperOrder.status == "open")
            stake = db.session.scalar(select(PaperStake.base))
            assert set(db.session.scalars(venue)) == ours
        assert stake == self.held


@pytest.fixture
def desk(database: None) -> Desk:
    return Desk()


def give_up(desk: Desk) -> None:
    with transaction():
        db.session.execute(
            Bot.__table__.update().where(Bot.id == desk.bot).values(state="error")  # type: ignore[attr-defined]
        )
    desk.ticks()


@pytest.mark.parametrize("params", few([SHORT, LONG], 2))
@pytest.mark.parametrize("end", few([Desk.end_by_plan, Desk.stop, give_up], 3))
def test_whoever_ends_a_bot_the_stop_of_its_position_stays(
    database: None, params: dict[str, Any], end: Callable[[Desk], None]
) -> None:
    desk = Desk(**params)
    end(desk)
    assert desk.state in {"stopped", "error"}
    assert desk.others() == 0
    assert desk.stops() == [(params["stop_loss"], abs(desk.held))]
    if desk.state == "stopped":
        assert "notice_left_stop" in desk.notices()
        assert desk.world.events(desk.bot)[-1] in {"stop_left", "bot_stopped"}
        assert "stop_left" in desk.world.events(desk.bot)
        assert "position_unprotected" not in desk.world.events(desk.bot)
    desk.agree()


def test_a_left_stop_closes_the_position_and_the_log_and_the_page_say_so(desk: Desk) -> None:
    desk.end_by_plan()
    desk.shop.play("91", "84.5", "99")
    desk.ticks()
    assert desk.held == 0
    assert not desk.stops()
    assert desk.world.events(desk.bot).count("left_stop_fired") == 1
    assert "trigger" not in (desk.world.bot(desk.bot).protection or {})
    assert not {"notice_left_stop", "notice_left_position"} & set(desk.notices())
    assert {trade.status for trade in desk.world.trades(desk.bot)} <= {"closed"}
    desk.agree()


@pytest.mark.long
def test_who_asks_for_keep_once_more_removes_the_stop_and_is_told_what_that_means(
    desk: Desk,
) -> None:
    desk.stop()
    held = desk.held
    desk.stop()
    assert (desk.held, desk.stops(), desk.state) == (held, [], "stopped")
    assert "notice_no_stop" in desk.notices()
    # Nor does it come back by itself.
    desk.end_by_plan()
    assert desk.stops() == []
    desk.agree()


@pytest.mark.long
def test_closing_the_position_takes_the_stop_along(desk: Desk) -> None:
    desk.end_by_plan()
    desk.stop(StopHow.SELL)
    assert desk.held == 0
    assert not desk.stops()
    assert desk.state == "stopped"
    desk.agree()


def test_a_new_start_takes_the_stop_over_without_a_gap(desk: Desk) -> None:
    desk.end_by_plan()
    with transaction():
        start_as_planned_now(desk.shop.user_id, desk.bot)
    for _ in range(6):
        desk.shop.tick()
        assert desk.stops()
    assert desk.state == "active"
    assert desk.stops() == [(Decimal(85), desk.held)]
    assert "left" not in desk.world.bot(desk.bot).protection
    desk.agree()


@pytest.mark.long
def test_another_stop_by_us_leaves_it_alone(desk: Desk) -> None:
    desk.end_by_plan()
    epoch = desk.world.bot(desk.bot).epoch
    with transaction():
        stopping.system_stop(desk.bot, "account_leaving")
    desk.ticks()
    assert desk.world.bot(desk.bot).epoch == epoch
    assert len(desk.stops()) == 1
    # Who leaves need not wait for it.
    with transaction():
        assert unfinished_bots(desk.shop.user_id) == []


@pytest.mark.long
def test_a_stop_that_is_not_in_step_is_replaced_before_the_bot_ends(desk: Desk) -> None:
    # A buy fills in the very tick of the stop.
    with transaction():
        stopping.system_stop(desk.bot, "plan_ended", plan="pro")
    desk.shop.play("93.9")
    desk.ticks()
    assert desk.stops() == [(Decimal(85), desk.held)]
    desk.agree()


def test_coins_that_are_kept_on_spot_are_their_owners_without_a_stop(database: None) -> None:
    shop = Shop.open()
    bot = shop.run_bot(stop_loss=Decimal(85), at_exit="sell", max_resting=Decimal(4))
    with transaction():
        stopping.system_stop(bot, "plan_ended", plan="pro")
    for _ in range(4):
        shop.tick()
    world = World(shop.market_id)
    assert world.bot(bot).state == "stopped"
    assert world.open_orders(bot) == []


@pytest.mark.parametrize(
    ("by_us", "with_stop", "words"),
    few(
        [
            (True, True, "stop stays on the exchange"),
            (True, False, "No stop protects"),
            (False, True, None),
        ],
        3,
    ),
)
def test_the_owner_of_a_bot_that_we_stopped_reads_by_mail_what_becomes_of_the_position(
    database: None, by_us: bool, with_stop: bool, words: str | None
) -> None:
    desk = Desk() if with_stop else Desk(stop_loss=None)
    if by_us:
        desk.end_by_plan()
    else:
        desk.stop()
    for _ in range(2):
        jobs.mark_stale()
    with transaction():
        mails = [mail for mail in caught_mails() if mail.template == "position_kept"]
        assert len(mails) == (words is not None)
        assert words is None or words in mails[0].body


@pytest.mark.long
def test_where_the_key_is_refused_a_bot_says_that_nothing_could_be_done(desk: Desk) -> None:
    with transaction():
        stopping.system_stop(desk.bot, "key_off")
        owners = give_up_stops(desk.shop.account_id, utc_now())
    assert owners == {desk.bot: desk.shop.user_id}
    assert desk.state == "error"
    assert "notice_without_key" in desk.notices()
    line = next(each for each in desk.world.log(desk.bot) if each.code == "stop_without_key")
    assert "stand there as they are" in say(Line(line.code, line.values))
    # The key is back: orders go, the stop stays.
    desk.ticks()
    assert (desk.others(), len(desk.stops())) == (0, 1)


@pytest.mark.long
def test_the_margin_of_a_kept_position_is_not_given_to_another_bot(desk: Desk) -> None:
    desk.end_by_plan()
    with transaction():
        funds = read_funds(desk.shop.account())
        cost = db.session.get_one(BotMetrics, desk.bot).base_cost
        balance = db.session.scalar(select(PaperBalance).where(PaperBalance.currency == "USDT"))
        assert balance is not None
        assert funds.claimed["USDT"] == round(cost / 3, 18)
        assert abs(funds.free("USDT") - balance.free) <= Decimal("1e-17")
        # It may itself go on with it.
        assert "USDT" not in read_funds(desk.shop.account(), but=desk.bot).claimed
    desk.stop(StopHow.SELL)
    with transaction():
        assert "USDT" not in read_funds(desk.shop.account()).claimed


@pytest.mark.long
def test_orders_that_were_left_and_would_open_more_claim_their_margin_too(desk: Desk) -> None:
    desk.stop(StopHow.LEAVE_ORDERS)
    assert desk.others() > 2
    with transaction():
        account = desk.shop.account()
        balance = db.session.scalar(select(PaperBalance).where(PaperBalance.currency == "USDT"))
        assert balance is not None
        assert abs(read_funds(account).free("USDT") - balance.free) <= Decimal("1e-17")


# --- coins that a stopped bot on spot has kept ----------------------------------------------------


def kept_coins() -> tuple[Shop, World, int]:
    shop = Shop.open()
    bot = shop.run_bot("97.9", "95.9")
    ask(shop, bot, StopHow.KEEP)
    world = World(shop.market_id)
    assert world.metrics(bot).base > 1
    return shop, world, bot


def ask(shop: Shop, bot: int, how: StopHow) -> None:
    with transaction():
        stopping.request_stop(shop.user_id, bot, how)
    for _ in range(4):
        shop.tick()


@pytest.mark.long
def test_a_second_stop_sells_the_coins_that_the_first_one_kept(database: None) -> None:
    shop, world, bot = kept_coins()
    held = world.metrics(bot).base.quantize(Decimal("0.0001"), ROUND_DOWN)
    with transaction():
        assert left_coins(bot_card(shop.user_id, bot)) == held
    ask(shop, bot, StopHow.SELL)
    assert world.metrics(bot).base < Decimal("0.0001")
    assert world.bot(bot).state == "stopped"
    assert {trade.status for trade in world.trades(bot)} <= {"closed"}
    world.assert_books_agree()
    # What is left is dust: asking once more changes nothing.
    epoch = world.bot(bot).epoch
    ask(shop, bot, StopHow.SELL)
    assert world.bot(bot).epoch == epoch


@pytest.mark.long
def test_coins_that_another_bot_took_over_are_not_sold_and_the_owner_reads_why(
    database: None,
) -> None:
    shop, world, bot = kept_coins()
    before = world.metrics(bot).base
    with transaction():
        # Another one holds as many of these coins as the account has.
        other = service.create_bot(
            shop.user_id, shop.account_id, shop.market_id, "grid", GRID, "Other"
        )
        db.session.get_one(Bot, other).state = "active"
        db.session.get_one(BotMetrics, other).base = before
    with pytest.raises(Conflict) as refusal:
        ask(shop, bot, StopHow.SELL)
    assert refusal.value.code == "coins_in_use"
    assert world.metrics(bot).base == before
