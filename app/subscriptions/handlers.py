"""What plans say when others announce something."""

from app.accounts.deletion.events import PersonErasing
from app.events import on
from app.exchanges.events import AccountConnecting
from app.subscriptions import service


@on(AccountConnecting)
def check_account_limit(event: AccountConnecting) -> None:
    """Refuse an exchange account beyond the plan's limit."""
    service.check_may_connect(event.user_id)


@on(PersonErasing)
def end_plan_of_leaver(event: PersonErasing) -> None:
    """End the plan of somebody whose account is erased."""
    service.end_for_leaver(event.user_id)
