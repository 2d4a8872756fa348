"""Check a customer's keys step by step, before anything is stored."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from app.adapters.exchanges.errors import KeyRefusedError, codes_of, read_error
from app.adapters.exchanges.keys import ApiKeys
from app.adapters.exchanges.quirks import QUIRKS, Quirks
from app.errors import DomainError
from app.trading.ports import Balance

CLOCK_WARNING_MS = 500
CLOCK_LIMIT_MS = 5000
# The whole check ends in about this time, even if every call takes all of its own.
DEADLINE_S = 25.0


class StepName(StrEnum):
    """What is checked, in this order."""

    REACHED = "reached"
    CLOCK = "clock"
    KEY = "key"
    RIGHTS = "rights"
    ADDRESS = "address"
    BALANCE = "balance"


class StepState(StrEnum):
    """How a step ended; a warning does not stop anybody, a failure does."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the check; `code` says what was found, to be put into words where it is read."""

    name: StepName
    state: StepState
    code: str
    values: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a key may do, and of which account it is; None where the exchange does not say."""

    read: bool | None = None
    trade: bool | None = None
    contracts: bool | None = None
    withdraw: bool | None = None
    bound_to_address: bool | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What staff allow: keys that may withdraw, and keys that work from any address."""

    may_withdraw: bool = False
    needs_address: bool = False


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """The whole check with what was read on the way."""

    steps: tuple[Step, ...]
    rights: Rights = Rights()
    balances: Mapping[str, Balance] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Say whether every step was made and none failed."""
        done = {StepState.OK, StepState.WARNING}
        return len(self.steps) == len(StepName) and all(step.state in done for step in self.steps)

    @property
    def failure(self) -> Step | None:
        """Return the first step that failed."""
        return next((step for step in self.steps if step.state is StepState.FAILED), None)


def check_keys(
    name: str,
    keys: ApiKeys,
    *,
    testnet: bool = False,
    policy: KeyPolicy = KeyPolicy(),
    client: Any = None,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> KeyCheck:
    """Ask the exchange with these keys; never raises, the steps say how far it went."""
    from app.adapters.exchanges.client import make_client

    return _Check(
        client or make_client(name, keys, testnet=testnet), QUIRKS[name], testnet, policy, now_ms
    ).run()


class _Failed(Exception):
    """A step failed: the later ones make no sense."""


class _Check:
    def __init__(
        self,
        client: Any,
        quirks: Quirks,
        testnet: bool,
        policy: KeyPolicy,
        now_ms: Callable[[], int],
    ) -> None:
        self._policy = policy
        self._client = client
        self._quirks = quirks
        self._testnet = testnet
        self._now_ms = now_ms
        self._steps: list[Step] = []
        self._rights = Rights()
        self._balances: Mapping[str, Balance] = {}
        self._ends_at = time.monotonic() + DEADLINE_S

    def run(self) -> KeyCheck:
        try:
            self._check_clock()
            self._check_key()
            self._check_balance()
        except _Failed:
            known = {step.name for step in self._steps}
            self._steps += [
                Step(step, StepState.SKIPPED, "not_checked")
                for step in StepName
                if step not in known
            ]
        return KeyCheck(tuple(self._steps), self._rights, self._balances)

    def _check_clock(self) -> None:
        before = self._now_ms()
        theirs = self._ask(StepName.REACHED, self._client.fetch_time)
        after = self._now_ms()
        self._add(StepName.REACHED, StepState.OK, "exchange_reached", milliseconds=after - before)
        # Half of the way there and back lies before their clock was read.
        difference = abs(int(theirs) - (before + after) // 2)
        if difference > CLOCK_LIMIT_MS:
            self._fail(StepName.CLOCK, "clock_wrong", milliseconds=difference)
        state = StepState.WARNING if difference > CLOCK_WARNING_MS else StepState.OK
        code = "clock_differs" if state is StepState.WARNING else "clock_right"
        self._add(StepName.CLOCK, state, code, milliseconds=difference)

    def _check_key(self) -> None:
        rights = self._ask(StepName.KEY, self._read_rights)
        self._rights = rights
        self._add(StepName.KEY, StepState.OK, "key_accepted")
        if rights.withdraw and not self._policy.may_withdraw:
            self._fail(StepName.RIGHTS, "key_can_withdraw")
        if rights.trade is False or rights.read is False:
            self._fail(StepName.RIGHTS, "key_can_not_trade")
        if rights.withdraw:
            self._add(StepName.RIGHTS, StepState.WARNING, "key_can_withdraw_allowed")
        elif rights.withdraw is None:
            self._add(StepName.RIGHTS, StepState.WARNING, "rights_not_told")
        else:
            self._add(StepName.RIGHTS, StepState.OK, "rights_right")
        if rights.bound_to_address:
            self._add(StepName.ADDRESS, StepState.OK, "address_bound")
        elif rights.bound_to_address is None:
            self._add(StepName.ADDRESS, StepState.WARNING, "address_not_told")
        elif self._policy.needs_address:
            self._fail(StepName.ADDRESS, "address_required")
        else:
            self._add(StepName.ADDRESS, StepState.WARNING, "address_open")

    def _check_balance(self) -> None:
        told, self._balances = self._ask(StepName.BALANCE, lambda: _balances(self._client))
        if self._rights.account is None and self._quirks.balance_account is not None:
            self._rights = replace(self._rights, account=_text(told, self._quirks.balance_account))
        self._add(StepName.BALANCE, StepState.OK, "balance_read", currencies=len(self._balances))

    def _read_rights(self) -> Rights:
        if self._testnet and self._quirks.code == "binance":
            # Its test site has no such address; a signed call still proves the key.
            self._client.privateGetAccount()
            return Rights()
        return _READERS[self._quirks.code](self._client)

    def _ask(self, step: StepName, ask: Callable[[], Any]) -> Any:
        if time.monotonic() > self._ends_at:
            self._fail(step, "exchange_too_slow")
        try:
            return ask()
        except DomainError as error:
            self._fail(step, error.code)
        except Exception as error:  # noqa: BLE001 - the library raises all kinds
            known = read_error(error, self._quirks, self._client.answer)
            refused = isinstance(known, KeyRefusedError)
            code = "key_refused" if refused else known.code
            values = {"exchange_code": ", ".join(sorted(codes_of(error, self._client.answer)))[:40]}
            self._fail(step, code, **values)
        raise AssertionError("unreachable")

    def _add(self, name: StepName, state: StepState, code: str, **values: str | int) -> None:
        self._steps.append(Step(name, state, code, values))

    def _fail(self, name: StepName, code: str, **values: str | int) -> None:
        self._add(name, StepState.FAILED, code, **values)
        raise _Failed


def _balances(client: Any) -> tuple[Mapping[str, Any], Mapping[str, Balance]]:
    from app.adapters.exchanges.reading import to_balances

    # Reading balances needs no rules of pairs; an empty set spares loading all of them.
    if client.markets is None:
        client.set_markets([])
    answer = client.fetch_balance()
    told = answer.get("info")
    return told if isinstance(told, dict) else {}, to_balances(answer)


def _bybit_rights(client: Any) -> Rights:
    told = client.privateGetV5UserQueryApi()["result"]
    permissions = told.get("permissions") or {}
    read_only = str(told.get("readOnly")) == "1"
    addresses = [address for address in told.get("ips") or [] if address not in {"", "*"}]
    return Rights(
        read=True,
        trade=not read_only and bool(permissions.get("Spot")),
        contracts=not read_only
        and {"Order", "Position"} <= {*(permissions.get("ContractTrade") or [])},
        withdraw=not read_only and "Withdraw" in (permissions.get("Wallet") or []),
        bound_to_address=bool(addresses),
        account=_text(told, "userID"),
    )


def _binance_rights(client: Any) -> Rights:
    told = client.sapiGetAccountApiRestrictions()
    return Rights(
        read=_yes(told.get("enableReading")),
        trade=_yes(told.get("enableSpotAndMarginTrading")),
        withdraw=_yes(told.get("enableWithdrawals")),
        bound_to_address=_yes(told.get("ipRestrict")),
    )


def _okx_rights(client: Any) -> Rights:
    told = client.privateGetAccountConfig()["data"][0]
    allowed = {part.strip() for part in str(told.get("perm", "")).split(",")}
    return Rights(
        read=True,
        trade="trade" in allowed,
        withdraw="withdraw" in allowed,
        bound_to_address=bool(str(told.get("ip") or "").strip()),
        account=_text(told, "uid"),
    )


def _kucoin_rights(client: Any) -> Rights:
    told = client.privateGetUserApiKey()["data"]
    allowed = {part.strip().lower() for part in str(told.get("permission", "")).split(",")}
    return Rights(
        read="general" in allowed,
        trade="spot" in allowed or "trade" in allowed,
        withdraw=bool(allowed & {"withdrawal", "withdraw", "transfer"}),
        bound_to_address=bool(str(told.get("ipWhitelist") or "").strip()),
        # Accounts below another one may share its number.
        account=_text(told, "uid", "subName"),
    )


def _mexc_rights(client: Any) -> Rights:
    # Its answer speaks of the account, not of the key: only trading is told.
    told = client.spotPrivateGetAccount()
    return Rights(read=True, trade=_yes(told.get("canTrade")))


_READERS: Mapping[str, Callable[[Any], Rights]] = {
    "bybit": _bybit_rights,
    "binance": _binance_rights,
    "okx": _okx_rights,
    "kucoin": _kucoin_rights,
    "mexc": _mexc_rights,
}


def _text(told: Mapping[str, Any], name: str, *more: str) -> str | None:
    """Return what names an account; None where its number is not told."""
    if not told.get(name):
        return None
    return "/".join(str(told.get(each) or "") for each in (name, *more))


def _yes(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
