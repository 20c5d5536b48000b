"""Studies: several commands one after another, each done once, whatever interrupts them."""
