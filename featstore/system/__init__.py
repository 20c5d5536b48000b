"""The machine as phytobench sees it: what it runs on, what is installed, and what will be slow and why."""

from featstore.system.report import SystemReport, look

__all__ = ["SystemReport", "look"]
