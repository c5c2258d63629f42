"""What an ablation declared; read by the sweeps' own reader."""

from sweeps.declared import DeclaredCell, DeclaredPlan, DeclaredTrial, choose, declared_names, read_plan

__all__ = ["DeclaredCell", "DeclaredPlan", "DeclaredTrial", "choose", "declared_names", "read_plan"]
