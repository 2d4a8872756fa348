"""Money that goes back: refunds, disputes and warnings of fraud."""

from tests.doubles.stripe import balance, cards
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.errors import Refused, invalid
from tests.doubles.stripe.values import Json

DISPUTE_FEE = 1_500
DUE_DAYS = 8
EVIDENCE = (
    "access_activity_log", "billing_address", "cancellation_policy",
    "cancellation_policy_disclosure", "cancellation_rebuttal", "customer_communication",
    "customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature",
    "duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id",
    "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
    "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address",
    "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number",
    "uncategorized_file", "uncategorized_text",
)  # fmt: skip


def create_refund(account: Account, params: Json) -> Json:
    """Answer POST /v1/refunds."""
    charge = _charge_to_refund(account, params)
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if charge["disputed"]:
        raise invalid(
            f"The charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    amount = left if params.get("amount") is None else params["amount"]
    if amount <= 0:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > left:
        raise invalid(
            f"Refund amount (${amount / 100:.2f}) is greater than unrefunded amount on charge "
            f"(${left / 100:.2f})",
            "amount",
        )
    return _refund(account, charge, amount, params)


def _charge_to_refund(account: Account, params: Json) -> Json:
    if params.get("payment_intent"):
        intent = account.get("payment_intent", params["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            raise invalid(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                "payment_intent",
            )
        return account.get("charge", intent["latest_charge"])
    if not params.get("charge"):
        raise invalid("One of the following params should be provided: charge, payment_intent.")
    charge = account.get("charge", params["charge"], "charge")
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} was not successful and cannot be refunded.", "charge")
    return charge


def _refund(account: Account, charge: Json, amount: int, params: Json) -> Json:
    name = account.id("re")
    row = balance.movement(account, name, -amount, 0, "refund", charge["currency"])
    kind = charge["payment_method_details"]["type"]
    details: Json = {"type": kind}
    if kind == "card":
        details["card"] = {
            "reference_status": "pending",
            "reference_type": "acquirer_reference_number",
            "type": "refund",
        }
    refund = {
        "id": name,
        "object": "refund",
        "amount": amount,
        "balance_transaction": row["id"],
        "charge": charge["id"],
        "created": account.now,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": details,
        "metadata": params.get("metadata") or {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    account.add(refund, "refund.created")
    account.touch(charge)["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    account.tell_change("charge.refunded", charge)
    _fail_later(account, charge, refund)
    return refund


def _fail_later(account: Account, charge: Json, refund: Json) -> None:
    method = account.find("payment_method", charge["payment_method"])
    if method is not None and cards.card_of(account, method).refund_fails:
        account.hidden[refund["id"]] = {"fails_at": account.now + DAY}


def fail_refund(account: Account, refund: Json) -> Json:
    """Have the bank send a refund back: the money is ours again."""
    if refund["status"] == "failed":
        raise Refused(400, "invalid_request_error", "This refund failed already.")
    charge = account.get("charge", refund["charge"])
    account.touch(refund)
    back = balance.movement(
        account, refund["id"], refund["amount"], 0, "refund_failure", refund["currency"]
    )
    refund.update(
        status="failed", failure_reason="expired_or_canceled_card",
        failure_balance_transaction=back["id"],
    )  # fmt: skip
    account.touch(charge)["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    account.tell_change("refund.failed", refund)
    account.tell("refund.updated", refund, {"status": "succeeded"})
    account.tell("charge.refund.updated", refund, {"status": "succeeded"})
    return refund


def open_dispute(account: Account, charge: Json, reason: str) -> Json:
    """Have the customer's bank take the money back for now."""
    dispute = _dispute(account, charge, reason)
    _withdraw(account, charge, dispute)
    account.add(dispute, "charge.dispute.created")
    account.tell("charge.dispute.funds_withdrawn", dispute)
    return dispute


def inquire(account: Account, charge: Json, reason: str) -> Json:
    """Have the customer's bank ask about a payment; no money moves."""
    dispute = _dispute(account, charge, reason)
    dispute.update(status="warning_needs_response", is_charge_refundable=True)
    dispute["payment_method_details"]["card"]["case_type"] = "inquiry"
    return account.add(dispute, "charge.dispute.created")


def escalate(account: Account, dispute: Json) -> Json:
    """Have the bank make a dispute of what it only asked about."""
    charge = account.get("charge", dispute["charge"])
    account.touch(dispute).update(status="needs_response", is_charge_refundable=False)
    _withdraw(account, charge, dispute)
    account.tell("charge.dispute.funds_withdrawn", dispute)
    return dispute


def _withdraw(account: Account, charge: Json, dispute: Json) -> None:
    taken = balance.movement(
        account, dispute["id"], -charge["amount"], DISPUTE_FEE, "adjustment", charge["currency"]
    )
    taken["description"] = f"Chargeback withdrawal for {charge['id']}"
    dispute["balance_transactions"].append(taken)
    account.touch(charge)["disputed"] = True


def _dispute(account: Account, charge: Json, reason: str) -> Json:
    name = account.id("du")
    return {
        "id": name,
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": account.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": account.now + DUE_DAYS * DAY,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": account.settings.livemode,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "case_type": "chargeback",
                "network": "visa",
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def answer_dispute(account: Account, params: Json, dispute: str) -> Json:
    """Answer POST /v1/disputes/{dispute}: evidence, which wins or loses by its words."""
    row = account.get("dispute", dispute)
    _still_open(row)
    account.touch(row)
    evidence = params.get("evidence") or {}
    row["evidence"].update(evidence)
    row["metadata"].update(params.get("metadata") or {})
    row["evidence_details"]["has_evidence"] = bool(evidence)
    if params.get("submit", True) and evidence:
        row["evidence_details"]["submission_count"] += 1
        row["status"] = "under_review"
        words = evidence.get("uncategorized_text")
        if words in {"winning_evidence", "losing_evidence"}:
            account.settle(row)
            end_dispute(account, row, won=words == "winning_evidence")
    return row


def close_dispute(account: Account, params: Json, dispute: str) -> Json:
    """Answer POST /v1/disputes/{dispute}/close: we give in."""
    row = account.get("dispute", dispute)
    _still_open(row)
    return end_dispute(account, row, won=False)


def end_dispute(account: Account, dispute: Json, *, won: bool) -> Json:
    """Have the bank decide; what was won comes back. An inquiry is closed."""
    if not dispute["balance_transactions"]:
        account.touch(dispute)["status"] = "warning_closed"
        account.tell_change("charge.dispute.closed", dispute)
        return dispute
    account.touch(dispute)["status"] = "won" if won else "lost"
    if won:
        back = balance.movement(
            account, dispute["id"], dispute["amount"], -DISPUTE_FEE, "adjustment",
            dispute["currency"],
        )  # fmt: skip
        back["description"] = f"Chargeback reversal for {dispute['charge']}"
        dispute["balance_transactions"].append(back)
    account.tell_change("charge.dispute.closed", dispute)
    if won:
        account.tell("charge.dispute.funds_reinstated", dispute)
    return dispute


def warn_of_fraud(account: Account, charge: Json) -> Json:
    """Have the card's issuer say that it takes the payment for fraud."""
    warning = {
        "id": account.id("issfr"),
        "object": "radar.early_fraud_warning",
        "actionable": True,
        "charge": charge["id"],
        "created": account.now,
        "fraud_type": "made_with_stolen_card",
        "livemode": account.settings.livemode,
    }
    if charge["payment_intent"]:
        warning["payment_intent"] = charge["payment_intent"]
    return account.add(warning, "radar.early_fraud_warning.created")


def _still_open(dispute: Json) -> None:
    if dispute["status"] in {"won", "lost"}:
        raise invalid("This dispute is already closed.", code="dispute_already_closed")
