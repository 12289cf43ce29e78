"""The shape of the source: imports point down a table of layers, files and functions are short."""

from __future__ import annotations

import ast
from pathlib import Path

import samtune

ROOT = Path(samtune.__file__).parent

FLOOR = {
    "types",
    "errors",
    "progress",
    "files",
    "outputs",
    "text",
    "system",
    "printable",
    "values",
    "inputs",
    "plugins",
    "notebook",
}
FLOOR |= {"tensor_files", "array_store", "prefetch"}
FLOOR |= {"run_folder", "comparison_folder"}
LEVEL_2 = {"bases", "data", "metrics", "losses", "averaging", "overlay"}
UP_TO_4 = FLOOR | LEVEL_2 | {"methods", "adapters", "segment", "tasks", "training", "predict"}

ALLOWED: dict[str, set[str]] = {
    **{part: set() for part in FLOOR},
    "files": {"errors", "text"},
    "outputs": {"errors", "files", "text"},
    "progress": {"errors", "printable"},
    "notebook": {"printable"},
    "values": {"printable"},
    "inputs": {"errors", "printable"},
    "plugins": {"errors", "printable", "progress"},
    "array_store": {"errors", "files", "text"},
    "tensor_files": {"errors", "inputs", "printable"},
    "run_folder": {"errors", "files", "inputs", "outputs"},
    "comparison_folder": {"run_folder"},
    "system": {"errors", "printable"},
    **{part: FLOOR for part in LEVEL_2},
    "methods": FLOOR | LEVEL_2,
    "adapters": FLOOR | LEVEL_2 | {"methods"},
    "segment": FLOOR | LEVEL_2,
    "tasks": FLOOR | LEVEL_2,
    "training": FLOOR | LEVEL_2 | {"methods", "adapters", "segment", "tasks"},
    "predict": FLOOR | LEVEL_2 | {"methods", "adapters", "segment", "tasks"},
    "config": FLOOR | {"data", "training"},
    "report": FLOOR | {"metrics", "overlay"},
    "specialist": UP_TO_4 | {"config"},
    "compare": UP_TO_4,
    "pages": UP_TO_4 | {"compare", "report"},
    "reproduce": UP_TO_4 | {"config"},
    "cli": UP_TO_4 | {"config", "specialist", "report", "compare", "pages", "reproduce"},
    "__main__": {"cli"},
}
"""What each part may import of the others; itself always. Siblings of one level never import each other."""


def parts() -> set[str]:
    """The modules and packages directly under samtune."""
    found = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}
    return found - {"__init__"}


def imports(source: str, package: list[str]) -> list[tuple[int, str]]:
    """Line and part of every import of samtune, inside functions and TYPE_CHECKING blocks too.

    `package` is the dotted home of the module, for relative imports.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            home = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*home, *(node.module or "").split(".")]).strip(".")
            names = [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            names = [str(node.args[0].value)] if isinstance(node.args[0], ast.Constant) else []
        for name in names:
            words = name.split(".")
            if words[0] == "samtune" and len(words) > 1 and words[1] != "__version__":
                found.append((getattr(node, "lineno", 0), words[1]))
    return found


def breaches(part: str, source: str, package: list[str], where: str) -> list[str]:
    allowed = ALLOWED[part] | {part}
    return [
        f"{where}:{line}: {part} must not import {other}; it may import {', '.join(sorted(allowed))}"
        for line, other in imports(source, package)
        if other not in allowed
    ]


def test_every_part_has_a_layer() -> None:
    strangers = parts() - set(ALLOWED)
    assert not strangers, f"give {sorted(strangers)} a row in the table of layers"


def test_arrows_point_only_downward() -> None:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if inside.parts[0] == "__init__.py":
            continue
        part = inside.parts[0].removesuffix(".py")
        if part in ALLOWED:
            package = ["samtune", *inside.parts[:-1]]
            found += breaches(part, path.read_text(), package, f"src/samtune/{inside.as_posix()}")
    assert not found, "\n" + "\n".join(found)


def test_the_walk_sees_every_kind_of_import() -> None:
    source = """
from typing import TYPE_CHECKING
import samtune.training
from samtune import methods, __version__
from ..cli import main
if TYPE_CHECKING:
    from samtune.report.page import Page
def late():
    from samtune.predict import Predictor
    import_module("samtune.compare")
"""
    seen = imports(source, ["samtune", "bases"])
    assert sorted(seen) == [
        (3, "training"), (4, "methods"), (5, "cli"), (7, "report"), (9, "predict"), (10, "compare"),
    ]  # fmt: skip
    assert len(breaches("bases", source, ["samtune", "bases"], "x.py")) == 6
    assert breaches("data", "from samtune.bases import Base", ["samtune", "data"], "x.py")[0].startswith("x.py:1: data")


def test_the_table_has_no_cycle() -> None:
    done: set[str] = set()
    rest = dict(ALLOWED)
    while rest:
        ready = {part for part, below in rest.items() if below <= done}
        assert ready, f"a cycle among {sorted(rest)}"
        done |= ready
        rest = {part: below for part, below in rest.items() if part not in ready}


SIBLINGS = (
    {"bases", "data", "metrics", "losses"},
    {"segment", "tasks", "adapters"},
    {"training", "predict"},
)
"""Parts that stand side by side, so that each can be read, replaced or removed without the others."""


def test_siblings_do_not_know_each_other() -> None:
    for level in SIBLINGS:
        for part in level:
            assert not ALLOWED[part] & (level - {part}), f"{part} may import {ALLOWED[part] & level}"


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module; a package is its `__init__.py`."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        words = ["samtune", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return found


def imported_modules(source: str, package: list[str], known: set[str]) -> set[str]:
    """Modules that a source imports, wherever in it: a submodule where a name is one, else the module of the name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names: list[tuple[str, str]] = []
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            home = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*home, *([node.module] if node.module else [])])
            names = [(module, alias.name) for alias in node.names]
        for module, name in names:
            found |= {f"{module}.{name}"} & known or {module} & known
    return found


def circles(imports_of: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or through others: strongly connected components of two or more."""
    reach = {name: set(direct) for name, direct in imports_of.items()}
    for middle in reach:
        for name, reached in reach.items():
            if middle in reached:
                reach[name] = reached | reach[middle]
    together = {
        frozenset({name} | {other for other in reached if name in reach.get(other, ())})
        for name, reached in reach.items()
        if name in reached
    }
    return sorted(sorted(group) for group in together if len(group) > 1)


def test_no_module_imports_itself_through_others() -> None:
    files = modules()
    graph = {}
    for name, path in files.items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        graph[name] = imported_modules(path.read_text(), package, set(files)) - {name}
    assert len(graph) > 100
    found = circles(graph)
    assert not found, "\n" + "\n".join(" <-> ".join(group) for group in found)


def test_a_circle_is_seen_through_type_hints_and_functions() -> None:
    known = {"samtune", "samtune.a", "samtune.a.x", "samtune.b"}
    hint = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from samtune.b import B\n"
    late = "def f():\n    from .a import x\n"
    graph = {
        "samtune": set[str](),
        "samtune.a": set[str](),
        "samtune.a.x": imported_modules(hint, ["samtune", "a"], known),
        "samtune.b": imported_modules(late, ["samtune"], known),
    }
    assert circles(graph) == [["samtune.a.x", "samtune.b"]]
    assert imported_modules("import samtune.a.x as x\nfrom samtune import a, other", [], known) == {
        "samtune.a.x", "samtune.a", "samtune",
    }  # fmt: skip


MAX_FILE_LINES = 400
MAX_BODY_LINES = 60
"""Of a function, without its parameters and docstring; most are far shorter, and a screen has about 50."""


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function after its parameters and docstring."""
    first = function.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = first.end_lineno if has_docstring else first.lineno - 1
    assert start is not None
    assert function.end_lineno is not None
    return function.end_lineno - start


def long_functions(source: str, most: int) -> list[str]:
    """Line, name and length of every function, also of methods and inner ones, with more lines than `most`."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [f"{n.lineno}: {n.name} has {body_lines(n)} lines" for n in functions if body_lines(n) > most]


def test_files_and_functions_are_short() -> None:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        source, name = path.read_text(), path.relative_to(ROOT).as_posix()
        num_lines = len(source.splitlines())
        found += [f"{name}: {num_lines} lines"] if num_lines > MAX_FILE_LINES else []
        found += [f"{name}:{each}" for each in long_functions(source, MAX_BODY_LINES)]
    assert not found, f"at most {MAX_FILE_LINES} and {MAX_BODY_LINES}; split by meaning:\n" + "\n".join(found)


def test_the_length_of_a_function_is_that_of_its_body() -> None:
    source = """
def short(
    a: int,
    b: int,
) -> None:
    '''Do nothing.

    At length.
    '''
    a = 1
    b = 2

class A:
    async def long(self) -> None:
        def inner():
            x = 1
            return x
        inner()
"""
    assert long_functions(source, 1) == ["2: short has 2 lines", "14: long has 4 lines", "15: inner has 2 lines"]
    assert long_functions(source, 3) == ["14: long has 4 lines"]
    assert not long_functions(source, 4)
