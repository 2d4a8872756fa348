"""What holds of a grid after every step, whatever has happened."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from app.bots import running, ties
from app.bots.figures import books_of
from app.bots.models import BotMetrics
from app.bots.planning import Prospect
from app.bots.queries import levels_of
from app.trades.models import OrderRow
from app.trading.contracts import OrderSums, Stake, exposures, only_closes
from app.trading.market import Market
from app.trading.orders import Side
from app.trading.performance import figures
from app.trading.position import Holdings
from app.trading.strategies.grid_edit import Edit
from app.trading.strategies.grid_figures import GridPlan
from app.trading.strategies.grid_news import MOST_REFUSALS, TAKEN_BACK, order_level, order_price
from app.trading.strategies.grid_params import Direction, GridParams
from app.trading.strategies.grid_plan import most_resting
from app.trading.strategies.grid_state import GridState, Phase
from app.trading.strategies.grid_trail import steps_of
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.sequences.life import GRID, IN_VAIN, Life, Scene

ZERO = Decimal(0)
# Reasons that settings or a market give a grid to end by itself.
ENDINGS = frozenset(
    {"stop_loss_reached", "take_profit_reached", "stop_loss_share_reached",
     "take_profit_share_reached", "liquidated", "protection_fired"}
)  # fmt: skip
ASKED_FOR = frozenset({"stopped_by_owner", "emergency_stop", "unlocked", "not_started_yet"})


class Wanted(NamedTuple):
    """An order that a grid should have at the venue."""

    side: str
    level: int
    price: Decimal
    quantity: Decimal
    tries: int


class Watch:
    """Holds a bot against its rules; `warned` are the codes that said money may be short."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.warned: set[str] = set()
        self._in_vain = 0
        self._coarsest = ZERO

    def check(self) -> None:
        """Check everything that always holds."""
        scene = self.life.look()
        bot, state = scene.bot, scene.grid
        said = f"{bot.state}: {scene.why} {bot.last_error or ''}"
        assert bot.state in {"active", "stopped", "locked"}, said
        assert bot.state != "stopped" or scene.why in ENDINGS | ASKED_FOR, f"ended itself, {said}"
        self._check_books(scene)
        self._check_profit(scene)
        self._check_trips(scene)
        self._check_vain(scene)
        if state is not None:
            assert GRID.encode_state(state) == bot.strategy_state
            assert GRID.decode_state(GRID.encode_state(state)) == state
        if bot.state == "active":
            assert state is not None
            if state.phase is Phase.EDITING:
                # It waits for a price in its new range; the stop of its position stays.
                assert GRID.is_outside(scene.params, self.life.price), "an edit hangs"
                assert {order.purpose for order in scene.orders} <= {"protect"}
                return
            assert state.phase is Phase.RUNNING, f"{state.phase} after a tick"
            self._check_ladder(scene, state)
            self._check_pages(scene)

    # --- money -----------------------------------------------------------------------------------

    def _check_books(self, scene: Scene) -> None:
        life, market, sums = self.life, self.life.market, scene.sums
        venue = {name: free + locked for name, (free, locked) in scene.balances.items()}
        for name, (free, locked) in scene.balances.items():
            assert free >= 0 <= locked, f"{free} {name} free, {locked} locked"
        if life.is_contract:
            venue[market.symbol] = scene.position
        with transaction():
            ours = ties.stands_of({life.shop.account_id: venue})[life.shop.account_id].ours
        for name in {*venue, *ours}:
            moved = venue.get(name, ZERO) - (life.deposit if name == market.quote else ZERO)
            assert moved == ours.get(name, ZERO), f"{name}: venue {moved}, ours {ours.get(name)}"
        standing = {order.client_id for order in scene.orders}
        assert standing == scene.at_venue, "our orders are not the venue's"
        if not life.is_contract:
            assert sums.quote >= 0, f"cash {sums.quote}"
            assert sums.base >= 0, f"coins {sums.base}"
        direction = scene.params.direction
        assert not (direction is Direction.LONG and sums.base < 0), f"long grid holds {sums.base}"
        assert not (direction is Direction.SHORT and sums.base > 0), f"short grid holds {sums.base}"

    def _check_profit(self, scene: Scene) -> None:
        sums, price = scene.sums, self.life.price
        found = figures(books_of(sums), price, self.life.market)
        assert found.total == found.grid + found.price_change + found.funding
        equity = sums.quote + sums.base * price
        assert found.total == equity - (sums.deposited - sums.withdrawn)
        assert sums.funding == found.funding

    def _check_trips(self, scene: Scene) -> None:
        sums, orders = scene.sums, {order.id: order for order in scene.every_order}
        closed = [trip for trip in scene.trades if trip.status == "closed"]
        matched = [t for t in closed if t.exit_order_id and _is_grids(orders[t.exit_order_id])]
        assert len(matched) == sums.matched_trades
        assert sum((trip.profit or ZERO for trip in matched), ZERO) == sums.grid_profit
        exits = Counter(trip.exit_order_id for trip in matched)
        assert max(exits.values(), default=1) == 1, "an order closed two trips"
        if not self.life.is_contract:
            waiting = [trip.quantity for trip in scene.trades if trip.status == "open"]
            # What fills no lot of one trip may have been sold along by another.
            self._coarsest = max(self._coarsest, self.life.market.lot or ZERO)
            most = sums.base + self._coarsest * len(waiting)
            assert sum(waiting, ZERO) <= most, "coins that are gone wait for their sale"
        entries = Counter(trip.entry_order_id for trip in closed if trip.entry_order_id)
        assert max(entries.values(), default=1) == 1, "an order opened two trips"
        if scene.params.trailing_up or scene.params.trailing_down:
            return
        for trip in matched:
            exit_ = orders[trip.exit_order_id or 0]
            entry = orders.get(trip.entry_order_id or 0)
            if entry is None:
                continue
            assert entry.epoch == exit_.epoch
            assert {entry.side, exit_.side} == {"buy", "sell"}
            up = 1 if exit_.side == "sell" else -1
            assert (exit_.level or 0) - (entry.level or 0) == up, "a trip joins foreign levels"

    def _check_vain(self, scene: Scene) -> None:
        found = [order for order in scene.every_order if order.status in IN_VAIN]
        new, self._in_vain = found[self._in_vain :], len(found)
        said = [
            f"{order.status} {order.error}: {order.purpose} {order.side} {order.quantity} at "
            f"{order.price}"
            for order in new
        ]
        assert not said, f"asked for in vain: {said}"

    # --- orders ----------------------------------------------------------------------------------

    def _check_ladder(self, scene: Scene, state: GridState) -> None:
        params, market = scene.params, self.life.market
        standing = [order for order in scene.orders if _is_grids(order)]
        places = Counter((order.side, order.level) for order in standing)
        assert max(places.values(), default=1) == 1, f"two orders on a level: {places}"
        every = {(w.side, w.level): w for w in _wanted(params, state, market)}
        paused = [w for w in every.values() if MOST_REFUSALS <= w.tries < TAKEN_BACK]
        assert not paused, f"levels rest that nobody took back: {paused}"
        wanted = {
            place: want
            for place, want in every.items()
            if want.tries < MOST_REFUSALS
            and market.is_tradable(market.quantity_down(want.quantity), want.price)
        }
        have = {(order.side, order.level or 0): order for order in standing}
        strange = set(have) - set(every)
        assert not strange, f"orders that nobody wants: {strange}"
        cap = most_resting(params, market)
        missing = [wanted[place] for place in sorted(set(wanted) - set(have))]
        lacking = [want for want in missing if self._lacks_means(scene, want)]
        enough = len(wanted) if cap is None else min(cap, len(wanted))
        assert cap is None or len(standing) <= cap, f"{len(standing)} orders rest, {cap} may"
        if len(standing) < enough:
            # Of few that rest nobody knows which ones should.
            whole = missing == lacking if cap is None else enough <= len(standing) + len(lacking)
            assert whole, f"missing orders: {set(missing) - set(lacking)}"
            told = {"without_means", "without_margin"} & _told(state)
            assert told, f"orders wait and nobody was told: {lacking}"
        for place, order in have.items():
            left = order.quantity - order.filled
            assert left == every[place].quantity, f"{place}: {left} rests, not {every[place]}"

    def _lacks_means(self, scene: Scene, want: Wanted) -> bool:
        """Tell whether coins, money or margin are missing for an order beside those that rest."""
        market, sums = self.life.market, scene.sums
        side, quantity = Side(want.side), market.quantity_down(want.quantity)
        orders = OrderSums()
        for order in filter(_is_grids, scene.orders):
            left = order.quantity - order.filled
            orders = orders.plus(Side(order.side), left, left * (order.price or ZERO))
        if self.life.is_contract:
            stake = Stake(sums.base, sums.base_cost)
            orders = orders.plus(side, quantity, quantity * want.price)
            wallet = Holdings(sums.base, sums.quote, sums.base_cost).wallet
            ways, fee = exposures(stake, orders), 2 * market.maker_fee
            # The order's own fee has to be there also where the other way binds all margin.
            beside = max(ways.values()) / scene.params.leverage + fee * quantity * want.price
            held = Side.BUY if stake.base > 0 else Side.SELL
            return not only_closes(stake, side, orders) and wallet < max(
                beside,
                *(
                    value / scene.params.leverage
                    + fee * (value - (stake.cost if way == held else ZERO))
                    for way, value in ways.items()
                ),
            )
        if side is Side.SELL:
            return orders.sells + quantity > sums.base
        fee = 1 + market.buy_fee_in_quote(market.maker_fee)
        return (orders.buys_value + quantity * want.price) * fee > sums.quote

    def _check_pages(self, scene: Scene) -> None:
        life = self.life
        with transaction():
            shown = {level.number: level for level in levels_of(life.bot_id)}
            limits = running.money_limits(life.shop.user_id, life.bot_id)
        standing = {order.level for order in scene.orders if _is_grids(order)}
        assert standing <= set(shown), "the page shows fewer levels than orders rest on"
        assert limits.most_out >= 0

    # --- what was promised -----------------------------------------------------------------------

    def compare_money(self, promised: Decimal, before: BotMetrics, more: Decimal = ZERO) -> None:
        """See that just the previewed money has come in, or gone out, or at most so much more."""
        came = _net(self.life.sums()) - _net(before)
        said = f"{promised} was to come in, {came} did"
        assert came <= promised + more if more else came == promised, said

    def compare_edit(self, edit: Edit, before: BotMetrics) -> None:
        """See that just what was previewed has come of an edit."""
        self.compare_money(edit.money_in, before)
        scene, market, price = self.life.look(), self.life.market, self.life.price
        if scene.bot.state != "active" or scene.grid is None or scene.grid.phase is Phase.EDITING:
            return
        lot = market.lot or ZERO
        traded = scene.sums.base - before.base
        promised = edit.base_to_buy - edit.base_to_sell
        fee = abs(promised) * market.taker_fee + lot
        assert abs(traded - promised) <= fee, f"{promised} was to be traded, {traded} was"
        spent = before.quote + edit.money_in - scene.sums.quote
        cost = edit.cost if edit.base_to_buy else -edit.cost
        slip = abs(cost) * market.taker_fee + price * lot
        assert abs(spent - cost) <= slip, f"{cost} was to be spent, {spent} was"
        if edit.kept or edit.places:
            planned = [(o.side.value, o.price, o.quantity) for o in (*edit.kept, *edit.places)]
            self._compare_orders(scene, Counter(planned), exactly=True)

    def compare_start(self, ahead: Prospect) -> None:
        """See that just what was planned has come of a start."""
        scene, market = self.life.look(), self.life.market
        if scene.bot.state == "stopped" and scene.why in ENDINGS:
            return
        assert scene.bot.state == "active", f"{scene.bot.state} after a start: {scene.why}"
        plan = ahead.settings.plan
        assert isinstance(plan, GridPlan)
        planned = Counter(
            (side, order.price, order.quantity or ZERO)
            for side, orders in (("buy", plan.buys), ("sell", plan.sells))
            for order in orders or ()
        )
        self._compare_orders(scene, planned)
        if self.life.is_contract:
            held, first = scene.sums.base, plan.base_to_buy or ZERO
            least = market.smallest_quantity(self.life.price) + (market.lot or ZERO)
            assert abs(held - first) <= least, f"{first} was to be held, {held} is"

    def _compare_orders(
        self,
        scene: Scene,
        planned: Counter[tuple[str, Decimal, Decimal]],
        *,
        exactly: bool = False,
    ) -> None:
        market = self.life.market
        found = [order for order in scene.orders if _is_grids(order)]
        have = Counter((o.side, o.price or ZERO, o.quantity - o.filled) for o in found)
        missing, extra = sorted((planned - have).elements()), sorted((have - planned).elements())
        if exactly:
            assert not extra, f"not promised: {extra}; missing: {missing}"
            if most_resting(scene.params, market) is None:
                assert not missing, f"promised and missing: {missing}"
            return
        # What is held already may be too little for all orders that close, by less than can be
        # traded: each of those is a lot smaller then.
        least = market.smallest_quantity(self.life.price) + (market.lot or ZERO)
        for short in extra:
            whole = next((each for each in missing if each[:2] == short[:2]), None)
            assert whole is not None, f"not planned: {short}; missing: {missing}"
            missing.remove(whole)
            least -= whole[2] - short[2]
            assert short[2] < whole[2], f"{short} rests in place of {whole}"
        # Where the plan has warned that money is short, the last one takes what is left.
        assert least >= 0 or self.warned, f"smaller than planned: {extra}"
        waits = {"without_means", "without_margin"}
        lacks = scene.grid is not None and waits & _told(scene.grid)
        if most_resting(scene.params, market) is None and not (self.warned and lacks):
            assert not missing, f"planned and missing: {missing}"

    def compare_stop(self, how: StopHow) -> None:
        """See that a stop has left what it was asked to leave."""
        scene, market = self.life.look(), self.life.market
        said = f"{scene.bot.state} after a stop: {scene.bot.last_error}"
        assert scene.bot.state in {"stopped", "locked"}, said
        if scene.bot.state == "locked":
            return
        if how is not StopHow.LEAVE_ORDERS:
            # The stop of a position that is kept stays with it.
            others = [order for order in scene.orders if order.purpose != "protect"]
            stops = [order for order in scene.orders if order not in others]
            assert not others, "orders are left after a stop"
            kept = self.life.is_contract and how is StopHow.KEEP and scene.sums.base != 0
            assert kept or not stops, "a stop is left without a position"
        if how is StopHow.SELL:
            held = abs(scene.sums.base)
            left = market.quantity_down(held)
            assert not market.is_tradable(left, self.life.price), f"{held} left after a sale of all"


def _net(sums: BotMetrics) -> Decimal:
    return sums.deposited - sums.withdrawn


def _told(state: GridState) -> set[str]:
    return set(state.told.partition(":")[2].split())


def _is_grids(order: OrderRow) -> bool:
    return order.purpose == "grid"


def _wanted(params: GridParams, state: GridState, market: Market) -> Iterator[Wanted]:
    """Return the order of each gap, also of one that rests after too many refusals."""
    steps = steps_of(params, market, state)
    for gap, slot in enumerate(state.slots):
        for each in (slot, slot.twin):
            if each is not None:
                level = order_level(state.first, gap, each.side)
                price = order_price(steps, gap, each.side)
                yield Wanted(each.side.value, level, price, each.remaining, each.refusals)
