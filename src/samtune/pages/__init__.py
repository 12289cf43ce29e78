"""Records of the HTML pages, collected from runs and comparisons; `samtune.report` renders them."""

from samtune.pages.comparison import write_comparison_page
from samtune.pages.examples import choose_examples
from samtune.pages.run import write_evaluation_page, write_training_page

__all__ = [
    "choose_examples",
    "write_comparison_page",
    "write_evaluation_page",
    "write_training_page",
]
