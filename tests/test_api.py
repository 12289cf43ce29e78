"""The public names: sorted, importable, and cheap to reach."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import samtune

PACKAGES = sorted(path.parent.name for path in Path(samtune.__file__).parent.glob("*/__init__.py"))


def ordered(names: list[str]) -> list[str]:
    """Constants, then classes, then functions, each by name: the order the linter keeps."""
    return sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))


def test_all_is_sorted() -> None:
    assert samtune.__all__ == ordered(samtune.__all__)


@pytest.mark.parametrize("name", samtune.__all__)
def test_every_public_name_imports(name: str) -> None:
    assert getattr(samtune, name).__name__ == name if name != "METHODS" else samtune.METHODS


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Specialst'"):
        _ = samtune.Specialst


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_a_sorted_all_whose_names_exist(package: str) -> None:
    module = import_module(f"samtune.{package}")
    assert module.__all__ == ordered(module.__all__)
    for name in module.__all__:
        found = getattr(module, name)
        assert type(found).__name__ != "module", f"samtune.{package}.{name} is hidden by a submodule"


def test_importing_samtune_is_cheap() -> None:
    code = "import sys, samtune; print(sorted({'torch', 'transformers', 'numpy', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
