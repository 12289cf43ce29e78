"""Image files of any kind as arrays."""
