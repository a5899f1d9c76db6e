"""A mixture of experts as data: how a token's experts are chosen, and what an expert is. Hashable, no jax."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from penstock.errors import ModelError
from penstock.layers.leaf import LeafSpec, of_experts, projection, vector
from penstock.layers.spec import Activation, MlpSpec, divided

#: Before the names of an expert's leaves, and of the shared MLP's.
EXPERTS, SHARED = "experts_", "shared_"


@dataclass(frozen=True, slots=True)
class RouterSpec:
    """How a token chooses its experts, and what it weighs each with. Scores are float32 whatever the activations are.

    The softmax over the chosen logits alone, of some models, is the softmax over all, renormalised.

    Attributes:
        num_chosen: experts of a token.
        scoring: of a token's logits, one for each expert: "softmax" over all, or "sigmoid" of each.
        is_renormalised: the weights of the chosen are divided by their sum.
        scale: what the weights are multiplied by at last.
        has_bias: of the linear layer that gives the logits.
        has_correction: a number for each expert is added to its score, for the choice alone (DeepSeek-V3,
            arXiv 2412.19437, 2.1.2).
        num_groups, num_chosen_groups: experts lie in groups of equal size, and only those of the best groups can be
            chosen (DeepSeek-V2, arXiv 2405.04434, 2.2.2).
        group_score_size: how many of a group's best scores are added up to its own.
    """

    num_experts: int
    num_chosen: int
    scoring: Literal["softmax", "sigmoid"] = "softmax"
    is_renormalised: bool = False
    scale: float = 1.0
    has_bias: bool = False
    has_correction: bool = False
    num_groups: int = 1
    num_chosen_groups: int = 1
    group_score_size: int = 1

    def __post_init__(self) -> None:
        group_size = self.num_experts // self.num_groups
        if self.num_experts % self.num_groups or self.num_chosen_groups > self.num_groups:
            raise ModelError(
                f"config.json: {self.num_chosen_groups} of {self.num_groups} groups of {self.num_experts} experts: "
                "expected groups of one size, and no more to choose than there are"
            )
        if self.num_groups > 1 and self.group_score_size > group_size:
            raise ModelError(f"config.json: groups of {group_size} experts: expected at least {self.group_score_size}")
        if self.num_chosen > group_size * self.num_chosen_groups:
            raise ModelError(
                f"config.json: {self.num_chosen} experts for each token out of {group_size * self.num_chosen_groups} "
                "that it can choose: expected no more than there are"
            )

    def leaves(self, hidden_size: int) -> tuple[LeafSpec, ...]:
        """`router` [D, E], its bias and the correction, all float32."""
        leaves = [projection("router", hidden_size, self.num_experts, dtype="float32")]
        if self.has_bias:
            leaves.append(vector("router_bias", self.num_experts, dtype="float32"))
        if self.has_correction:
            leaves.append(vector("router_correction", self.num_experts, dtype="float32"))
        return tuple(leaves)


@dataclass(frozen=True, slots=True)
class ClampedGate:
    """gpt-oss's gate: `(up + 1) * gate * sigmoid(gain * gate)`, gate at most `limit`, up within ±limit."""

    gain: float
    limit: float


@dataclass(frozen=True, slots=True)
class MoeSpec:
    """A mixture of gated MLPs (Shazeer et al., arXiv 1701.06538), each token in a few of them.

    Attributes:
        size: F, of an expert's gate and up each.
        activation: of the gate, or a gate of its own kind.
        has_bias: on the experts' projections.
        shared: an MLP that every token goes through beside its experts.
        has_shared_gate: a sigmoid of the token says how much of the shared MLP it takes.
        num_shards: parts of the experts, of which these leaves are one; the rest is on the other devices of
            `mesh_axis`, in order.
    """

    size: int
    router: RouterSpec
    activation: Activation | ClampedGate = "silu"
    has_bias: bool = False
    shared: MlpSpec | None = None
    has_shared_gate: bool = False
    num_shards: int = 1
    mesh_axis: str | None = None

    @property
    def num_own_experts(self) -> int:
        """Those that a device holds."""
        return self.router.num_experts // self.num_shards

    def leaves(self, hidden_size: int) -> tuple[LeafSpec, ...]:
        """Those of the router, `experts_gate_up` [E, D, 2, F] and `experts_down` [E, F, D], and of the shared MLP:
        `shared_gate_up`, `shared_down` and, for its gate, `shared_gate` [D, 1]. Of the experts' leaves a device has
        those of its own, but all of `experts_down_bias` [E, D], which is added after the sum over devices."""
        expert = MlpSpec(self.size, has_bias=self.has_bias).leaves(hidden_size)
        leaves = [*self.router.leaves(hidden_size)]
        for leaf in expert:
            if leaf.name == "down_bias":
                leaves.append(of_experts(leaf, self.router.num_experts, name=EXPERTS + leaf.name))
            else:
                leaves.append(of_experts(leaf, self.num_own_experts, name=EXPERTS + leaf.name, axis="experts"))
        if self.shared is not None:
            leaves += [replace(leaf, name=SHARED + leaf.name) for leaf in self.shared.leaves(hidden_size)]
        if self.has_shared_gate:
            leaves.append(projection("shared_gate", hidden_size, 1))
        return tuple(leaves)

    def shard(self, num_devices: int, mesh_axis: str) -> MoeSpec:
        """What each of `num_devices` computes: its experts, for all tokens. ConfigError where it cannot have as many
        as the others."""
        divided("number of experts", self.router.num_experts, num_devices)
        shared = None if self.shared is None else self.shared.shard(num_devices, mesh_axis)
        return replace(self, shared=shared, num_shards=num_devices, mesh_axis=mesh_axis)
