"""Settings that make a method small enough for a test, where its paper's widths are not."""

from __future__ import annotations

SMALL: dict[str, dict[str, object]] = {
    "barlow_twins": {"projector": [16, 16]},
    "byol": {"layers": [32, 16]},
    "dino": {"prototypes": 24, "hidden": 32, "bottleneck": 16},
    "mlvicx": {"backbone": "vit", "expander": [16, 16], "channels": 4},
    "mocov3": {"projector": [32, 32, 16], "predictor": [32, 16]},
    "mvmae_v2t": {"caption_depth": 1},
    "vicreg": {"expander": [16, 16]},
}


# A curriculum has an epoch a stage at least.
EPOCHS = {"curricular": ["train.epochs=2"]}


def small_overrides(method: str) -> list[str]:
    """The same settings as overrides of a trial's config."""
    settings = [f"method.{key}={value}".replace(" ", "") for key, value in SMALL.get(method, {}).items()]
    return [*settings, *EPOCHS.get(method, [])]
