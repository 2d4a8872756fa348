"""One call of the API: who calls, whether it is a repetition, what it does, and the answer."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.stripe import forms, lists, routes
from tests.doubles.stripe.account import Account, Request
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.contract import Contract, ContractBroken
from tests.doubles.stripe.errors import Refused
from tests.doubles.stripe.faults import Fault, Faults
from tests.doubles.stripe.values import Json

LONGEST_KEY = 255
# Answers that are not kept for an idempotency key: nothing was begun.
FORGOTTEN = frozenset({400, 401, 409, 429})


@dataclass(frozen=True)
class Call:
    """A call as it came in, and the status it was answered with."""

    method: str
    path: str
    params: Json
    idempotency_key: str | None
    version: str | None
    status: int


@dataclass
class Answer:
    """What goes back."""

    status: int
    body: Json
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False

    @property
    def text(self) -> str:
        """Return the body as it is sent."""
        return json.dumps(self.body)


@dataclass
class _Kept:
    asked: str
    at: int
    answer: Answer


class Protocol:
    """Answers calls over one account."""

    def __init__(self, account: Account, contract: Contract | None) -> None:
        self.account = account
        self.contract = contract
        self.faults = Faults()
        self.calls: list[Call] = []
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, text: str, headers: dict[str, str]) -> Answer:
        """Answer a call; `text` is its form body, or its query."""
        known = {name.lower(): value for name, value in headers.items()}
        key = known.get("idempotency-key") if method == "POST" else None
        raw = forms.parse(text)
        fault = self.faults.choose(method, path)
        with self.account.lock:
            told = self._answer(method, path, raw, key, known, fault)
            told.headers.setdefault("Request-Id", self.account.id("req"))
        told.headers["Content-Type"] = "application/json"
        told.headers["Stripe-Version"] = self.account.settings.api_version
        version = known.get("stripe-version")
        self.calls.append(Call(method, path, forms.typed(raw), key, version, told.status))
        return told

    def _answer(
        self,
        method: str,
        path: str,
        raw: Json,
        key: str | None,
        headers: dict[str, str],
        fault: Fault | None,
    ) -> Answer:
        no = self._unwelcome(headers, key)
        if no is not None:
            return Answer(no.status, no.body)
        if fault is not None and not fault.acted:
            told = Answer(fault.status, fault.body, lost=fault.lost)
            if fault.status >= 500 and key and not fault.lost:
                self._keep(method, path, raw, key, told)
            return told
        told = self._repeated(method, path, raw, key) or self._act(method, path, raw, key)
        if fault is not None:
            return Answer(fault.status, fault.body, lost=fault.lost)
        return told

    def _unwelcome(self, headers: dict[str, str], key: str | None) -> Refused | None:
        said = headers.get("authorization", "").removeprefix("Bearer ")
        wanted = self.account.settings.api_key
        if not said or (wanted is not None and said != wanted):
            return Refused(401, "invalid_request_error", f"Invalid API Key provided: {said[:8]}***")
        if key and len(key) > LONGEST_KEY:
            return Refused(
                400, "invalid_request_error", "Idempotency keys can only be 255 characters long."
            )
        return None

    def _repeated(self, method: str, path: str, raw: Json, key: str | None) -> Answer | None:
        kept = self._kept.get(key) if key else None
        if kept is None or kept.at < self.account.now - DAY:
            return None
        if kept.asked != _asked(method, path, raw):
            return Answer(
                400,
                Refused(
                    400,
                    "idempotency_error",
                    "Keys for idempotent requests can only be used with the same parameters they "
                    f"were first used with. Try using a key other than '{key}' if you meant to "
                    "execute a different request.",
                ).body,
            )
        headers = {**kept.answer.headers, "Idempotent-Replayed": "true"}
        return Answer(kept.answer.status, kept.answer.body, headers)

    def _keep(self, method: str, path: str, raw: Json, key: str, told: Answer) -> None:
        self._kept[key] = _Kept(_asked(method, path, raw), self.account.now, told)

    def _act(self, method: str, path: str, raw: Json, key: str | None) -> Answer:
        request = Request(self.account.id("req"), key)
        try:
            body = self._do(method, path, raw, request)
            told = Answer(200, body)
        except Refused as no:
            told = Answer(no.status, json.loads(json.dumps(no.body)))
        told.headers["Request-Id"] = str(request.id)
        if key:
            told.headers["Idempotency-Key"] = key
            if told.status not in FORGOTTEN:
                self._keep(method, path, raw, key, told)
        return told

    def _do(self, method: str, path: str, raw: Json, request: Request) -> Json:
        handler, names = routes.find(method, path)
        if self.contract is not None:
            self.contract.check_request(method, path, raw)
        params: Json = forms.typed(raw)
        expand: list[Any] = params.pop("expand", None) or []
        with self.account.working(request):
            thing = handler(self.account, params, *names)
        told = lists.render(self.account, thing, expand)
        if self.contract is not None:
            self.contract.check_answer(method, path, told)
        return told


def _asked(method: str, path: str, raw: Json) -> str:
    return json.dumps([method, path, raw], sort_keys=True)


__all__ = ["Answer", "Call", "ContractBroken", "Fault", "Protocol"]
