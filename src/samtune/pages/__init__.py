"""Records of the HTML pages, collected from runs and comparisons; `samtune.report` renders them."""

from samtune.pages.comparison import comparison_page, write_comparison_page
from samtune.pages.examples import choose_examples
from samtune.pages.run import evaluation_page, write_evaluation_page, write_training_page

__all__ = [
    "choose_examples",
    "comparison_page",
    "evaluation_page",
    "write_comparison_page",
    "write_evaluation_page",
    "write_training_page",
]
