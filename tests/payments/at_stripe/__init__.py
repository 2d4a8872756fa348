"""Money at Stripe's stand-in: what races, and what takes days."""
