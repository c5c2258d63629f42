"""Compiled blocks: the same numbers and names as eager ones, and no compilation for a new number of images."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator

import pytest
import torch
from torch import distributed, nn
from torch._dynamo.utils import counters
from torch.nn.parallel import DistributedDataParallel

from core.methods.base import METHODS, Method, MethodContext
from core.methods.mvmae import MVMAEConfig
from core.models.compiled import compile_blocks
from core.models.vit import build_blocks
from tests.core.batches import TINY, make_batch

STUDIES = ([2, 2], [2, 1, 2], [1, 2, 2, 3], [2, 2], [1, 1])  # images of each study, by step: 4, 5, 8, 4, 2 in all


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No graphs or counts of another test."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of torch.compile but the code generator: what is traced and when does not hang on it, and it takes long."""
    monkeypatch.setattr("core.models.compiled.BACKEND", "aot_eager")


def method(decoder: str = "self") -> Method:
    torch.manual_seed(0)
    built: Method = METHODS.build(MVMAEConfig(decoder=decoder), MethodContext(TINY, 32, ("label",), 100, 10, "plain"))
    return built


def losses(trained: nn.Module) -> tuple[list[float], list[int]]:
    """The losses of five SGD steps on different numbers of images, and how many graphs there were after each."""
    optimiser, found, graphs = torch.optim.SGD(trained.parameters(), lr=0.01), [], []
    for step, views in enumerate(STUDIES):
        loss = trained(make_batch(views, seed=step), step, torch.Generator().manual_seed(step))["loss"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        found.append(loss.item())
        graphs.append(counters["stats"]["unique_graphs"])
    return found, graphs


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("decoder", ["self", "cross"])
def test_one_graph_for_encoder_and_decoder_whatever_the_number_of_images(decoder: str) -> None:
    eager = method(decoder)
    compiled = copy.deepcopy(eager)
    compile_blocks(compiled)
    assert list(compiled.state_dict()) == list(eager.state_dict())
    found, graphs = losses(compiled)
    assert graphs == [2] * len(STUDIES)
    assert found == pytest.approx(losses(eager)[0], rel=1e-5)
    assert len(set(found)) == len(found)
    for (name, one), other in zip(compiled.state_dict().items(), eager.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.usefixtures("traced")
def test_blocks_are_compiled_inside_distributed_data_parallel() -> None:
    eager = method()
    compiled = copy.deepcopy(eager)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(compiled, broadcast_buffers=False)
        compile_blocks(compiled)
        found, graphs = losses(wrapped)
    finally:
        distributed.destroy_process_group()
    assert graphs == [2] * len(STUDIES)
    assert found == pytest.approx(losses(eager)[0], rel=1e-5)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on the CPU needs g++")
def test_generated_code_computes_what_the_blocks_do() -> None:
    torch.manual_seed(0)
    blocks = nn.ModuleList([build_blocks(16, 2, 2, 2.0, False, "plain")])
    with torch.no_grad():
        images = [torch.randn(n, 5, 16) for n in (3, 4)]
        expected = [blocks[0](x) for x in images]
        compile_blocks(blocks)
        for x, y in zip(images, expected, strict=True):
            torch.testing.assert_close(blocks[0](x), y, rtol=1e-5, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 1
