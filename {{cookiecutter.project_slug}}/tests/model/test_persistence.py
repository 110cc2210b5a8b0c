"""The model's file: the same bytes for the same model, and nothing is loaded that was not checked."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import sklearn
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from pipeline import data, model, persistence
from pipeline.params import Estimator, Params
from pipeline.schema import Schema
from pipeline.validation import validate
from tests.conftest import PROJECT, QUICK, TASK
from tests.model.test_model import KIND, fitted

USUAL = [
    f"sklearn.ensemble.ExtraTrees{KIND}",
    f"sklearn.ensemble.GradientBoosting{KIND}",
    f"sklearn.ensemble.RandomForest{KIND}",
    f"sklearn.neighbors.KNeighbors{KIND}",
    "sklearn.linear_model.Lasso" if TASK == "regression" else "sklearn.naive_bayes.GaussianNB",
    QUICK,
]


def facts_of(content: bytes, **changes: str) -> persistence.ModelFacts:
    """Facts that fit the bytes, but for the changes."""
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "scikit_learn": sklearn.__version__, "estimator": "any"}
    return persistence.ModelFacts.model_validate(facts | {"rows": 1, "trivial": [0.5], "features": []} | changes)


@pytest.fixture
def pipeline(table: pd.DataFrame, schema: Schema, params: Params) -> Pipeline:
    """The project's own estimator, fitted."""
    return fitted(table, schema, params.train)


def test_a_loaded_model_scores_as_the_fitted_one(
    pipeline: Pipeline, table: pd.DataFrame, schema: Schema, trusted: list[str]
) -> None:
    """Saving and loading changes no score by a single bit."""
    content = persistence.dump(pipeline)
    loaded = persistence.load(content, facts_of(content), trusted)
    rows = data.features(validate(table, schema), schema)
    assert model.score(loaded, rows).tolist() == model.score(pipeline, rows).tolist()


@pytest.mark.parametrize("path", USUAL)
def test_the_usual_estimators_are_trusted(
    table: pd.DataFrame, schema: Schema, params: Params, trusted: list[str], path: str
) -> None:
    """A project's own list of trusted types suffices for scikit-learn's usual estimators."""
    usual = params.train.model_copy(update={"estimator": Estimator(path=path)})
    content = persistence.dump(fitted(table, schema, usual))
    assert persistence.load(content, facts_of(content), trusted)


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Two processes, with different hash seeds and memory layouts, give the same file."""
    script = (
        "import sys; from tests.conftest import make_table, one_estimator, project_schema\n"
        "from tests.model.test_model import fitted\n"
        "from pipeline import persistence; from pipeline.stages import files\n"
        "schema = project_schema(); junk = [object() for _ in range(int(sys.argv[2]))]\n"
        "train = one_estimator(files.params().train)\n"
        "open(sys.argv[1], 'wb').write(persistence.dump(fitted(make_table(schema, 200), schema, train)))"
    )
    for number in ("1", "2"):
        command = [sys.executable, "-c", script, str(tmp_path / number), str(int(number) * 1000)]
        subprocess.run(command, cwd=PROJECT, env={"PYTHONHASHSEED": number, "PYTHONPATH": "."}, check=True)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_whether_equal_names_are_one_object_does_not_show() -> None:
    """A column's name that is met twice gives the same file, be it one object in memory or two equal ones."""
    name = "a long name of a column"
    files = [
        persistence.dump(Pipeline([("columns", ColumnTransformer([(name, "passthrough", [other])]))]))
        for other in (name, "".join(name))
    ]
    assert files[0] == files[1]


def test_where_a_vectorizer_met_its_stop_words_does_not_show() -> None:
    """The address that a fitted text column keeps is not in the file, and the loaded one gives the same words."""
    vectorizer = HashingVectorizer(n_features=8)
    vectorizer.transform(["met"])
    first = persistence.dump(Pipeline([("words", vectorizer)]))
    vectorizer._stop_words_id = 1
    assert persistence.dump(Pipeline([("words", vectorizer)])) == first
    loaded = persistence.load(first, facts_of(first), [])
    words = ["some words"]
    assert (loaded.transform(words) != vectorizer.transform(words)).nnz == 0


def test_an_exchanged_file_is_not_loaded(pipeline: Pipeline, trusted: list[str]) -> None:
    """Bytes that differ from the recorded hash are refused before they are looked at."""
    content = persistence.dump(pipeline)
    with pytest.raises(persistence.ModelError, match="not loaded"):
        persistence.load(content + b" ", facts_of(content), trusted)


def test_an_untrusted_type_is_not_loaded(trusted: list[str]) -> None:
    """A file that holds a type outside the trusted ones is refused, and the type is named."""
    content = skops.io.dumps(FunctionTransformer(func=subprocess.run))
    with pytest.raises(persistence.ModelError, match=r"does not trust: subprocess\.run"):
        persistence.load(content, facts_of(content), trusted)


def test_a_file_that_is_no_model_is_refused(trusted: list[str]) -> None:
    """Bytes of another kind are refused with a sentence, even if their hash is right."""
    with pytest.raises(persistence.ModelError, match="not a skops archive"):
        persistence.load(b"junk", facts_of(b"junk"), trusted)


def test_another_scikit_learn_is_refused(pipeline: Pipeline, trusted: list[str]) -> None:
    """A model of another scikit-learn is refused: its scores could differ without a word."""
    content = persistence.dump(pipeline)
    with pytest.raises(persistence.ModelError, match=r"trained with scikit-learn 0\.1"):
        persistence.load(content, facts_of(content, scikit_learn="0.1"), trusted)
