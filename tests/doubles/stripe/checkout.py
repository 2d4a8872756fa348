"""Checkout Sessions, and the customer at the hosted page."""

from tests.doubles.stripe import (
    cards,
    catalogue,
    customers,
    discounts,
    invoices,
    lines,
    payments,
    subscriptions,
)
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import DAY, HOUR
from tests.doubles.stripe.errors import CardDeclined, invalid, needed
from tests.doubles.stripe.values import Json

LONGEST, SHORTEST = DAY, HOUR // 2
COPIED = (
    "billing_address_collection", "client_reference_id", "consent_collection", "customer_email",
    "locale", "payment_method_options", "saved_payment_method_options", "submit_type",
)  # fmt: skip


def create_session(account: Account, params: Json) -> Json:
    """Answer POST /v1/checkout/sessions."""
    mode = params.get("mode")
    if mode not in {"payment", "subscription"}:
        raise invalid("mode must be payment or subscription here", "mode")
    if not params.get("success_url"):
        raise needed("success_url")
    if params.get("discounts") and params.get("allow_promotion_codes") is not None:
        raise invalid(
            "You may only specify one of these parameters: allow_promotion_codes, discounts."
        )
    if params.get("customer") and params.get("customer_email"):
        raise invalid("You may only specify one of these parameters: customer, customer_email.")
    expires_at = params.get("expires_at", account.now + LONGEST)
    if not account.now + SHORTEST - 60 <= expires_at <= account.now + LONGEST + 60:
        raise invalid(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout "
            "Session creation.",
            "expires_at",
        )
    customer = None
    if params.get("customer"):
        customer = account.get("customer", params["customer"], "customer")
    rows = _rows(account, params, mode)
    amount = sum(price["unit_amount"] * quantity for price, quantity in rows)
    wanted = discounts.wanted(account, params.get("discounts"), customer, amount)
    session = _new(account, params, rows[0][0]["currency"])
    session["expires_at"] = expires_at
    account.hidden[session["id"]] = {
        "rows": rows,
        "wanted": wanted,
        "params": params,
        "asked": None,
    }
    if wanted:
        session["discounts"] = [_shown(coupon, code) for coupon, code in wanted]
    _add_up(account, session)
    return account.add(session)


def _rows(account: Account, params: Json, mode: str) -> list[tuple[Json, int]]:
    rows = [
        (catalogue.inline_price(account, row), row.get("quantity", 1))
        for row in params.get("line_items") or []
    ]
    if not rows:
        raise needed("line_items")
    recurring = [price for price, _ in rows if price["recurring"]]
    if mode == "payment" and recurring:
        raise invalid(
            "You specified `payment` mode but passed a recurring price. Either switch to "
            "`subscription` mode or use only one-time prices.",
            "line_items",
        )
    if mode == "subscription" and not recurring:
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode when using "
            "prices.",
            "line_items",
        )
    return rows


def _new(account: Account, params: Json, currency: str) -> Json:
    name = account.id("cs_test" if not account.settings.livemode else "cs_live", 58)
    subscribes = params["mode"] == "subscription"
    pages = account.settings.pages or "https://checkout.stripe.com"
    creation = None if subscribes else params.get("customer_creation", "if_required")
    session = {
        "id": name,
        "object": "checkout.session",
        "adaptive_pricing": None,
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "after_expiration": None,
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "amount_subtotal": 0,
        "amount_total": 0,
        "automatic_tax": {
            "enabled": (params.get("automatic_tax") or {}).get("enabled", False),
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_address_collection": None,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": None,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": account.now,
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": params.get("customer"),
        "customer_account": None,
        "customer_creation": creation if not params.get("customer") else None,
        "customer_details": None,
        "customer_email": None,
        "discounts": [],
        "expires_at": 0,
        "invoice": None,
        "invoice_creation": None
        if subscribes
        else {
            "enabled": False,
            "invoice_data": {
                "account_tax_ids": None,
                "custom_fields": None,
                "description": None,
                "footer": None,
                "issuer": None,
                "metadata": {},
                "rendering_options": None,
            },
        },
        "livemode": account.settings.livemode,
        "locale": None,
        "metadata": params.get("metadata") or {},
        "mode": params["mode"],
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": params.get("payment_method_collection", "always")
        if subscribes
        else "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": params["success_url"],
        "total_details": None,
        "ui_mode": "hosted_page",
        "url": f"{pages}/c/pay/{name}",
        "wallet_options": None,
    }
    session.update({key: params[key] for key in COPIED if params.get(key) is not None})
    return session


def _shown(coupon: Json, code: Json | None) -> Json:
    # The coupon is told only where no code led to it.
    return {"coupon": None if code else coupon["id"], "promotion_code": code and code["id"]}


def _add_up(account: Account, session: Json) -> None:
    known = account.hidden[session["id"]]
    trial = _trial(known["params"])
    subtotal = off = 0
    reductions = [
        {"id": "di_x", "source": {"coupon": coupon["id"]}} for coupon, _ in known["wanted"]
    ]
    amounts = [
        (0 if trial and price["recurring"] else price["unit_amount"] * quantity, price["product"])
        for price, quantity in known["rows"]
    ]
    subtotal = sum(amount for amount, _ in amounts)
    for reduction in reductions:
        off += sum(discounts.take_off(account, reduction, amounts))
    tax = 0
    if session["automatic_tax"]["enabled"] and account.settings.tax_percent is not None:
        tax = discounts.percent_of(subtotal - off, account.settings.tax_percent)
        session["automatic_tax"].update(status="complete", provider="stripe")
    session["amount_subtotal"] = subtotal
    session["amount_total"] = subtotal - off + tax
    session["total_details"] = {"amount_discount": off, "amount_shipping": 0, "amount_tax": tax}


def _trial(params: Json) -> bool:
    data = params.get("subscription_data") or {}
    return bool(data.get("trial_period_days") or data.get("trial_end"))


def _sold(account: Account, session: Json) -> list[tuple[Json, int]]:
    known: list[tuple[Json, int]] | None = account.hidden.get(session["id"], {}).get("rows")
    if known is not None:
        return known
    # A recorded session: what it sold is what is subscribed.
    made = account.find("subscription", session["subscription"])
    items = made["items"]["data"] if made else []
    return [(item["price"], item["quantity"]) for item in items]


def line_items(account: Account, session: Json) -> list[Json]:
    """Return what a session sells, as rows."""
    rows = []
    for number, (price, quantity) in enumerate(_sold(account, session)):
        amount = price["unit_amount"] * quantity
        rows.append(
            {
                "id": f"li_{session['id'][8:20]}{number}",
                "object": "item",
                "adjustable_quantity": None,
                "amount_discount": 0,
                "amount_subtotal": amount,
                "amount_tax": 0,
                "amount_total": amount,
                "currency": price["currency"],
                "description": lines.product_name(account, price),
                "metadata": {},
                "price": price,
                "quantity": quantity,
            }
        )
    return rows


def expire_session(account: Account, params: Json, session: str) -> Json:
    """Answer POST /v1/checkout/sessions/{session}/expire."""
    row = account.get("checkout.session", session)
    if row["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout '
            f"Session has a status of `{row['status']}`.",
            code="checkout_session_unexpected_state",
        )
    return expire(account, row)


def expire(account: Account, session: Json) -> Json:
    """Close a session that nobody paid."""
    session.update(status="expired", url=None)
    account.tell("checkout.session.expired", session)
    return session


def update_session(account: Account, params: Json, session: str) -> Json:
    """Answer POST /v1/checkout/sessions/{session}."""
    row = account.get("checkout.session", session)
    customers.merge_metadata(row, params)
    return row


def use_code(account: Account, session: Json, code: str) -> None:
    """Type a promotion code into the page."""
    if not session["allow_promotion_codes"]:
        raise invalid("This page takes no promotion codes.", "promotion_code")
    row = catalogue.code_named(account, code)
    customer = account.find("customer", session["customer"])
    discounts.check_code(account, row, customer, session["amount_subtotal"])
    coupon = account.get("coupon", row["promotion"]["coupon"])
    account.hidden[session["id"]]["wanted"] = [(coupon, row)]
    session["discounts"] = [_shown(coupon, row)]
    _add_up(account, session)


def needs_card(account: Account, session: Json) -> bool:
    """Tell whether the page asks for a card."""
    always = session["payment_method_collection"] == "always"
    return bool(session["amount_total"] or (session["mode"] == "subscription" and always))


def pay(
    account: Account,
    session: Json,
    card: str | None,
    *,
    email: str | None = None,
    authenticate: bool | None = True,
    delayed: bool = False,
) -> Json:
    """Press Pay. A declined card raises and leaves the session open."""
    if session["status"] != "open":
        raise invalid(
            f"This session is {session['status']}.", code="checkout_session_unexpected_state"
        )
    if card is None and needs_card(account, session):
        raise CardDeclined("incomplete_number", None, "Your card number is incomplete.")
    if delayed:
        method: Json | None = cards.make_debit(account)
    else:
        method = cards.make_method(account, card, {"email": email}) if card else None
    if method is not None and not delayed:
        _prove(account, session, method, authenticate=authenticate)
        if account.hidden[session["id"]]["asked"]:
            return session
    return _complete(account, session, method, email)


def _prove(account: Account, session: Json, method: Json, *, authenticate: bool | None) -> None:
    """Have the bank ask the customer, where the card wants that, before anything is charged."""
    if not cards.asks_for_customer(account, method, off_session=False):
        return
    if authenticate is None:
        account.hidden[session["id"]]["asked"] = method["id"]
    elif not authenticate:
        raise _not_proven()
    else:
        cards.set_up(account, method)


def _not_proven() -> CardDeclined:
    return CardDeclined(
        "payment_intent_authentication_failure",
        None,
        "We are unable to authenticate your payment method. Please choose a different payment "
        "method and try again.",
    )


def authenticate(account: Account, session: Json, *, ok: bool, email: str | None = None) -> Json:
    """Answer the bank's question of a session that waits for it."""
    name = account.hidden[session["id"]]["asked"]
    if name is None:
        raise invalid("This session waits for no 3-D Secure.")
    account.hidden[session["id"]]["asked"] = None
    if not ok:
        raise _not_proven()
    method = account.objects[name]
    cards.set_up(account, method)
    return _complete(account, session, method, email)


def _complete(account: Account, session: Json, method: Json | None, email: str | None) -> Json:
    if session["mode"] == "payment":
        _take_payment(account, session, method, email)
    else:
        _subscribe(account, session, method, email)
    owner = account.find("customer", session["customer"])
    shown = email or session["customer_email"] or (owner["email"] if owner else None)
    session["customer_details"] = {
        "address": None,
        "business_name": None,
        "email": shown,
        "individual_name": None,
        "name": owner["name"] if owner else None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }
    session.update(status="complete", url=None)
    account.hidden[session["id"]]["asked"] = None
    made = account.find("subscription", session["subscription"])
    if made is not None:
        account.settle(made)
    account.tell("checkout.session.completed", session)
    return session


def _owner(account: Account, session: Json, email: str | None) -> Json | None:
    if session["customer"]:
        return account.objects[session["customer"]]
    if session["mode"] == "payment" and session["customer_creation"] != "always":
        return None
    made = customers.create_customer(account, {"email": email or session["customer_email"]})
    session["customer"] = made["id"]
    return made


def _take_payment(account: Account, session: Json, method: Json | None, email: str | None) -> None:
    known = account.hidden[session["id"]]
    data = known["params"].get("payment_intent_data") or {}
    if method is None:
        session["payment_status"] = "no_payment_required"
        return
    _refuse_declined(account, session, method, data)
    owner = _owner(account, session, email)
    intent = payments.new_intent(
        account, session["amount_total"], session["currency"], owner["id"] if owner else None
    )
    intent["metadata"] = dict(data.get("metadata") or {})
    intent["description"] = data.get("description")
    intent["setup_future_usage"] = data.get("setup_future_usage")
    session["payment_intent"] = intent["id"]
    if owner is not None and data.get("setup_future_usage"):
        cards.attach(account, method, owner)
    for coupon, code in known["wanted"]:
        if owner is not None:
            discounts.redeem(account, coupon, code, owner["id"], session=session["id"])
    done = payments.charge_intent(account, intent, method, off_session=False, authenticated=True)
    session["payment_status"] = "paid" if done == payments.SUCCEEDED else "unpaid"


def _refuse_declined(account: Account, session: Json, method: Json, data: Json) -> None:
    """Have a card declined at the page: the try is told, the session stays open."""
    known = cards.card_of(account, method)
    if not known.code:
        return
    intent = payments.new_intent(
        account, session["amount_total"], session["currency"], session["customer"]
    )
    intent["metadata"] = dict(data.get("metadata") or {})
    payments.charge_intent(account, intent, method, off_session=False, authenticated=True)
    raise CardDeclined(known.code, known.decline_code, known.message)


def _subscribe(account: Account, session: Json, method: Json | None, email: str | None) -> None:
    known = account.hidden[session["id"]]
    data = known["params"].get("subscription_data") or {}
    if method is not None and session["amount_total"] > 0:
        _refuse_declined(account, session, method, data)
    owner = _owner(account, session, email)
    assert owner is not None
    if method is not None:
        cards.attach(account, method, owner)
        cards.set_up(account, method)
    for price, quantity in known["rows"]:
        if price["recurring"] is None:
            line = lines.Line(
                price["unit_amount"] * quantity,
                lines.product_name(account, price),
                account.now,
                account.now,
                price=price,
                quantity=quantity,
            )
            invoices.make_item(account, owner["id"], line, None)
    subscription = subscriptions.start(
        account, owner, _subscription_params(session, known, data, method),
        authenticated=True, session=session["id"],
    )  # fmt: skip
    invoice = account.objects[subscription["latest_invoice"]]
    session["subscription"] = subscription["id"]
    session["invoice"] = invoice["id"]
    if invoice["amount_due"] == 0:
        session["payment_status"] = "no_payment_required"
    else:
        session["payment_status"] = "paid" if invoice["status"] == "paid" else "unpaid"
    if session["payment_status"] == "unpaid":
        # A debit is under way: Stripe takes the subscription for good until it comes back.
        account.touch(subscription)["status"] = "active"


def _subscription_params(session: Json, known: Json, data: Json, method: Json | None) -> Json:
    given = []
    for coupon, code in known["wanted"]:
        given.append({"promotion_code": code["id"]} if code else {"coupon": coupon["id"]})
    return {
        **data,
        "items": [
            {"price": price["id"], "quantity": quantity}
            for price, quantity in known["rows"]
            if price["recurring"]
        ],
        "discounts": given,
        "default_payment_method": method and method["id"],
        "automatic_tax": {"enabled": session["automatic_tax"]["enabled"]},
        "payment_behavior": "default_incomplete" if method is None else "allow_incomplete",
    }


def settle(account: Account, session: Json, *, ok: bool) -> Json:
    """Have the money of a delayed method come, or come back."""
    if session["status"] != "complete" or session["payment_status"] != "unpaid":
        raise invalid("This session waits for no money.")
    name = session["payment_intent"]
    invoice = account.find("invoice", session["invoice"])
    if invoice is not None:
        name = account.hidden[invoice["id"]]["intent"]
    intent = account.objects[name]
    method = account.objects[intent["payment_method"]]
    if ok:
        payments.settle_intent(account, intent, method)
        if invoice is not None:
            invoices.mark_paid(account, invoice)
        session["payment_status"] = "paid"
        account.tell("checkout.session.async_payment_succeeded", session)
        return session
    payments.fail_debit(account, intent)
    if invoice is not None:
        account.touch(invoice)["auto_advance"] = False
        account.settle(invoice)
        account.tell("invoice.payment_failed", invoice)
        row = account.objects[session["subscription"]]
        account.touch(row)["status"] = "past_due"
    account.tell("checkout.session.async_payment_failed", session)
    return session
