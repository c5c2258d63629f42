"""No file from outside can make this project run code, or write where it should not: read from its sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ROOMS = ("core", "sweeps", "analysis", "viewpair", "slurm")
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "extractall",
    "unpack_archive",
    "read_pickle",
    "to_pickle",
    "unsafe_load",
    "full_load",
}
# Calls that are safe only with this argument.
NEED = {("torch", "load"): ("weights_only", True), ("np", "load"): ("allow_pickle", False)}
NEED |= {("np", "save"): ("allow_pickle", False), ("np", "savez_compressed"): ("allow_pickle", False)}


def offences(source: str) -> Iterator[str]:
    """What a source does that would trust a file from outside."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            yield from call_offence(node)


def call_offence(node: ast.Call) -> Iterator[str]:
    owner, name = "", ""
    if isinstance(node.func, ast.Name):
        name = node.func.id
    elif isinstance(node.func, ast.Attribute):
        name = node.func.attr
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else "?"
    # re.compile, model.eval() and a method called compile are others.
    if name in CALLS and not (owner and name in ("eval", "exec", "compile")):
        yield name
    if (owner, name) in NEED:
        keyword, value = NEED[owner, name]
        given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if given.get(keyword) is not value:
            yield f"{owner}.{name} without {keyword}={value}"


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_is_unpickled_evaluated_or_unpacked(room: str) -> None:
    found = [
        f"{path.relative_to(CHECKOUT)}: {what}"
        for path in sorted((CHECKOUT / room).rglob("*.py"))
        for what in offences(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "tar.extractall(folder)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "pd.read_pickle(path)",
    ],
)
def test_the_search_finds(source: str) -> None:
    assert list(offences(source))


@pytest.mark.parametrize("source", ["model.eval()", "re.compile('a')", "torch.load(p, weights_only=True)"])
def test_the_search_lets_pass(source: str) -> None:
    assert not list(offences(source))
