"""The searches behind ``docs/results/tuned`` as a store: ``python docs/searches.py searches.duckdb``.

``results/searches.csv`` has a line per search: the file that holds its trials, and its name there. Searches that were
made in stores of their own are told of in the report by ``recbole-sheaf report --searches=searches.duckdb``. Names of
settings are today's: of MMGCN and GRCN one was renamed since. Those of MMSheaf's first design, a model that is no more,
are left out.
"""

from pathlib import Path

import pandas as pd

from recbole_sheaf.store.store import Store

RESULTS = Path(__file__).parent / "results"
STUDY = ["study", "model", "dataset", "valid_metric", "trials", "epochs", "search_space", "settings"]
TRIAL = ["study", "trial", "parameters", "score", "state", "epochs", "seconds"]


def read_searches() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of a store's ``studies`` and ``trials``."""
    searches = pd.read_csv(RESULTS / "searches.csv")
    files = {file: pd.read_csv(RESULTS / file) for file in searches["file"].unique()}
    trials = [_trials_of(files[one.file], one.name, one.study) for one in searches.itertuples(index=False)]
    return searches[STUDY], pd.concat(trials, ignore_index=True)[TRIAL]


def _trials_of(rows: pd.DataFrame, name: str, study: str) -> pd.DataFrame:
    return rows[rows["study" if "study" in rows else "model"] == name].assign(study=study)


def write_searches(store: Store) -> tuple[int, int]:
    """Put them into a store, which keeps what else it holds; gives how many searches and trials."""
    studies, trials = read_searches()
    with store.writing() as connection:
        for table, rows in (("studies", studies), ("trials", trials)):
            connection.register("given", rows)
            connection.execute(f"INSERT OR REPLACE INTO {table} BY NAME SELECT * FROM given")
    return len(studies), len(trials)


if __name__ == "__main__":
    from into_store import into_store

    into_store(__doc__ or "", write_searches, "{} searches, {} trials in {}")
