"""Stripe as a rail: its library is known in here only."""

NAME = "stripe"
