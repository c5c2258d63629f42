"""What a run tells of itself: JSON lines, TensorBoard files, and the cost that survives a resume."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import torch

from core.config import RuntimeConfig
from core.io import json_ready, write_json, write_text

# Dense bf16 peaks of the makers' data sheets, TFLOP/s.
GPU_PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0, "A10": 125.0, "V100": 125.0}
FORWARD_AND_BACKWARD = 3.0
COST = "cost.json"
SUMMED = ("seconds", "data_wait_seconds", "images", "wasted_seconds", "device_hours", "cost", "steps")


def measured_matmul_tflops(device: torch.device, dtype: torch.dtype, seconds: float = 0.05) -> float:
    """Peak of a machine that no data sheet lists: the best of repeated 512 x 512 matrix products, TFLOP/s."""
    a = torch.ones(512, 512, device=device, dtype=dtype)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * 512**3 / best / 1e12


def peak_tflops(config: RuntimeConfig, device: torch.device, precision: str) -> float:
    """The device's peak in TFLOP/s: as configured, else from the data sheet, else measured."""
    if config.peak_tflops > 0:
        return config.peak_tflops
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for model, peak in GPU_PEAKS.items():
            if model in name:
                return peak
    return measured_matmul_tflops(device, torch.bfloat16 if precision == "bf16" else torch.float32)


def peak_memory(device: torch.device) -> int:
    """Largest memory so far, bytes: the device's where it is a GPU, else this process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    info = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", info.rss))


@dataclass
class Meter:
    """Sums over the whole run, all resumes included. seconds is time in training, wasted_seconds is work
    that was done again because it lay after the last checkpoint."""

    seconds: float = 0.0
    data_wait_seconds: float = 0.0
    images: int = 0
    wasted_seconds: float = 0.0


class Telemetry:
    """JSON lines in telemetry.jsonl and TensorBoard scalars, one record per logged step."""

    def __init__(self, folder: Path, start_step: int, tensorboard: bool) -> None:
        self.path = folder / "telemetry.jsonl"
        self._keep_until(start_step)
        self._lines = self.path.open("a", buffering=1)
        self._board: Any = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start_step)

    def _keep_until(self, step: int) -> None:
        """Drop what lies after the checkpoint (and a line cut short): those steps are run again."""
        kept = [json.dumps(record) for record in read_telemetry(self.path) if record["step"] < step]
        write_text(self.path, "".join(line + "\n" for line in kept))

    def write(self, record: dict[str, Any]) -> None:
        """One record; it must hold "step"."""
        self._lines.write(json.dumps(json_ready(record)) + "\n")
        if self._board is not None:
            for name, value in record.items():
                if isinstance(value, float) and name != "step":
                    self._board.add_scalar(name, value, record["step"])

    def __enter__(self) -> Telemetry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        if self._board is not None:
            self._board.close()


def read_telemetry(path: Path) -> list[dict[str, Any]]:
    """Records of a telemetry file; a last line that was cut short is left out."""
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def throughput(meter: Meter, flops_per_image: float, peak: float, world_size: int) -> dict[str, float]:
    """images_per_second, data_wait_seconds and MFU of a meter (forward + backward = 3 x forward)."""
    rate = meter.images / meter.seconds if meter.seconds > 0 else 0.0
    return {
        "images_per_second": rate,
        "data_wait_seconds": meter.data_wait_seconds,
        "mfu": model_flops_utilisation(rate, flops_per_image, peak * world_size),
    }


def model_flops_utilisation(rate: float, flops_per_image: float, peak: float) -> float:
    """MFU: share in [0, 1] of `peak` (TFLOP/s of all devices) that training at `rate` images per second needs.

    flops_per_image: of the forward pass (forward + backward = 3 x forward). NaN where the peak is not known.
    """
    return rate * flops_per_image * FORWARD_AND_BACKWARD / 1e12 / peak if peak > 0 else float("nan")


def summed_cost(costs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The cost of stages that ran one after the other: sums, the greatest memory, and means where a value is a rate.

    What is no amount (the device, pairs an epoch, parameters) is the last stage's.
    """
    last = costs[-1]
    if len(costs) == 1:
        return last
    images, seconds = (sum(cost[name] for cost in costs) for name in ("images", "seconds"))
    total = {name: sum(cost[name] for cost in costs) for name in SUMMED}
    total["peak_memory_bytes"] = max(cost["peak_memory_bytes"] for cost in costs)
    if images and seconds:
        total["images_per_second"] = images / seconds
        # Unknown where the device's peak is; JSON has no NaN.
        utilised = [float("nan") if cost["mfu"] is None else cost["mfu"] * cost["seconds"] for cost in costs]
        total["mfu"] = sum(utilised) / seconds
        for name in ("encoder_flops", "decoder_flops"):
            total[name] = sum(cost[name] * cost["images"] for cost in costs) / images
    return {**last, **total}


def write_cost(folder: Path, values: dict[str, Any]) -> None:
    """Write cost.json: what the run cost, all resumes included."""
    write_json(folder / COST, values)
