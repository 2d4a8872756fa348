"""What happens to a grid: prices, its owner's wishes, and the deaths of its worker."""

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from random import Random
from typing import Any

from app.bots import running, service, starting, stopping
from app.bots.models import Bot
from app.bots.planning import Prospect, prospect
from app.bots.rules import MATERIAL_LOSS
from app.db import db
from app.trading.strategy import StopHow
from tests.bots.sequences import rules
from tests.bots.sequences.kinds import changes_of
from tests.bots.sequences.life import Life, Refusal

LOWEST, HIGHEST = Decimal(62), Decimal(148)
CENT = Decimal("0.01")
# Codes of a plan after which an order may lack money.
MONEY_WARNINGS = frozenset({"reserve_below_fees", "margin_runs_short", "orders_will_wait"})


class Player:
    """Does at random what can be done with a bot in its state, and checks what comes of it."""

    def __init__(self, life: Life, random: Random) -> None:
        self.life, self.random = life, random
        self.watch = rules.Watch(life)

    def play(self, steps: int) -> None:
        """Start the bot and live on for some steps."""
        self.start()
        self.watch.check()
        for _ in range(steps):
            self._choose()()
            self.watch.check()

    def _choose(self) -> Callable[[], None]:
        state = self.life.state
        if state == "active":
            steps: dict[Callable[[], None], float] = {
                self.wander: 4, self.come_late: 2, self.jump: 1, self.die: 2, self.edit: 5,
                self.edit_late: 1, self.add_money: 1, self.take_out: 1, self.cancel_by_hand: 1,
                self.limit: 0.6, self.stop: 1, self.emergency: 0.4, self.two_at_once: 1,
                self.change_rules: 0.8,
            }  # fmt: skip
            if self.life.is_contract:
                steps[self.pay_funding] = 0.7
        else:
            steps = {self.start: 4, self.stop: 0.7, self.edit_stopped: 1, self.wander: 1}
        return self.random.choices(list(steps), list(steps.values()))[0]

    # --- prices ----------------------------------------------------------------------------------

    def wander(self) -> None:
        """Let prices happen, each met at once."""
        for _ in range(self.random.randint(1, 4)):
            self._move(self._next(0.05))
            self.life.tick()

    def come_late(self) -> None:
        """Let many prices happen before anybody looks."""
        prices = [self._next(0.05)]
        for _ in range(self.random.randint(2, 7)):
            prices.append(self._next(0.05, prices[-1]))
        self._move(*prices)
        self.life.tick()

    def jump(self) -> None:
        """Let the price leap over many levels."""
        self._move(self._next(0.22))
        self.life.tick()

    def pay_funding(self) -> None:
        """Let funding fall due."""
        rate = Decimal(self.random.randint(-20, 20)) / 10_000
        self.life.say(f"funding of {rate}")
        self.life.play(self._next(0.01), funding=rate)
        self.life.tick()

    def die(self) -> None:
        """Kill the worker once or twice while it answers prices; another process goes on."""
        self._move(*(self._next(0.06) for _ in range(self.random.randint(1, 3))))
        self._tick_and_die()
        self.life.tick()

    def _tick_and_die(self) -> None:
        for _ in range(self.random.randint(1, 2)):
            commit, after = self.random.randint(1, 9), self.random.random() < 0.5
            self.life.say(f"killed {'after' if after else 'before'} commit {commit}")
            self.life.tick_and_die(commit, after=after)

    def _next(self, widest: float, price: Decimal | None = None) -> Decimal:
        share = Decimal(round(self.random.uniform(-widest, widest) * 10_000)) / 10_000
        price = ((price or self.life.price) * (1 + share)).quantize(CENT)
        return min(max(price, LOWEST), HIGHEST)

    def _move(self, *prices: Decimal) -> None:
        self.life.say(f"prices {', '.join(map(str, prices))}")
        self.life.play(*prices)

    # --- settings and money ----------------------------------------------------------------------

    def edit(self) -> None:
        """Change settings as they were previewed, and see that just this comes of it."""
        changes = self._changes()
        cost = self._preview(changes)
        if isinstance(cost, Refusal) or cost.edit.state is None:
            return
        before = self.life.sums()
        if not self._confirm(changes, cost):
            return
        if self.random.random() < 0.2:
            self._tick_and_die()
        self.life.tick()
        self.watch.compare_edit(cost.edit, before)

    def edit_late(self) -> None:
        """Confirm a preview when the price has moved."""
        changes = self._changes()
        cost = self._preview(changes)
        if isinstance(cost, Refusal) or cost.edit.state is None:
            return
        self._move(self._next(0.04))
        if self.random.random() < 0.5:
            self.life.tick()
        if self.life.state == "active":
            before = self.life.sums()
            more = self.life.capital() * MATERIAL_LOSS
            if self._confirm(changes, cost):
                self.watch.compare_money(cost.edit.money_in, before, more)
        self.life.tick()

    def two_at_once(self) -> None:
        """Make several requests before the worker comes."""
        for _ in range(self.random.randint(2, 3)):
            wish = self.random.choice(
                [self._edit_unseen, self._edit_unseen, self._add, self._take, self._stop]
            )
            if self.life.state == "active":
                wish()
            if self.random.random() < 0.3:
                self._move(self._next(0.03))
        self.life.tick(2)

    def edit_stopped(self) -> None:
        """Change settings of a bot that does not run."""
        if self.life.state not in {"stopped", "error"}:
            return
        changes = self._changes()
        owner, bot_id = self.life.shop.user_id, self.life.bot_id
        self.life.ask(lambda: service.change_bot(owner, bot_id, changes))

    def add_money(self) -> None:
        """Put money in."""
        self._add()
        self.life.tick()

    def take_out(self) -> None:
        """Take out what may be taken."""
        self._take()
        self.life.tick()

    def _changes(self) -> dict[str, Any]:
        life = self.life
        changes = changes_of(life.params(), self.random, contract=life.is_contract)
        life.say(f"edit {changes} at {life.price}")
        return changes

    def _preview(self, changes: dict[str, Any]) -> Any:
        owner, bot_id = self.life.shop.user_id, self.life.bot_id
        cost = self.life.ask(lambda: running.edit_preview(owner, bot_id, changes))
        if not isinstance(cost, Refusal) and cost.edit.state is None:
            self.life.say(f"  can't be: {', '.join(each.code for each in cost.edit.errors)}")
        return cost

    def _confirm(self, changes: dict[str, Any], cost: Any) -> bool:
        owner, bot_id = self.life.shop.user_id, self.life.bot_id
        done = self.life.ask(lambda: running.edit_running(owner, bot_id, changes, cost.seen))
        if isinstance(done, Refusal):
            return False
        self.watch.warned |= {each.code for each in cost.edit.warnings} & MONEY_WARNINGS
        return True

    def _edit_unseen(self) -> None:
        changes = self._changes()
        cost = self._preview(changes)
        if not isinstance(cost, Refusal) and cost.edit.state is not None:
            self._confirm(changes, cost)

    def _add(self) -> None:
        amount = Decimal(self.random.choice([50, 200, 1000]))
        self.life.say(f"add {amount}")
        owner, bot_id = self.life.shop.user_id, self.life.bot_id
        self.life.ask(lambda: running.add_money(owner, bot_id, amount))

    def _take(self) -> None:
        owner, bot_id = self.life.shop.user_id, self.life.bot_id
        limits = self.life.ask(lambda: running.money_limits(owner, bot_id))
        if isinstance(limits, Refusal):
            return
        amount = limits.most_out * self.random.choice([Decimal("0.5"), Decimal(1)])
        amount = amount.quantize(CENT, ROUND_DOWN)
        if amount < CENT:
            return
        self.life.say(f"take {amount}")
        done = self.life.ask(lambda: running.take_out(owner, bot_id, amount))
        assert not isinstance(done, Refusal), "what may be taken out was refused"

    # --- hands -----------------------------------------------------------------------------------

    def cancel_by_hand(self) -> None:
        """Let the owner cancel orders on the exchange's own pages."""
        standing = [order.client_id for order in self.life.orders()]
        taken = self.random.sample(standing, min(len(standing), self.random.randint(1, 3)))
        self.life.say(f"{len(taken)} orders taken back by hand")
        self.life.take_back_by_hand(taken)
        self.life.compare()
        self.life.tick()

    def change_rules(self) -> None:
        """Let the exchange change its lot and its minimum, mostly for the worse."""
        lot = self.random.choice([CENT / 100, CENT / 10, CENT, CENT * 10, CENT * 50])
        least = Decimal(self.random.choice([1, 1, 5, 20, 60]))
        self.life.say(f"lot {lot}, least value {least}")
        self.life.change_rules(lot, least)
        self.wander()

    def limit(self) -> None:
        """Set a limit that is hit at once, then take it away."""
        life = self.life
        owner, bot_id = life.shop.user_id, life.bot_id
        life.say("limit of 1 open order")
        life.ask(lambda: service.change_limits(owner, bot_id, {"max_open_orders": 1}))
        had = len(life.orders())
        life.tick()
        if had > 1:
            assert life.state == "paused", "a limit was passed over"
        if self.random.random() < 0.6:
            self._move(self._next(0.05))
            life.tick()
        life.ask(lambda: service.change_limits(owner, bot_id, {"max_open_orders": None}))
        if life.state == "paused":
            life.say("resume")
            life.ask(lambda: stopping.resume(owner, bot_id))
        life.tick()

    # --- starting and ending ---------------------------------------------------------------------

    def start(self) -> None:
        """Start as previewed, and see that just this comes of it."""
        life = self.life
        owner, bot_id = life.shop.user_id, life.bot_id
        if life.state == "locked":
            life.say("unlock")
            life.ask(lambda: stopping.unlock(owner, bot_id))
        if life.state == "paused":
            life.ask(lambda: stopping.resume(owner, bot_id))
            life.tick()
            return
        held = life.sums()
        life.say(f"start at {life.price} with {held.base} coins and {held.quote}")
        ahead = life.ask(lambda: prospect(db.session.get_one(Bot, bot_id)))
        if isinstance(ahead, Refusal):
            return
        done = life.ask(lambda: starting.request_start(owner, bot_id, ahead.seen))
        if isinstance(done, Refusal):
            return
        self._warn(ahead)
        if self.random.random() < 0.2:
            self._tick_and_die()
        life.tick()
        self.watch.compare_start(ahead)

    def _warn(self, ahead: Prospect) -> None:
        codes = {each.code for each in ahead.settings.plan.warnings}
        self.watch.warned = codes & MONEY_WARNINGS

    def stop(self) -> None:
        """Stop, and see that it holds."""
        how = self._stop()
        if self.random.random() < 0.3:
            self._tick_and_die()
        self.life.tick()
        if how is not None:
            self.watch.compare_stop(how)

    def emergency(self) -> None:
        """Stop all and lock."""
        life = self.life
        life.say("emergency stop")
        life.ask(lambda: stopping.emergency_stop(life.shop.user_id, life.bot_id))
        life.tick()
        assert life.state == "locked", f"{life.state} after an emergency stop"
        assert not life.orders(), "orders are left after an emergency stop"

    def _stop(self) -> StopHow | None:
        life = self.life
        how = self.random.choice(list(StopHow))
        # Coins of a stopped bot are its owner's: a second stop takes back orders and positions.
        clears = life.state != "stopped" or life.orders() or life.is_contract
        life.say(f"stop and {how.value}")
        done = life.ask(
            lambda: stopping.request_stop(life.shop.user_id, life.bot_id, how, by_operator=True)
        )
        return None if isinstance(done, Refusal) or not clears else how
