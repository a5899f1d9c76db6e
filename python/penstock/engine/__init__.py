"""The device side: what is compiled, what lives on the device, and the calls that the scheduler makes. Ids only."""

from penstock.engine.interface import Capacity, EngineOptions, PrefillSlice, StepResult

__all__ = ["Capacity", "EngineOptions", "PrefillSlice", "StepResult"]
