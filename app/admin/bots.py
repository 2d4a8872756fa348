"""Bots of all customers, their logs, and the stop with a reason."""

from collections.abc import Iterable

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import Act, AdminView
from app.admin.forms import StopForm
from app.admin.names import doer
from app.admin.words import BOT_WORDS, EVENT_WORDS
from app.bots import stopping
from app.bots.inventory import any_bot
from app.bots.models import Bot, BotEvent
from app.db import db
from app.trading.strategy import StopHow
from app.transactions import transaction


class BotView(AdminView):
    """Bots, those that were not looked at for longest first."""

    permission = Permission.BOTS_VIEW_ALL
    column_formatters = BOT_WORDS
    column_list = (
        "id",
        "user_id",
        "name",
        "strategy",
        "symbols",
        "mode",
        "capital",
        "currency",
        "state",
        "state_since",
        "last_tick_at",
        "stale_since",
        "failures",
        "last_error",
    )
    column_details_list = (*column_list, "account_id", "state_reason", "epoch", "tick_period_s")
    column_searchable_list = ("name",)
    column_extra_row_actions = [
        Act("stop", ".stop", _l("Stop with a reason"), Permission.BOTS_STOP_ANY),
    ]
    column_filters = ("id", "state", "mode", "user_id", "account_id", "strategy", "stale_since")
    column_default_sort = [("stale_since", False), ("last_tick_at", False)]
    column_labels = {
        "user_id": _l("User"),
        "name": _l("Name"),
        "strategy": _l("Strategy"),
        "symbols": _l("Pair"),
        "mode": _l("Mode"),
        "capital": _l("Investment"),
        "currency": _l("Currency"),
        "state": _l("State"),
        "state_since": _l("Since"),
        "last_tick_at": _l("Last tick"),
        "stale_since": _l("Stale since"),
        "failures": _l("Failures in a row"),
        "last_error": _l("Last error"),
        "account_id": _l("Account"),
        "state_reason": _l("Reason"),
        "epoch": _l("Starts"),
        "tick_period_s": _l("Tick period, s"),
    }

    @expose("/stop", methods=("GET", "POST"))
    def stop(self) -> ResponseReturnValue:
        """Ask for the reason, then stop the bot; its owner reads the reason in the log."""
        if not current_may(Permission.BOTS_STOP_ANY):
            return self.inaccessible_callback("stop")
        bot = any_bot(request.args.get("id", 0, type=int))
        form = StopForm()
        if form.validate_on_submit():
            with Acting(form, gettext("The bot is stopping.")) as act, transaction():
                stopping.staff_stop(current_user.id, bot.id, form.why, StopHow(form.how.data))
            if act.is_done:
                return redirect(url_for("admin_bots.index_view"))
        return self.with_form("admin/stop_bot.html", form, bot=bot, owner=doer(bot.user_id))


class BotEventView(AdminView):
    """Lines of all bot logs, newest first."""

    permission = Permission.BOTS_VIEW_ALL
    column_formatters = EVENT_WORDS
    column_details_list = ("id", "at", "bot_id", "level", "code", "values", "tick_id", "actor_id")
    column_list = ("id", "at", "bot_id", "level", "code", "tick_id", "actor_id")
    column_filters = ("bot_id", "level", "code", "at")
    column_labels = {
        "at": _l("Time"),
        "bot_id": _l("Bot"),
        "level": _l("Level"),
        "code": _l("What happened"),
        "values": _l("Values"),
        "tick_id": _l("Tick"),
        "actor_id": _l("Done by"),
    }


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield BotView(Bot, db, name=_l("Bots"), endpoint="admin_bots", url="/admin/bots")
    yield BotEventView(
        BotEvent, db, name=_l("Bot log"), endpoint="admin_bot_events", url="/admin/bot-log"
    )
