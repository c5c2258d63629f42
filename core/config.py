"""The typed configuration of one trial: every default in one place, each field with a line of documentation.

A component's own dataclass sits beside the component (a method's in its file); what is common stands here.
Hydra composes these nodes; `core.compose` turns them into objects, and `__post_init__` refuses values
that cannot work with a message that names the field.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from core.errors import check_choice, check_range, require


def setting(default: Any, line: str) -> Any:
    """A dataclass field with its default and its line of documentation (kept for `--help`)."""
    if isinstance(default, list | dict):
        copied = default
        return field(default_factory=lambda: type(copied)(copied), metadata={"line": line})
    return field(default=default, metadata={"line": line})


def document(config: type) -> list[tuple[str, str, str]]:
    """(field, default, line) of every documented field of a config dataclass."""
    rows = []
    for item in fields(config):
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        rows.append((item.name, str(default), str(item.metadata.get("line", ""))))
    return rows


@dataclass
class DataConfig:
    """What every data set has. A reader's own config extends this."""

    name: str = setting("", "which reader (see core/data/readers)")
    size: int = setting(64, "side of the square training image, px")
    labels: list[str] = setting([], "labels to use, in this order; empty = all that the data set has")
    resize: str = setting("pad", "how a film becomes square: pad | crop | stretch")
    tone: str = setting(
        "voi", "how stored values become grey: voi (the header's LUT or window) | percentiles | minmax | mimic_cxr_jpg"
    )
    borders: str = setting("keep", "black borders around a film: keep | crop")
    split_seed: int = setting(0, "seed of the by-patient split where the data set has none of its own")
    validate_fraction: float = setting(0.1, "share of patients in validate where there is no official split")
    test_fraction: float = setting(0.2, "share of patients in test where there is no official split")
    studies_per_shard: int = setting(512, "studies in one shard (a tar file)")
    reports: bool = setting(False, "take the studies' reports along (their impressions, as text); mvmae_v2t needs them")
    max_quarantine: float = setting(0.02, "largest share of unreadable images before the build fails")

    def __post_init__(self) -> None:
        check_range("data.size", self.size, 16, 1024)
        check_choice("data.resize", self.resize, ("pad", "crop", "stretch"))
        check_choice("data.tone", self.tone, ("voi", "percentiles", "minmax", "mimic_cxr_jpg"))
        check_choice("data.borders", self.borders, ("keep", "crop"))
        check_range("data.validate_fraction", self.validate_fraction, 0, 1, open_low=True, open_high=True)
        check_range("data.test_fraction", self.test_fraction, 0, 1, open_low=True, open_high=True)
        check_range(
            "data.validate_fraction + data.test_fraction",
            self.validate_fraction + self.test_fraction,
            0,
            1,
            open_high=True,
        )
        check_range("data.studies_per_shard", self.studies_per_shard, 1, 1_000_000)
        check_range("data.max_quarantine", self.max_quarantine, 0, 1)


@dataclass
class PairingConfig:
    """What every pairing strategy has: its name. A strategy's own config extends this."""

    name: str = setting("", "which pairing strategy (see core/data/pairings)")


@dataclass
class CurationConfig:
    """What every curation has. Its own config extends this."""

    name: str = setting("", "which curation (see core/curation/kinds)")
    keep: float = setting(1.0, "share of the training studies that are trained on")

    def __post_init__(self) -> None:
        check_range("curation.keep", self.keep, 0, 1, open_low=True)

    @property
    def n_levels(self) -> int:
        """Levels of clusters that it finds."""
        return 0

    @property
    def encoder_epochs(self) -> int:
        """Epochs that an encoder is trained for it alone."""
        return 0

    def is_default(self) -> bool:
        """Whether nothing is curated."""
        return self.name in ("", "none") and self.keep == 1

    def identity(self) -> dict[str, Any]:
        """What determines which studies it chooses."""
        return asdict(self)

    def check_trial(self, trial: TrialConfig) -> None:
        """Raise ConfigError where this curation cannot work with the rest of the trial's config."""
        require(
            self.is_default() or trial.measure is None or trial.measure.name == "quality",
            f"curation={self.name} curation.keep={self.keep} with measure={getattr(trial.measure, 'name', '')}",
            "how fast a trial trains does not depend on whom it trains on: use curation=none",
        )


@dataclass
class BatchesConfig:
    """What every way of filling batches has: its name. Its own config extends this."""

    name: str = setting("", "what fills a batch (see core/data/batches)")

    def check_trial(self, trial: TrialConfig) -> None:
        """Raise ConfigError where such batches cannot be filled with the rest of the trial's config."""


@dataclass
class MethodConfig:
    """What every method has: its name. A method's own config extends this."""

    name: str = setting("", "which method (see core/methods)")

    def check_trial(self, trial: TrialConfig) -> None:
        """Raise ConfigError where this method cannot work with the rest of the trial's config."""

    def in_sequence(self, trial: TrialConfig) -> list[TrialConfig]:
        """The trials that are trained one after the other for this trial: itself, but for a method made of others."""
        return [trial]


@dataclass
class ModelConfig:
    """The vision transformer's encoder. Sizes: Dosovitskiy et al. 2021, table 1; width 192/12/3 is 'tiny'."""

    name: str = setting("vit", "label of this size in tables")
    patch: int = setting(16, "side of a patch, px")
    width: int = setting(768, "token width")
    depth: int = setting(12, "transformer blocks")
    heads: int = setting(12, "attention heads")
    mlp_ratio: float = setting(4.0, "hidden width of a block's MLP / width")
    qk_norm: bool = setting(True, "normalise queries and keys (arXiv 2507.02987 code)")
    positions: str = setting("learned", "patch positions: learned | sincos (fixed 2-D)")
    view_embedding: bool = setting(True, "add a learned view-type embedding to patch tokens")
    decoder_width: int = setting(0, "the decoder's token width (masked autoencoders); 0 = the encoder's")
    decoder_depth: int = setting(4, "the decoder's blocks (arXiv 2507.02987 code: 4; He et al. 2021: 8)")
    decoder_heads: int = setting(0, "the decoder's attention heads; 0 = the encoder's")

    def __post_init__(self) -> None:
        check_range("model.patch", self.patch, 1, 256)
        check_range("model.depth", self.depth, 1, 200)
        check_range("model.heads", self.heads, 1, 256)
        check_range("model.decoder_depth", self.decoder_depth, 1, 200)
        check_choice("model.positions", self.positions, ("learned", "sincos"))
        require(
            self.width % self.heads == 0,
            f"model.width={self.width} is no multiple of model.heads={self.heads}",
            "choose heads that divide the width",
        )
        decoder = self.decoder_width or self.width
        heads = self.decoder_heads or self.heads
        require(
            decoder % heads == 0,
            f"the decoder's width {decoder} is no multiple of its {heads} heads",
            "set model.decoder_width and model.decoder_heads to fit",
        )
        require(
            self.positions != "sincos" or self.width % 4 == 0,
            f"model.width={self.width} is no multiple of 4",
            "model.positions=sincos needs one",
        )


@dataclass
class InitConfig:
    """Weights that the encoder starts from (core/initial.py). A method's heads and its decoder always start fresh."""

    path: str = setting(
        "", "a trained trial's folder, or a file: .safetensors or .pth, ours or timm's; empty = fresh weights"
    )
    mean: list[float] = setting(
        [0.485, 0.456, 0.406], "pixel mean that a file for RGB images was trained with (ImageNet's; augreg: 0.5 thrice)"
    )
    std: list[float] = setting(
        [0.229, 0.224, 0.225], "pixel standard deviation that it was trained with (ImageNet's; augreg: 0.5 thrice)"
    )

    def __post_init__(self) -> None:
        require(
            not self.path or Path(self.path).expanduser().exists(),
            f"init.path={self.path} does not exist",
            "give a trained trial's folder, or a checkpoint file",
        )
        three = len(self.mean) == len(self.std) == 3
        require(
            three, f"init.mean={self.mean} and init.std={self.std} are not 3 channels each", "give red, green, blue"
        )
        require(
            min(self.std) > 0, f"init.std={self.std} is not above 0", "give standard deviations of pixels in [0, 1]"
        )


@dataclass
class OptimConfig:
    """Optimiser and its schedule."""

    name: str = setting("adamw", "which optimiser: adamw | lars")
    base_lr: float = setting(1.2e-4, "learning rate at a global batch of 256 studies; scaled linearly")
    weight_decay: float = setting(0.05, "weight decay")
    final_weight_decay: float | None = setting(
        None, "the weight decay moves to this along half a cosine (DINO: from 0.04 to 0.4); null = it stays"
    )
    betas: list[float] = setting([0.9, 0.999], "AdamW's betas")
    momentum: float = setting(0.9, "LARS' momentum")
    decay_norms: bool = setting(False, "decay biases and norms too")
    warmup_epochs: float = setting(0.0, "epochs of linear warm-up")
    final_lr_fraction: float = setting(0.0, "the cosine ends at this share of the peak")
    clip: float = setting(1.0, "largest gradient norm; 0 = no clipping")

    def __post_init__(self) -> None:
        check_choice("optim.name", self.name, ("adamw", "lars"))
        check_range("optim.base_lr", self.base_lr, 0, 100, open_low=True)
        check_range("optim.weight_decay", self.weight_decay, 0, 10)
        if self.final_weight_decay is not None:
            check_range("optim.weight_decay", self.weight_decay, 0, 10, open_low=True)
            check_range("optim.final_weight_decay", self.final_weight_decay, 0, 10, open_low=True)
        check_range("optim.warmup_epochs", self.warmup_epochs, 0, 1e6)
        check_range("optim.final_lr_fraction", self.final_lr_fraction, 0, 1)
        check_range("optim.clip", self.clip, 0, 1e9)


@dataclass
class TrainConfig:
    """How long and how much at a time. Everything here changes the result."""

    epochs: int = setting(10, "passes over the training studies")
    batch_size: int = setting(64, "studies in one optimiser step, over all processes")
    micro_batches: int = setting(
        1, "parts of a batch that pass one after the other; losses across the batch (infonce, vicreg) see one part"
    )
    precision: str = setting("bf16", "arithmetic of the forward pass: bf16 (autocast, fp32 weights) | fp32")

    def __post_init__(self) -> None:
        check_range("train.epochs", self.epochs, 0, 1_000_000)
        check_range("train.batch_size", self.batch_size, 1, 10_000_000)
        check_range("train.micro_batches", self.micro_batches, 1, self.batch_size)
        require(
            self.batch_size % self.micro_batches == 0,
            f"train.micro_batches={self.micro_batches} does not divide train.batch_size={self.batch_size}",
            "choose a number that divides it",
        )
        check_choice("train.precision", self.precision, ("bf16", "fp32"))


@dataclass
class AugmentConfig:
    """Random augmentation, drawn on the device, independent per image (arXiv 2507.02987 code)."""

    crop_scale: list[float] = setting([0.5, 1.0], "random resized crop: least and greatest share of the area")
    flip: float = setting(0.0, "probability of a horizontal flip (off: the heart has a side)")
    jitter: float = setting(0.4, "brightness and contrast jitter, +- this factor")
    jitter_probability: float = setting(0.8, "probability that the jitter is applied")

    def __post_init__(self) -> None:
        require(
            len(self.crop_scale) == 2 and 0 < self.crop_scale[0] <= self.crop_scale[-1] <= 1,
            f"augment.crop_scale={self.crop_scale} is no range of areas",
            "give [low, high] with 0 < low <= high <= 1",
        )
        check_range("augment.flip", self.flip, 0, 1)
        check_range("augment.jitter", self.jitter, 0, 1)
        check_range("augment.jitter_probability", self.jitter_probability, 0, 1)


@dataclass
class LoaderConfig:
    """How studies reach the device. Does not change what a memory-mapped batch holds."""

    backend: str = setting("mmap", "mmap (exact order, exact resume) | webdataset (streaming)")
    workers: int = setting(1, "threads that read batches ahead; 0 = none")
    prefetch: int = setting(4, "batches read ahead")
    url: str = setting(
        "", "folder of a web server from which webdataset streams the training shards: http(s)://...; empty = the disk"
    )

    def __post_init__(self) -> None:
        check_choice("loader.backend", self.backend, ("mmap", "webdataset"))
        require(
            self.url.startswith(("http://", "https://")) or not self.url,
            f"loader.url={self.url} is no address of a web server",
            "give http://... or https://... of the folder in which the shards lie",
        )
        require(
            self.backend == "webdataset" or not self.url,
            f"loader.url={self.url} with loader.backend={self.backend}: only streams come from a server",
            "set loader.backend=webdataset",
        )
        check_range("loader.workers", self.workers, 0, 256)
        check_range("loader.prefetch", self.prefetch, 1, 1024)


@dataclass
class EngineConfig:
    """What every engine has: its name. An engine's own config extends this."""

    name: str = setting("ddp", "which engine (see core/engines)")

    def check_trial(self, trial: TrialConfig) -> None:
        """Raise ConfigError where this engine cannot work with the rest of the trial's config."""


@dataclass
class MeasureConfig:
    """What every measure has: its name. A measure's own config extends this."""

    name: str = setting("", "which measure (see core/measures)")

    def check_trial(self, trial: TrialConfig) -> None:
        """Raise ConfigError where this measure cannot work with the rest of the trial's config."""


@dataclass
class RuntimeConfig:
    """Settings of the machine and the run. Nothing here changes what is learned (measure=quality)."""

    device: str = setting("auto", "auto | cpu | cuda")
    threads: int = setting(0, "CPU threads of torch in this process; 0 = leave torch's own choice")
    attention: str = setting("auto", "auto | sdpa | plain; auto: sdpa on CUDA, plain on the CPU")
    compile: bool = setting(False, "torch.compile the transformer blocks")
    processes: int = setting(0, "processes that a sweep trains this trial with, together; 0 = as the launcher says")
    nodes: int = setting(0, "nodes over which they are spread; 0 = as the launcher says")
    checkpoint_every: int = setting(200, "optimiser steps between checkpoints; 0 = only the last")
    keep_checkpoints: int = setting(
        1, "how many of the latest checkpoints to keep while training; none are kept of a trained trial"
    )
    log_every: int = setting(20, "optimiser steps between lines of telemetry (losses are read only then)")
    tensorboard: bool = setting(True, "write TensorBoard files")
    cost_per_hour: float = setting(0.0, "price of one device hour, for the cost column")
    peak_tflops: float = setting(0.0, "the device's peak, TFLOP/s, for MFU; 0 = look it up or measure it")

    def __post_init__(self) -> None:
        check_choice("runtime.device", self.device, ("auto", "cpu", "cuda"))
        check_choice("runtime.attention", self.attention, ("auto", "sdpa", "plain"))
        check_range("runtime.threads", self.threads, 0, 4096)
        check_range("runtime.processes", self.processes, 0, 65_536)
        check_range("runtime.nodes", self.nodes, 0, 65_536)
        require(
            not self.nodes or (self.processes > 0 and self.processes % self.nodes == 0),
            f"runtime.nodes={self.nodes} does not divide runtime.processes={self.processes}",
            "each node runs the same number of processes, at least one",
        )
        check_range("runtime.checkpoint_every", self.checkpoint_every, 0, 1_000_000_000)
        check_range("runtime.keep_checkpoints", self.keep_checkpoints, 1, 1000)
        check_range("runtime.log_every", self.log_every, 1, 1_000_000)


@dataclass
class PathsConfig:
    """Where things lie."""

    root: str = setting("outputs", "folder of everything that is written: data/, trials/, reports/")


@dataclass
class TrialConfig:
    """One trial: a fully resolved configuration and a seed."""

    seed: int = setting(0, "seed of initialisation, order, augmentation and masks")
    data: Any = setting(None, "the data set (group)")
    curation: Any = setting(None, "which training studies are trained on (group)")
    batches: Any = setting(None, "what fills a batch (group)")
    pairing: Any = setting(None, "which two images meet in the alignment term (group)")
    method: Any = setting(None, "the method (group)")
    model: ModelConfig = field(default_factory=ModelConfig, metadata={"line": "the encoder (group)"})
    init: InitConfig = field(default_factory=InitConfig, metadata={"line": "weights that the encoder starts from"})
    optim: OptimConfig = field(default_factory=OptimConfig, metadata={"line": "the optimiser (group)"})
    train: TrainConfig = field(default_factory=TrainConfig, metadata={"line": "length and batch"})
    augment: AugmentConfig = field(default_factory=AugmentConfig, metadata={"line": "augmentation"})
    loader: LoaderConfig = field(default_factory=LoaderConfig, metadata={"line": "reading batches"})
    engine: Any = setting(None, "what runs an optimiser step (group)")
    measure: Any = setting(None, "what the trial is run for (group)")
    evaluation: Any = setting(None, "what is measured on the trained encoder")
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig, metadata={"line": "machine and run"})
    paths: PathsConfig = field(default_factory=PathsConfig, metadata={"line": "folders"})

    def __post_init__(self) -> None:
        check_range("seed", self.seed, 0, 2**31 - 1)
        require(
            self.data is None or self.data.size % self.model.patch == 0,
            f"model.patch={self.model.patch} does not divide data.size={getattr(self.data, 'size', None)}",
            "choose a patch that divides the image's side",
        )
        if self.method is not None:
            self.method.check_trial(self)
        for component in (self.curation, self.batches, self.engine, self.measure):
            if component is not None:
                component.check_trial(self)
