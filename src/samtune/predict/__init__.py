"""Prediction of masks at the images' original size, for arrays and folders, and scores against annotations."""

from samtune.predict.evaluation import Evaluation
from samtune.predict.folder import Written, predict_folder
from samtune.predict.predictor import Predictor, load_predictor
from samtune.predict.reading import find_images
from samtune.predict.scoring import evaluate

__all__ = [
    "Evaluation",
    "Predictor",
    "Written",
    "evaluate",
    "find_images",
    "load_predictor",
    "predict_folder",
]
