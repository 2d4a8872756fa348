"""Runtime settings: declared in code with defaults, stored when changed, edited in the desk."""
