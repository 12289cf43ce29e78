"""One thread: the tiny models gain nothing from more, and lose much where cores are shared."""

import torch

torch.set_num_threads(1)
