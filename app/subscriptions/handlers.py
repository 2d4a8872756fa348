"""What plans say when others announce something."""

from app.events import on
from app.exchanges.events import AccountConnecting
from app.subscriptions import service


@on(AccountConnecting)
def check_account_limit(event: AccountConnecting) -> None:
    """Refuse an exchange account beyond the plan's limit."""
    service.check_may_connect(event.user_id)
