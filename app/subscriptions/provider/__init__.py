"""Subscriptions that a provider keeps: ordered here, kept there, copied back by the mirror."""
