"""Money that comes in: payment intents, charges and the balance transactions with their fees."""

from tests.doubles.stripe import balance, bank, cards
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import card_error, invalid
from tests.doubles.stripe.values import Json

SUCCEEDED, DECLINED, ASKS, PROCESSING = "succeeded", "declined", "requires_action", "processing"


def new_intent(account: Account, amount: int, currency: str, customer: str | None) -> Json:
    """Return a new payment intent."""
    name = account.id("pi")
    intent: Json = {
        "id": name,
        "object": "payment_intent",
        "allowed_payment_method_types": None,
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{name}_secret_{account.id('', 24)[1:]}",
        "confirmation_method": "automatic",
        "created": account.now,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": account.settings.livemode,
        "managed_payments": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    return account.add(intent, "payment_intent.created")


def charge_intent(
    account: Account,
    intent: Json,
    method: Json,
    *,
    off_session: bool,
    authenticated: bool = False,
) -> str:
    """Try to take the money; return succeeded, declined, requires_action or processing."""
    intent["payment_method"] = method["id"]
    if method["type"] == "sepa_debit":
        intent.update(status=PROCESSING, next_action=None, payment_method_types=["sepa_debit"])
        intent["payment_method_options"] = {"sepa_debit": {}}
        account.tell("payment_intent.processing", intent)
        return PROCESSING
    asks = cards.asks_for_customer(account, method, off_session=off_session)
    if asks and not authenticated:
        return _ask(account, intent)
    if authenticated:
        cards.set_up(account, method)
    known = cards.card_of(account, method)
    if known.code:
        return _decline(account, intent, method, known)
    settle_intent(account, intent, method)
    if known.disputes:
        bank.open_dispute(account, account.objects[intent["latest_charge"]], "fraudulent")
    if known.warns:
        bank.warn_of_fraud(account, account.objects[intent["latest_charge"]])
    return SUCCEEDED


def settle_intent(account: Account, intent: Json, method: Json) -> Json:
    """Take the money: a charge and its balance transaction; return the charge."""
    charge = _charge(account, intent, method)
    if not account.settings.fees_come_late:
        charge["balance_transaction"] = _earn(account, charge)["id"]
    intent.update(
        status=SUCCEEDED,
        amount_received=intent["amount"],
        latest_charge=charge["id"],
        next_action=None,
        last_payment_error=None,
        processing=None,
    )
    account.add(charge, "charge.succeeded")
    account.tell("payment_intent.succeeded", intent)
    return charge


def tell_fees(account: Account) -> None:
    """Tell what is kept of payments of which nothing was told yet."""
    for charge in account.every("charge", status="succeeded", balance_transaction=None):
        account.touch(charge)
        charge["balance_transaction"] = _earn(account, charge)["id"]


def fail_authentication(account: Account, intent: Json) -> None:
    """Have the customer not prove to be the owner of the card."""
    message = (
        "We are unable to authenticate your payment method. Please choose a different payment "
        "method and try again."
    )
    code = "payment_intent_authentication_failure"
    _refuse(account, intent, {"type": "card_error", "code": code, "message": message})


def fail_debit(account: Account, intent: Json) -> None:
    """Have a debit come back after days."""
    error = {
        "type": "card_error",
        "code": "payment_intent_payment_attempt_failed",
        "message": "The payment failed.",
    }
    intent["processing"] = None
    _refuse(account, intent, error)


def cancel_intent(account: Account, intent: Json, reason: str | None) -> None:
    """Give an intent up."""
    if intent["status"] in {"succeeded", "canceled"}:
        return
    intent.update(
        status="canceled", canceled_at=account.now, cancellation_reason=reason, next_action=None
    )
    account.tell("payment_intent.canceled", intent)


def _ask(account: Account, intent: Json) -> str:
    intent["status"] = ASKS
    intent["next_action"] = {
        "type": "redirect_to_url",
        "redirect_to_url": {
            "return_url": None,
            "url": f"{account.settings.pages or 'https://hooks.stripe.com'}/3ds/{intent['id']}",
        },
    }
    account.tell("payment_intent.requires_action", intent)
    return ASKS


def _decline(account: Account, intent: Json, method: Json, known: cards.Card) -> str:
    charge = _charge(account, intent, method)
    charge.update(
        paid=False,
        captured=False,
        amount_captured=0,
        status="failed",
        failure_code=known.code,
        failure_message=known.message,
        receipt_url=None,
        outcome={
            **charge["outcome"],
            "network_status": "declined_by_network",
            "reason": known.decline_code or known.code,
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        },
    )
    intent["latest_charge"] = charge["id"]
    account.add(charge, "charge.failed")
    error = {
        "type": "card_error",
        "charge": charge["id"],
        "code": known.code,
        "message": known.message,
    }
    if known.decline_code:
        error["decline_code"] = known.decline_code
    _refuse(account, intent, error)
    return DECLINED


def _refuse(account: Account, intent: Json, error: Json) -> None:
    intent.update(
        status="requires_payment_method",
        next_action=None,
        last_payment_error=error,
        payment_method=None,
    )
    account.tell("payment_intent.payment_failed", intent)


def _charge(account: Account, intent: Json, method: Json) -> Json:
    name = account.id("ch")
    pages = account.settings.pages or "https://pay.stripe.com"
    return {
        "id": name,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"],
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "Stripe",
        "captured": True,
        "created": account.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": account.settings.livemode,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "seller_message": "Payment complete.",
            "type": "authorized",
        },
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _method_details(intent["amount"], method),
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": f"{pages}/receipts/{name}",
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def _method_details(amount: int, method: Json) -> Json:
    if method["type"] == "sepa_debit":
        debit = {**method["sepa_debit"], "mandate": None}
        debit.pop("generated_from")
        return {"sepa_debit": debit, "type": "sepa_debit"}
    shown = method["card"]
    card = {key: shown[key] for key in ("brand", "checks", "country", "exp_month", "exp_year")}
    card |= {key: shown[key] for key in ("fingerprint", "funding", "last4", "regulated_status")}
    card |= {
        "amount_authorized": amount,
        "authorization_code": None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": shown["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "three_d_secure": None,
        "transaction_link_id": None,
        "wallet": None,
    }
    return {"card": card, "type": "card"}


def _earn(account: Account, charge: Json) -> Json:
    costs = balance.fee(charge["amount"])
    return balance.movement(
        account, charge["id"], charge["amount"], costs, "charge", charge["currency"]
    )


def create_intent(account: Account, params: Json) -> Json:
    """Answer POST /v1/payment_intents."""
    if not params.get("amount") or params["amount"] <= 0:
        raise invalid("This value must be greater than or equal to 1.", "amount")
    customer = params.get("customer")
    if customer:
        account.get("customer", customer, "customer")
    intent = new_intent(account, params["amount"], params["currency"].lower(), customer)
    intent["metadata"] = params.get("metadata") or {}
    intent["description"] = params.get("description")
    intent["setup_future_usage"] = params.get("setup_future_usage")
    if params.get("payment_method"):
        method = cards.method_for(account, params["payment_method"])
        intent.update(payment_method=method["id"], status="requires_confirmation")
        if params.get("confirm"):
            return confirm_intent(account, params, intent["id"])
    return intent


def confirm_intent(account: Account, params: Json, intent: str) -> Json:
    """Answer POST /v1/payment_intents/{intent}/confirm."""
    row = account.get("payment_intent", intent)
    if row["status"] not in {"requires_payment_method", "requires_confirmation"}:
        raise invalid(
            f"You cannot confirm this PaymentIntent because it has a status of {row['status']}.",
            code="payment_intent_unexpected_state",
        )
    name = row["payment_method"] or params.get("payment_method")
    if name is None:
        raise invalid("You cannot confirm this PaymentIntent because it's missing a payment method")
    method = cards.method_for(account, name)
    done = charge_intent(
        account, row, method, off_session=params.get("off_session") in {True, "true"}
    )
    if done == DECLINED:
        raise decline_of(row)
    return row


def cancel(account: Account, params: Json, intent: str) -> Json:
    """Answer POST /v1/payment_intents/{intent}/cancel."""
    row = account.get("payment_intent", intent)
    if row["status"] in {"succeeded", "canceled"}:
        raise invalid(
            f"You cannot cancel this PaymentIntent because it has a status of {row['status']}.",
            code="payment_intent_unexpected_state",
        )
    cancel_intent(account, row, params.get("cancellation_reason"))
    return row


def decline_of(intent: Json) -> Exception:
    """Return the error that an API call answers for a declined intent."""
    error = intent["last_payment_error"] or {}
    more = {key: error[key] for key in ("charge",) if key in error}
    return card_error(
        error.get("code", "card_declined"),
        error.get("decline_code"),
        error.get("message", cards.DECLINED),
        payment_intent=intent,
        **more,
    )
