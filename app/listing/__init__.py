"""What lists of every subject share: pages, addresses with another filter, days, files."""
