"""Sentences for the codes of this subject."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.accounts.permissions import Permission
from app.notifications.texts import TEXTS as NOTIFICATIONS

TEXTS: Mapping[str, LazyString] = {
    "bad_email": _l("This does not look like an e-mail address."),
    "email_taken": _l("There is an account with this address already."),
    "password_too_short": _l("A password has at least %(minimum)s characters."),
    "password_too_long": _l("A password has at most %(maximum)s characters."),
    "password_not_text": _l("This password holds characters that can't be stored."),
    "password_breached": _l(
        "This password is known from a breach of another site: whoever guesses begins with it. "
        "Please choose another one."
    ),
    "password_common": _l(
        "This password is among those that guessers try first. Take several words, for example."
    ),
    "wrong_credentials": _l("E-mail or password is wrong."),
    "account_blocked": _l("This account is blocked. Please write to us."),
    "too_many_tries": _l("Too many tries. Please wait %(wait)s and try again."),
    "wrong_setup_code": _l("This is not the set-up code. It stands in the log of the server."),
    "setup_done": _l("The set-up was done and can't be opened again."),
    "unknown_user": _l("There is no such person."),
    "cannot_block_oneself": _l("Nobody can block the own account."),
    "not_your_right": _l("You may not do this to somebody with these rights."),
    "bad_reason": _l("Give a reason of %(minimum)s to %(maximum)s characters: it stays on record."),
    "right_not_yours": _l("Nobody can give or take a right that they lack themselves."),
    "never_staff": _l("Only the pages of customers can be looked at, never those of staff."),
    "last_administrator": _l("This is the last administrator: name another one first."),
    "roles_changed_meanwhile": _l("Somebody else has just changed the roles. Look at them again."),
    "unknown_choice": _l("Please choose one of the offered values."),
    "unknown_timezone": _l("There is no such time zone."),
    "bad_phone": _l("Write the number with + and the country code, for example +5511999990000."),
    "phone_takes_no_texts": _l("This number can't get text messages. Give that of a mobile phone."),
    "phone_unchanged": _l("This is your confirmed number already."),
    "phone_confirms_account": _l(
        "Your account is confirmed by this number only. Confirm your e-mail address first."
    ),
    "text_too_long": _l("This has at most %(maximum)s characters."),
    "control_characters": _l("This holds characters that can't be shown."),
    "wrong_password": _l("This is not your password."),
    "bad_reset_code": _l(
        "This code does not fit. It works once, for ten minutes; ask for a new mail if in doubt."
    ),
    "wrong_factor_code": _l(
        "This code does not fit. Each works once; check that the clock of your phone is right."
    ),
    "bad_invite": _l("This invitation does not work (any more). Ask whoever gave it to you."),
    "unknown_invite": _l("There is no such invitation."),
    "invitation_number": _l("Please choose a number from %(minimum)s to %(maximum)s."),
    "captcha_failed": _l("Your browser has not solved the small task below. Please try again."),
    "captcha_expired": _l("The small task was solved too long ago or used. Please try again."),
    "log_in_again": _l("Please log in again."),
    "factor_is_on": _l("The second factor is on already."),
    "factor_not_waiting": _l("The second factor is not being set up. Open its page again."),
    "factor_for_unconfirmed": _l("Confirm your e-mail address first, then set it up."),
    "staff_need_factor": _l("Staff can't be without a second factor: add another one first."),
    "keys_need_factor": _l(
        "With keys of an exchange you can't be without a second factor: add another one first."
    ),
    "no_password_yet": _l(
        "Your account has no password yet. Choose one by mail: “Forgotten the password?”"
    ),
    "sign_in_expired": _l("This log-in took too long or was begun elsewhere. Please begin again."),
    "sign_in_denied": _l("The log-in was called off there. Nothing has changed here."),
    "sign_in_refused": _l("The answer from there was not right. Please begin again."),
    "sign_in_provider_down": _l("The other side does not answer. Try again later or another way."),
    "sign_in_without_email": _l(
        "Your account there has no confirmed e-mail address, and we need one. Confirm one there, "
        "or create an account here."
    ),
    "sign_in_taken": _l("This log-in opens another account here already."),
    "address_has_account": _l(
        "There is an account with this address already. Log in to it as usual, then connect the "
        "other log-in in the settings."
    ),
    "last_way_in": _l("This is the only way into your account. Choose a password first."),
    "unknown_provider": _l("Nobody can log in here that way."),
    "unknown_sign_in": _l("There is no such log-in."),
    "passkey_refused": _l("This passkey was not taken. Try again, or take another way."),
    "passkey_known": _l("This passkey is in use already."),
    "passkey_without_name": _l("Give the passkey a name."),
    "too_many_passkeys": _l("You have %(maximum)s passkeys. Remove one that you no longer use."),
    "passkeys_not_here": _l("Passkeys don't work at this address of the site."),
    "unknown_passkey": _l("There is no such passkey."),
    "email_unchanged": _l("This is your address already."),
    "token_label_missing": _l("Name the token after the program that will use it."),
    "token_without_scopes": _l("Choose at least one right: a token without any can do nothing."),
    "token_for_unconfirmed": _l("Confirm your e-mail address first, then make a token."),
    "too_many_tokens": _l("You have %(maximum)s tokens. Revoke one that you no longer need."),
    "token_form_used": _l("This form has made its token already. Open the page anew for another."),
    "unknown_token": _l("There is no such token."),
    "token_missing": _l("Send a token: Authorization: Bearer botyard_…"),
    "token_invalid": _l("This token is not known here."),
    "token_expired": _l("This token has expired. Make a new one in the settings."),
    "token_revoked": _l("This token was revoked. Make a new one in the settings."),
    "token_owner_unconfirmed": _l("The owner of this token has not confirmed the e-mail address."),
    "choose_for_coins": _l("Bots are running: choose what becomes of their coins."),
    "too_late_to_stay": _l("The waiting time is over: the account is being deleted."),
    "account_erased": _l("This account was deleted."),
    "account_is_leaving": _l(
        "Your account is about to be deleted, so nothing new can begin. Keep it first."
    ),
    "leave_by_own_page": _l("Delete your own account in your settings."),
    "unknown_export": _l("There is no such file (any more)."),
    "demo_people_refused": _l("Demo people are made only with DEMO=1 and outside production."),
}

FINDINGS: Mapping[str, LazyString] = {
    "secrets_kept": _l("The master key is set: what is stored encrypted can be opened again."),
    "secrets_ephemeral": _l(
        "BOTYARD_MASTER_KEYS is not set: after a restart nothing that is stored encrypted opens."
    ),
    "mail_works": _l("The mail server answers."),
    "mail_missing": _l("SMTP_URL is not set: nobody can confirm an address."),
    "mail_caught": _l("SMTP_URL is not set: mails stay here and can be read at /dev/mail."),
    "mail_login_refused": NOTIFICATIONS["mail_login_refused"],
    "mail_refused": NOTIFICATIONS["mail_refused"],
    "mail_no_encryption": NOTIFICATIONS["mail_no_encryption"],
    "mail_not_writable": NOTIFICATIONS["mail_not_writable"],
    "mail_server_unreachable": NOTIFICATIONS["mail_server_unreachable"],
    "address_fits": _l("Links in mails lead to this address."),
    "address_plain": _l("This address has no https: fine on your own machine, not beyond it."),
    "address_differs": _l("Links in mails lead elsewhere than where you are now: check BASE_URL."),
    "exchanges_silent": _l("No prices arrive: check that the price feed runs."),
    "prices_synthetic": _l("Prices are made here (synthetic market); no exchange is asked."),
    "prices_replay": _l("Prices are replayed from recorded candles."),
    "prices_ccxt": _l("Prices arrive from the exchanges."),
}

SUBJECTS: Mapping[str, LazyString] = {
    "secrets": _l("Secrets"),
    "mail": _l("Mail"),
    "address": _l("Address"),
    "exchanges": _l("Exchanges"),
}

PERMISSION_LABELS: Mapping[Permission, LazyString] = {
    Permission.CABINET: _l("Use the own pages"),
    Permission.BOTS_OWN: _l("Run own bots"),
    Permission.EXCHANGES_OWN: _l("Connect own exchange accounts"),
    Permission.SUBSCRIPTIONS_OWN: _l("Have an own plan"),
    Permission.WALLET_OWN: _l("Have an own wallet"),
    Permission.DESK: _l("Open the staff desk"),
    Permission.USERS_VIEW: _l("See people and mails sent"),
    Permission.USERS_BLOCK: _l("Block and unblock people"),
    Permission.USERS_ACT_AS: _l("Look at the pages of a customer as they see them"),
    Permission.USERS_DELETE: _l("Delete the accounts of others"),
    Permission.BOTS_VIEW_ALL: _l("See the bots of everybody"),
    Permission.BOTS_STOP_ANY: _l("Stop the bots of anybody"),
    Permission.TRADES_VIEW_ALL: _l("See the orders and trades of everybody"),
    Permission.EXCHANGES_MANAGE: _l("Switch exchanges and change settings"),
    Permission.QUEUES_VIEW: _l("See the queues"),
    Permission.QUEUES_REQUEUE: _l("Run failed jobs again"),
    Permission.HEALTH_VIEW: _l("See the state of the services"),
    Permission.STATISTICS_VIEW: _l("See the statistics"),
    Permission.REVENUE_VIEW: _l("See the revenue and what each payment left"),
    Permission.LEDGER_VIEW: _l("See the books and the wallets of everybody"),
    Permission.PLANS_MANAGE: _l("Change plans and prices"),
    Permission.BILLING_VIEW: _l("See the invoices and payments of everybody"),
    Permission.BILLING_MANAGE: _l("Issue and void invoices, give money back"),
    Permission.FAQ_MANAGE: _l("Write the help"),
    Permission.TICKETS: _l("Read and answer the tickets of customers"),
    Permission.AUDIT_VIEW: _l("Read the audit trail"),
    Permission.ROLES_MANAGE: _l("Change roles and who has them"),
}
