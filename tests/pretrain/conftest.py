import sys
from pathlib import Path

PRETRAIN = Path(__file__).resolve().parents[2] / "pretrain"
sys.path.insert(0, str(PRETRAIN))  # its modules are scripts beside each other, not a package
