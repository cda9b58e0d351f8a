"""Synthetic raw data as a company might have them: clicks in CSV, titles, video vectors in npy, speech in Parquet.

Users and items have tastes; titles, videos and speech know an item's taste, and 30 % of the items have no speech. Ten
videos are new: they come in a folder of their own, with vectors and without clicks.
"""

import csv
import datetime
import sys
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet

N_USERS, N_ITEMS, N_CLICKS, N_TASTES, N_NEW = 3_000, 5_000, 60_000, 20, 10
SUBJECTS = (
    "кошки собаки горы море джаз рок шахматы футбол физика химия борщ пельмени поезда корабли сад лес город звёзды "
    "кино театр"
).split()
WORDS = "новое видео обзор история день лучшее урок прогулка разговор выпуск сезон мастер простой большой".split()


def write_clicks(path: Path, tastes: np.ndarray, rng: np.random.Generator) -> None:
    """Users choose items of their taste four times out of five."""
    user_tastes = rng.integers(N_TASTES, size=N_USERS)
    of_taste = [np.flatnonzero(tastes[:N_ITEMS] == taste) for taste in range(N_TASTES)]
    start = datetime.datetime(2026, 1, 1)
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["visitor", "video", "at"])
        for user in rng.integers(N_USERS, size=N_CLICKS):
            liked = of_taste[user_tastes[user]]
            item = rng.choice(liked) if rng.random() < 0.8 else rng.integers(N_ITEMS)
            moment = start + datetime.timedelta(seconds=int(rng.integers(90 * 86_400)))
            out.writerow([f"visitor-{user}", f"v{item}", moment.isoformat()])


def write_titles(path: Path, tastes: np.ndarray, rng: np.random.Generator) -> None:
    """Three words and the subject."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["video", "title"])
        for item in range(N_ITEMS):
            words = [*rng.choice(WORDS, 3, replace=False), SUBJECTS[tastes[item]]]
            out.writerow([f"v{item}", " ".join(rng.permutation(words))])


def main(folder: Path) -> None:
    """Write all of it."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    tastes = rng.integers(N_TASTES, size=N_ITEMS + N_NEW)
    tokens = [f"v{item}" for item in range(N_ITEMS + N_NEW)]
    write_clicks(folder / "clicks.csv", tastes, rng)
    write_titles(folder / "videos.csv", tastes, rng)
    video = (rng.standard_normal((N_TASTES, 128))[tastes] + rng.standard_normal((len(tokens), 128))).astype(np.float16)
    np.save(folder / "video.npy", video[:N_ITEMS])
    (folder / "video.ids.txt").write_text("\n".join(tokens[:N_ITEMS]) + "\n")
    speech = (rng.standard_normal((N_TASTES, 64))[tastes] + rng.standard_normal((len(tokens), 64))).astype(np.float32)
    heard = np.sort(rng.permutation(N_ITEMS)[: int(0.7 * N_ITEMS)])
    columns = {"video": [tokens[item] for item in heard], "speech": speech[heard].tolist()}
    parquet.write_table(pyarrow.table(columns), folder / "speech.parquet")
    (folder / "new_videos").mkdir(exist_ok=True)
    np.save(folder / "new_videos" / "video.npy", video[N_ITEMS:])
    (folder / "new_videos" / "video.ids.txt").write_text("\n".join(tokens[N_ITEMS:]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "raw"))
