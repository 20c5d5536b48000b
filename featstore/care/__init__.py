"""Care of a store: what is in it, whether it is whole, where a row comes from, what is wrong with the data."""
