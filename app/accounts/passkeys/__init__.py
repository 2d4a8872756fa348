"""Passkeys: keys of a phone, computer or security key, instead of a password or beside it."""
