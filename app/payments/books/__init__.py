"""Our books and those of the providers: what was missed is fetched, what differs is found."""
