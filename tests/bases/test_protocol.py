"""The protocol of bases: nothing above uses more than it declares, and a family from one file works behind it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import samtune
from samtune.bases import FAMILIES, Base, Block, Decoder, Encoder, load_base, register_family
from samtune.errors import ConfigError, MethodError
from samtune.methods import adapt, delta, make_method, touches_encoder, trainable
from tests.tiny import tiny_library
from tests.toys.toy_base import ToyFamily, write_toy

ROOT = Path(samtune.__file__).parent
KINDS = {"Base": Base, "Block": Block, "Decoder": Decoder, "Encoder": Encoder}
COMMON = {
    "attn",
    "layers",
    "lin1",
    "lin2",
    "mlp",
    "proj",
    "qkv",
    "norm1",
    "norm2",
    "conv1",
    "conv2",
    "activation",
    "act",
}
"""Names of transformers that modules of a method have as well."""


def members(kind: type) -> set[str]:
    """All that a class of the protocol declares, `nn.Module`'s own included."""
    declared = {name for each in kind.__mro__ for name in getattr(each, "__annotations__", {})}
    return declared | set(dir(kind)) | set(dir(nn.Module()))


def library_names() -> set[str]:
    """Names of the modules inside transformers' SAM that no class of the protocol declares."""
    names = {part for name, _ in tiny_library().named_modules() for part in name.split(".") if not part.isdigit()}
    return names - COMMON - {""} - set().union(*map(members, KINDS.values()))


LIBRARY = library_names()


def imported(tree: ast.Module) -> set[str]:
    """Classes of the protocol that a module imports from the bases."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports if str(node.module).startswith("samtune.bases") for alias in node.names}


def annotated(function: ast.FunctionDef, kinds: set[str]) -> dict[str, type]:
    """Parameters of a function that are annotated as one of some classes of the protocol."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    found = {}
    for argument in arguments:
        words = ast.unparse(argument.annotation).strip("'\"") if argument.annotation is not None else ""
        words = "Base" if words == "AnyBase" else words
        if words in KINDS and words in kinds:
            found[argument.arg] = KINDS[words]
    return found


def breaches(source: str) -> list[str]:
    """Attributes in a module that name a part of transformers' model, or a member that the protocol does not have."""
    tree, found = ast.parse(source), []
    kinds = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in LIBRARY and ast.unparse(node.value) != "self":
            found.append(f"{node.lineno}: {ast.unparse(node)} is a module of transformers")
        if isinstance(node, ast.FunctionDef):
            known = annotated(node, kinds)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id in known:
                    kind = known[inner.value.id]
                    if inner.attr not in members(kind):
                        found.append(f"{inner.lineno}: {ast.unparse(inner)} is no member of {kind.__name__}")
    return found


def test_nothing_above_names_more_than_the_protocol() -> None:
    found = [
        f"src/samtune/{path.relative_to(ROOT)}:{breach}"
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).parts[0] != "bases"
        for breach in breaches(path.read_text())
    ]
    assert not found, "\n" + "\n".join(found)


def test_a_breach_is_seen() -> None:
    assert {"vision_encoder", "mask_decoder", "patch_embed", "prompt_encoder", "neck"} <= LIBRARY
    head = "from samtune.bases import Base, Block\n"
    assert len(breaches(head + "def f(base: Base): return base.vision_encoder")) == 2
    assert len(breaches(head + "def f(base: Base): return base.spec, base.colour")) == 1
    assert len(breaches(head + "def f(block: Block): return block.attn.qkv")) == 1
    assert not breaches(head + "def f(base: Base): return base.blocks[0].roles(), base.encode(base.spec)")


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Base]:
    register_family(ToyFamily())
    try:
        yield load_base(write_toy(tmp_path / "toy"))
    finally:
        del FAMILIES["toy"]


def test_a_family_from_one_file_loads_encodes_and_decodes(toy: Base) -> None:
    assert (toy.spec.image_size, toy.spec.fit, toy.sites.names()[0]) == (64, "squash", "side")
    features = toy.encode(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert features.embedding.shape == (2, 16, 8, 8)
    assert toy.decode(features).shape == (2, 1, 32, 32)
    assert list(toy.blocks[0].roles()) == ["proj"]
    assert list(toy.encoder.roles()) == ["patch"]
    with pytest.raises(MethodError, match="proj"):
        toy.blocks[0].at("qkv")


@pytest.mark.parametrize("method", ["ptsam", "probe"])
def test_a_method_attaches_trains_and_predicts_on_it(toy: Base, method: str) -> None:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(2, 3, 64, 64, generator=generator)
    model = adapt(toy, make_method(method), num_classes=2)
    assert not touches_encoder(model)
    features = model.encode(pixels)
    targets = torch.rand(model.decode(features).shape, generator=generator)
    learned = list(trainable(model).values())
    optimiser = torch.optim.Adam(learned, lr=0.05)
    losses = []
    for _ in range(20):
        loss = (model.decode(features).sigmoid() - targets).square().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert losses[-1] < losses[0]
    assert model.decode(features).shape[1] == 2
    assert set(delta(model)) >= set(trainable(model))


def test_a_second_family_of_a_name_is_refused() -> None:
    class Other(ToyFamily):
        name = "sam1"

    with pytest.raises(ConfigError, match="rename it"):
        register_family(Other())
    assert "toy" not in FAMILIES
