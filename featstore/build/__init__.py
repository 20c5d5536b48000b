"""Building a store: what is missing is planned in whole units, and worked off here, on a cluster or in parts."""
