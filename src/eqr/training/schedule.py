"""Learning rate as a function of the step and of the share of the budget spent. Nothing else."""


def learning_rate_scale(step: int, progress: float, warmup_steps: int, decay_share: float) -> float:
    """Linear warm-up over ``warmup_steps``, then 1, then linear decay to 0 over the last ``decay_share`` of the budget.

    ``progress`` is the share of the budget (steps or minutes, resumed ones included) that is spent, 0 to 1.
    """
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    decay = 1.0 if decay_share <= 0 else min(1.0, (1.0 - progress) / decay_share)
    return warmup * max(0.0, decay)
