"""`datamap check` against the same opinion written with scikit-learn and cleanlab: seconds, memory, what is found.

    python -m tests.benchmarks.check [PAIRS …]     default: 3000 238766; the other side only up to 20000

Pairs of LCQMC's lengths (11 characters on average), 2 classes: the second text says the first in other words, or
something else with a word of it; a tenth of the labels is flipped. Every side is a process of its own, whole, as a user
waits for it. The other side: TfidfVectorizer over characters (1 to 3) of each text, absolute difference and product,
LogisticRegression, cross_val_predict with five folds, and cleanlab's self-confidence.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from tests.support import REPOSITORY

PAIRS, MOST = (3_000, 238_766), 20_000

MEASURED = """
import json, resource, sys, time
start = time.perf_counter()
{work}
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
OURS = """
import contextlib, io
from datamap_cli.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["check", sys.argv[1], "--output", sys.argv[2]])
"""
SKETCH = """
from pathlib import Path
import numpy as np, polars as pl
from cleanlab.rank import get_label_quality_scores
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
frame = pl.read_csv(sys.argv[1], separator="\\t", quote_char=None)
label = frame["label"].to_numpy()
vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2, dtype=np.float32)
both = vectorizer.fit_transform([*frame["text_a"], *frame["text_b"]])
a, b = both[: len(label)], both[len(label) :]
features = sparse.hstack([a, b, abs(a - b), a.multiply(b)], format="csr")
folds = StratifiedKFold(5, shuffle=True, random_state=0)
probs = cross_val_predict(LogisticRegression(max_iter=1000), features, label, cv=folds, method="predict_proba")
score = get_label_quality_scores(label, probs, method="self_confidence")
np.save(sys.argv[2] + ".npy", score)
"""


def pairs(count: int, seed: int) -> tuple[pl.DataFrame, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """text_a, text_b and label, and which labels are flipped."""
    rng = np.random.default_rng(seed)
    words = np.array(["".join(map(chr, 0x4E00 + rng.integers(0, 1500, length))) for length in [1, 2, 2, 3] * 1500])
    share = 1 / np.arange(1, len(words) + 1)
    sizes = rng.integers(3, 9, count)
    texts = np.split(rng.choice(words, sizes.sum(), p=share / share.sum()), sizes.cumsum()[:-1])
    others = [texts[place] for place in rng.permutation(count)]
    label = rng.integers(0, 2, count)
    second = []
    for own, other, same in zip(texts, others, label, strict=True):
        said = own.copy() if same else np.append(other, own[0])
        said[rng.integers(len(said))] = words[rng.integers(200)]
        second.append("".join(rng.permutation(said)))
    flipped = rng.random(count) < 0.1
    given = np.where(flipped, 1 - label, label)
    return pl.DataFrame({"text_a": ["".join(own) for own in texts], "text_b": second, "label": given}), flipped


def measure(work: str, *arguments: str) -> tuple[float, float]:
    """Seconds and peak megabytes of `work` in a process of its own, but for the start of the interpreter."""
    command = [sys.executable, "-c", MEASURED.replace("{work}", work), *arguments]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    seconds, megabytes = json.loads(out.splitlines()[-1])
    return seconds, megabytes


def main() -> None:
    for count in [int(size) for size in sys.argv[1:]] or PAIRS:
        frame, flipped = pairs(count, 0)
        with tempfile.TemporaryDirectory() as directory:
            data, stem = Path(directory) / "pairs.tsv", str(Path(directory) / "found")
            frame.write_csv(data, separator="\t", quote_style="never")
            seconds, megabytes = measure(OURS, str(data), stem)
            found = json.loads(Path(f"{stem}.json").read_text(encoding="utf-8"))
            first = [suspect["row"] for suspect in found["contradicted"]]
            number = min(len(first), int(flipped.sum()))
            right = f"{flipped[first[:number]].mean():.0%} of the first {number} are flips" if number else "none found"
            print(f"{count:>9,} pairs  datamap check         {seconds:6.1f} s {megabytes:6.0f} MB  {right}", flush=True)
            if count > MOST:
                continue
            seconds, megabytes = measure(SKETCH, str(data), stem)
            first = np.load(f"{stem}.npy").argsort(kind="stable")[:number].tolist()
            right = f"{flipped[first].mean():.0%} of the first {number} are flips" if number else ""
            print(
                f"{count:>9,} pairs  scikit-learn, cleanlab {seconds:5.1f} s {megabytes:6.0f} MB  {right}", flush=True
            )


if __name__ == "__main__":
    main()
