"""Recurring revenue: what customers pay a month, how it moves, and who stays."""
