"""Interface of methods: protocols, recipes, table, and the functions that work with every method."""
