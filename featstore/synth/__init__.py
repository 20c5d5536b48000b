"""A generator of small PlantCLEF-like packages: drawn plants that nobody owns, for the demo and the tests."""

from featstore.synth.package import SynthSettings, SynthSummary, synthesise

__all__ = ["SynthSettings", "SynthSummary", "synthesise"]
