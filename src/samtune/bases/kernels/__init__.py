"""Fast, exact ways through parts of a base."""
