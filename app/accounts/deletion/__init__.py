"""Leaving for good: asked for, waited for, undone or done."""
