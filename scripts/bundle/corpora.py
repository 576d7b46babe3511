"""Reading the VADER corpora (Hutto & Gilbert 2014) out of the vaderSentiment 2.5 sdist.

The sdist is MIT-licensed and carries, as a nested archive, four corpora of short
texts with mean ratings from -4 (extremely negative) to +4 (extremely positive),
each the mean of about twenty human raters: movie-review snippets, tweet-like
texts, product-review snippets and newspaper-editorial snippets.
"""

import hashlib
import html
import io
import re
import tarfile
from typing import NamedTuple

SDIST_SHA256 = "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84"
FILES = {
    "movie": "movieReviewSnippets_GroundTruth.txt",
    "tweet": "tweets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
}


class Snippet(NamedTuple):
    rating: float
    text: str


def read_corpora(sdist_path):
    """{corpus name: [Snippet]} in file order; refuses an sdist with another hash."""
    with open(sdist_path, "rb") as handle:
        sdist = handle.read()
    digest = hashlib.sha256(sdist).hexdigest()
    if digest != SDIST_SHA256:
        raise SystemExit(f"{sdist_path}: sha256 {digest}, expected {SDIST_SHA256} (vaderSentiment 2.5)")
    with tarfile.open(fileobj=io.BytesIO(sdist)) as outer:
        nested_name = next(name for name in outer.getnames() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        nested = outer.extractfile(nested_name).read()
    corpora = {}
    with tarfile.open(fileobj=io.BytesIO(nested)) as inner:
        members = {name.rsplit("/", 1)[-1]: name for name in inner.getnames()}
        for corpus, file_name in FILES.items():
            corpora[corpus] = parse(inner.extractfile(members[file_name]).read())
    return corpora


def parse(raw):
    """Rows are 'id TAB rating TAB text', in UTF-8 with a few Latin-1 lines."""
    snippets = []
    for line in raw.splitlines():
        try:
            decoded = line.decode("utf-8")
        except UnicodeDecodeError:
            decoded = line.decode("latin-1")
        fields = decoded.split("\t")
        if len(fields) >= 3:
            text = " ".join(html.unescape(fields[2]).split())
            snippets.append(Snippet(float(fields[1]), text))
    return snippets


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


class NearDuplicateIndex:
    """Finds texts that share most of their words with a text already added.

    Two texts count as near-duplicates when the Jaccard overlap of their word
    sets reaches `threshold`. Candidates come from an inverted index over the
    words, so comparing ten thousand snippets takes seconds.
    """

    def __init__(self, threshold=0.5):
        self.threshold = threshold
        self.sets = []
        self.postings = {}

    def add(self, text):
        for word in set(words(text)):
            self.postings.setdefault(word, []).append(len(self.sets))
        self.sets.append(frozenset(words(text)))

    def has_near(self, text):
        mine = frozenset(words(text))
        shared = {}
        for word in mine:
            for other in self.postings.get(word, ()):
                shared[other] = shared.get(other, 0) + 1
        return any(
            count >= self.threshold * (len(mine) + len(self.sets[other]) - count)
            for other, count in shared.items()
        )
