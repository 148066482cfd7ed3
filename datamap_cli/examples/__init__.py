"""The bundled example data set: Chinese question pairs with hard and planted dirty examples."""

from pathlib import Path

PATH = Path(__file__).parent / "question_pairs.tsv"

# what the example is trained with, by dotted path of the configuration
SETTINGS = {
    "model.name": "tiny",
    "model.max_seq_len": 48,
    "train.epochs": 7,
    "train.learning_rate": 7.0e-4,
}
