"""The device side: what is compiled, what lives on the device, and the calls that the scheduler makes. Ids only."""

from penstock.engine.interface import (
    BlockTableChange,
    Capacity,
    EngineOptions,
    InFlightStep,
    Join,
    LogprobColumns,
    PooledColumns,
    PromptColumns,
    Runner,
    Span,
    StepOutput,
    StepPlan,
    TokenRules,
    Yields,
)

__all__ = [
    "BlockTableChange",
    "Capacity",
    "EngineOptions",
    "InFlightStep",
    "Join",
    "LogprobColumns",
    "PooledColumns",
    "PromptColumns",
    "Runner",
    "Span",
    "StepOutput",
    "StepPlan",
    "TokenRules",
    "Yields",
]
