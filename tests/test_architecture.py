"""app → demo → models ← train, and importing anything does nothing else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    path.relative_to(ROOT)
    for path in (
        ROOT / "app.py",
        *sorted(p for name in ("models", "train", "demo") for p in (ROOT / name).glob("*.py")),
    )
    if path.is_file()
]
FORBIDDEN = {
    "models": {"app", "demo", "train", "gradio", "argparse"},
    "train": {"app", "demo", "gradio"},
    "demo": {"app", "train"},
    "app.py": {"train"},
}


def imports(path: Path) -> set[str]:
    """Modules that a file imports, by full name, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} line {node.lineno} has a relative import"
            names.add(node.module)
    return names


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_follow_the_architecture(path):
    assert not packages(imports(path)) & FORBIDDEN[path.parts[0]]


WATCH = """
import importlib, random, sys
import torch

modules, foreign = sys.argv[1].split(), sys.argv[2].split()
for name in foreign:  # what other packages do when they are imported is their own affair
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        pass  # an optional package
deeds = []
DEEDS = "os.mkdir os.remove os.rename socket.connect socket.getaddrinfo subprocess.Popen".split()

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if str(arguments[0]).endswith(".pyi"):
        return  # Gradio writes a type stub beside each component that is defined
    if writes or event in DEEDS:
        deeds.append(f"{event} {arguments}")

def refuse(name):
    def used(*arguments, **options):
        deeds.append(name)
        return False
    return used

torch.cuda.is_available = refuse("torch.cuda.is_available")
torch.set_default_device = refuse("torch.set_default_device")
before = torch.get_rng_state(), random.getstate()
sys.addaudithook(watch)
for name in modules:
    importlib.import_module(name)
if not torch.equal(before[0], torch.get_rng_state()) or random.getstate() != before[1]:
    deeds.append("random state changed")
print("\\n".join(deeds), end="")
"""


def test_importing_neither_downloads_nor_writes_nor_seeds_nor_picks_a_device():
    modules = [".".join(path.with_suffix("").parts) for path in FILES]
    foreign = {name for path in FILES for name in imports(path) if not packages({name}) & {*FORBIDDEN}}
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, " ".join(modules), " ".join(sorted(foreign))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stdout
