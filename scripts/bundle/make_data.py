"""Makes data/reviews/{train,dev,test}.jsonl from the vaderSentiment 2.5 sdist.

    pip download --no-deps --no-binary :all: vaderSentiment==2.5
    python make_data.py vaderSentiment-2.5.tar.gz ../../data/reviews

Needs only the standard library, and gives the same bytes on every run.
"""

import argparse
import json
import random
from pathlib import Path

from corpora import NearDuplicateIndex, read_corpora

SEED = 20140601
MIN_ABS_RATING = 1.0  # snippets nearer to 0 have no clear polarity
MIN_WORDS, MAX_WORDS = 4, 22  # short rows keep the bundled demo inside its time limit
TEST_PER_CLASS = 500
TRAIN_PER_CLASS = 2000


def clear_short_snippets(snippets):
    """(label, text) rows of clear polarity and limited length, near-duplicates dropped."""
    rows, seen = [], NearDuplicateIndex()
    for rating, text in snippets:
        if abs(rating) < MIN_ABS_RATING or not MIN_WORDS <= len(text.split()) <= MAX_WORDS:
            continue
        if not seen.has_near(text):
            seen.add(text)
            rows.append((int(rating > 0), text))
    return rows


def split(rows):
    """Disjoint train, dev and test rows, each shuffled with a fixed seed.

    Train and test are balanced; dev takes what is left.
    """
    rng = random.Random(SEED)
    test, train, dev = [], [], []
    for label in (0, 1):
        texts = sorted(text for row_label, text in rows if row_label == label)
        rng.shuffle(texts)
        test += [(label, text) for text in texts[:TEST_PER_CLASS]]
        train += [(label, text) for text in texts[TEST_PER_CLASS : TEST_PER_CLASS + TRAIN_PER_CLASS]]
        dev += [(label, text) for text in texts[TEST_PER_CLASS + TRAIN_PER_CLASS :]]
    for part in (test, train, dev):
        rng.shuffle(part)
    return {"train": train, "dev": dev, "test": test}


def write_jsonl(path, rows):
    lines = [json.dumps({"sentence": text, "label": label}, ensure_ascii=False) for label, text in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sdist", help="path of vaderSentiment-2.5.tar.gz")
    parser.add_argument("out", type=Path, help="output folder, data/reviews in this repository")
    args = parser.parse_args()
    rows = clear_short_snippets(read_corpora(args.sdist)["movie"])
    args.out.mkdir(parents=True, exist_ok=True)
    for name, part in split(rows).items():
        write_jsonl(args.out / f"{name}.jsonl", part)
        print(f"{name}: {len(part)} rows, {sum(label for label, _ in part)} positive")


if __name__ == "__main__":
    main()
