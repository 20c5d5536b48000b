"""Unknown species: how a model is kept from naming a plant of a species that it has never learnt."""
