"""A generator of small PlantCLEF-like packages: drawn plants that nobody owns, for the demo and the tests."""

from featstore.synth.package import SynthSummary, synthesise
from featstore.synth.plan import SynthSettings

__all__ = ["SynthSettings", "SynthSummary", "synthesise"]
