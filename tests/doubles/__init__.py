"""Stand-ins for other people's servers, as hostile as a test asks."""
