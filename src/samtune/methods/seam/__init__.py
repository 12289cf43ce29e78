"""The seam between methods and everything that uses them."""
