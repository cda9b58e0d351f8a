"""Both READMEs are short, their table says what the rows of runs say, and their picture is read in light and dark."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from importlib.resources import files
from xml.etree import ElementTree

import pandas as pd
import pytest

from recbole_sheaf.cli.screen import print_table
from recbole_sheaf.evaluation import comparison_table
from tests.conftest import REPOSITORY, Terminal

READMES = ("README.md", "README.ru.md")
NOT_RUN = {"not run", "не считали"}
DATASETS = {"Amazon Baby": "baby", "tiktok": "tiktok", "ml-100k": "ml-100k", "ml-1m": "ml-1m"}
METRICS = ["recall@20", "ndcg@20"]
DOCS = REPOSITORY / "docs"
PICTURES = ("sheaf.svg", "sheaf.ru.svg")
SCREEN = 80  # columns of the terminal whose last lines the READMEs show
READABLE = 4.5  # contrast of text and paper, WCAG 2.1, level AA


def text(page):
    return (REPOSITORY / page).read_text(encoding="utf-8")


def table(page):
    """Lines of the README's table of results: the words at their head, and a cell for each dataset."""
    (lines,) = re.findall(r"^(\| \| Amazon Baby .*?)\n\n", text(page), re.DOTALL | re.MULTILINE)
    head, _, *rows = ([cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines.splitlines())
    return {row[0]: dict(zip((DATASETS[name] for name in head[1:]), row[1:], strict=True)) for row in rows}


@pytest.fixture(scope="module")
def means():
    """Mean metrics by dataset and model: today's defaults, and beside them what was searched before."""
    today = pd.read_csv(DOCS / "results" / "defaults.csv").rename(columns={"model": "label"})
    before = pd.read_csv(DOCS / "report" / "runs.csv")
    searched = before[before["label"].isin(["EASE", "FREEDOM softmax", "LightGCN softmax"])]
    searched = searched[(searched["experiment"] == searched["dataset"]) & (searched["ablation"] == "real")]
    ours = today[today["label"].isin(["MMSheaf", "ItemSheaf"]) | (today["dataset"] == "baby")]
    return pd.concat([ours, searched]).groupby(["dataset", "label"])[METRICS].mean()


def figure(value):
    return f"{value:.4f}".removeprefix("0")


def test_readmes_are_short():
    """6 to 8 kB, and in Russian as many characters."""
    english, russian = map(text, READMES)
    assert 6_000 <= len(english.encode()) <= 8_000 and 6_000 <= len(russian) <= 8_000


@pytest.mark.parametrize("page", READMES)
def test_models_have_the_means_of_their_runs(page, means):
    rows = {words: cells for words, cells in table(page).items() if any("/ ." in cell for cell in cells.values())}
    assert [words.partition(",")[0] for words in rows] == ["MMSheaf", "ItemSheaf", "FREEDOM", "LightGCN", "EASE"]
    for words, cells in rows.items():
        label = words.partition(",")[0] + (" softmax" if "," in words else "")
        for dataset, cell in cells.items():
            known = (dataset, label) in means.index
            said = " / ".join(map(figure, means.loc[dataset, label])) if known else None
            assert cell == said or (said is None and cell in NOT_RUN), f"{label} on {dataset}: {said}"


@pytest.mark.parametrize("page", READMES)
def test_gains_are_those_of_the_means(page, means):
    (cells,) = (cells for words, cells in table(page).items() if re.fullmatch(r"MMSheaf \w+ LightGCN", words))
    for dataset, cell in cells.items():
        gains = means.loc[dataset, "MMSheaf"] / means.loc[dataset, "LightGCN softmax"] - 1
        assert cell == " / ".join(f"{100 * gain:+.0f} %" for gain in gains), dataset


@pytest.mark.parametrize("page", READMES)
def test_what_shuffling_costs_is_what_the_report_knows(page):
    runs = pd.read_csv(DOCS / "report" / "runs.csv")
    runs = runs[runs["experiment"].str.endswith("-content") & (runs["label"] == "MMSheaf")]
    recall = runs.groupby(["dataset", "ablation"])["recall@20"].mean()
    parts = pd.read_csv(DOCS / "results" / "defaults-ablations.csv").set_index(["dataset", "model", "seed"])[
        "recall@20"
    ]
    today = pd.read_csv(DOCS / "results" / "defaults.csv").set_index(["dataset", "model", "seed"])["recall@20"]
    (cells,) = (cells for words, cells in table(page).items() if "Recall@20" in words)
    for dataset, cell in cells.items():
        if dataset in recall:  # several seeds
            real, shuffled = recall[dataset, "real"], recall[dataset, "shuffled"]
        else:
            real, shuffled = today[dataset, "MMSheaf", 1], parts[dataset, "content shuffled", 1]
        lost = f"{100 * (1 - shuffled / real):.1f} %"
        assert cell == lost, f"{dataset}: {lost}"


@pytest.mark.parametrize("page", READMES)
def test_neighbours_in_content_are_those_of_the_search_log(page):
    """The modality whose neighbours are chosen together most often stands in the table."""
    (cells,) = (cells for words, cells in table(page).items() if words.startswith(("content neighbours", "соседей")))
    lines = re.findall(
        r"^\| ([\w-]+) \| ((?:\w+ \d+\.\d(?:, )?)+) \|$", text("docs/results/search-log.md"), re.MULTILINE
    )
    log = {name.lower(): max(re.findall(r"\d+\.\d", lifts), key=float) for name, lifts in lines}
    assert cells == {dataset: log[dataset] for dataset in DATASETS.values()}


@pytest.mark.parametrize("page", READMES)
@pytest.mark.parametrize("dataset, user", [("baby", "userID"), ("tiktok", "userID"), ("ml-1m", "user_id:token")])
def test_the_median_user_is_that_of_the_data(page, dataset, user, shared_data):
    (cells,) = (cells for words, cells in table(page).items() if words.startswith(("clicks of", "кликов")))
    assert int(cells[dataset]) == median_of(shared_data / dataset / f"{dataset}.inter", user)
    assert int(cells["ml-100k"]) == median_of(
        files("recbole") / "dataset_example" / "ml-100k" / "ml-100k.inter", "user_id:token"
    )


def median_of(path, user):
    return pd.read_csv(path, sep="\t", usecols=[user])[user].value_counts().median()


@pytest.mark.parametrize("page", READMES)
def test_no_figure_stands_outside_the_table(page):
    outside = "\n".join(line for line in text(page).splitlines() if not line.startswith("|"))
    assert re.findall(r"(?<![\w.])0?[.,]\d{3,}|\d ?%", outside) == []


def test_times_of_the_first_commands_are_the_same_in_both():
    english = re.findall(r"(\d+) s\sof\sproc", text("README.md"))
    assert english == re.findall(r"(\d+) с\sпроц", text("README.ru.md")) and len(english) == 2


def screen(page):
    """Lines that a README shows of what the second command ends in."""
    (shown,) = re.findall(r"^```\n(\| model .*?)```", text(page), re.DOTALL | re.MULTILINE)
    return shown.splitlines()


def test_lines_shown_are_those_of_a_terminal_of_80_columns(monkeypatch):
    """As the table is printed today, with the other columns that a run has; their figures are the next test's."""
    head, _, *rows = (line.strip("|").split("|") for line in screen("README.md") if line.startswith("|"))
    named = ["model", *(name.strip() for name in head[1:])]
    runs = [dict(zip(named, [row[0].strip(), *map(float, row[1:])])) for row in rows]
    metrics = [f"{name}@{k}" for k in (10, 20, 50) for name in ("recall", "ndcg", "precision", "mrr", "itemcoverage")]
    shared = {"seed": 2020, "config": {"valid_metric": "Recall@20"}, "best_epoch": 3, "epochs": 5}
    shared |= {"seconds_per_epoch": 0.5, "peak_memory_mib": 100, "parameters": 640}
    table = comparison_table(
        [
            {"model": run["model"], "valid": {"recall@20": run["valid Recall@20"]}, **shared}
            | {"test": {**dict.fromkeys(metrics, 0.5), **{name.lower(): run[name] for name in named[2:]}}}
            for run in runs
        ]
    )
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback: os.terminal_size((SCREEN, 24)))
    print_table(table)
    assert terminal.getvalue().splitlines() == [line for line in screen("README.md") if line.startswith("|")]
    assert screen("README.ru.md") == screen("README.md") and max(map(len, screen("README.md"))) <= SCREEN


@pytest.mark.slow
def test_lines_shown_are_those_that_the_second_command_ends_in(tmp_path):
    command = re.findall(r"^recbole-sheaf (run --models=.*)$", text("README.md"), re.MULTILINE)[0].split()
    shown = re.sub(r"-seed2020-[0-9a-f]{16}\.", "-seed2020-....", on_a_screen(command, tmp_path))
    *lines, gap, checkpoint = screen("README.md")
    assert gap == "..." and "\n".join(lines) in shown and checkpoint in shown.splitlines()


def on_a_screen(command, folder):
    """What our command writes to a terminal of its own, in a folder."""
    process, terminal = pty.fork()
    if not process:  # the child
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, SCREEN, 0, 0))
        os.chdir(folder)
        paths = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
        kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        python = [sys.executable, "-W", "ignore", "-m", "recbole_sheaf", *command]
        os.execve(sys.executable, python, {**kept, "NO_COLOR": "1", "PYTHONPATH": paths})
    pieces = []
    try:
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    except OSError:  # the terminal went with the command
        pass
    finally:
        os.close(terminal)
        assert os.waitpid(process, 0)[1] == 0
    return b"".join(pieces).decode().replace("\r\n", "\n")


def test_what_a_million_items_take_is_what_was_measured():
    row = re.search(r"^\| run, 1 epoch \| (\d+) \| ([\d.]+) \|", text("benchmarks/million_items.md"), re.MULTILINE)
    said = [str(round(int(row[1]) / 60)), str(round(float(row[2])))]
    english = re.search(r"\[(\d+) minutes and (\d+) GiB of\smemory\]\(benchmarks/million_items", text("README.md"))
    russian = re.search(r"\[(\d+) минут на эпоху и (\d+) ГиБ\sпамяти\]\(benchmarks/million_items", text("README.ru.md"))
    assert [*english.groups()] == [*russian.groups()] == said


def test_both_readmes_are_set_up_alike_and_continuous_integration_finds_its_blocks():
    english, russian = (re.findall(r"```bash\n(.*?)```", text(page), re.DOTALL) for page in READMES)
    assert english == russian
    marked = dict(re.findall(r"^<!-- ([\w-]+) -->\n```bash\n(.*?)```", text("README.md"), re.DOTALL | re.MULTILINE))
    assert marked == {"set-up": english[0], "tests": english[3]}


def test_commands_for_own_data_are_those_of_the_example():
    commands = re.findall(r"```bash\n(recbole-sheaf convert.*?)```", text("README.md"), re.DOTALL)[0]
    example = text("examples/bring_your_data/run.sh").replace('"$checkpoint"', "saved/MMSheaf-shop-*.safetensors")
    script = [line for line in example.splitlines() if not line.startswith("checkpoint=")]
    *ended, serving = commands.strip().splitlines()  # by Ctrl-C alone
    assert "\n".join(ended) in "\n".join(script) and serving == "recbole-sheaf serve shop.npz --titles=raw/videos.csv"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", PICTURES)
def test_every_word_of_the_picture_is_readable_on_its_own_paper(name, dark):
    """The picture brings its paper along, so that a page may be of any colour."""
    root = ElementTree.parse(DOCS / "pictures" / name).getroot()
    paper = next(element for element in root if element.tag.endswith("rect"))
    assert [paper.get("class"), paper.get("width"), paper.get("height")] == ["paper", *root.get("viewBox").split()[2:]]
    light, night = root[0].text.split("@media (prefers-color-scheme: dark)")
    colours = fills(light) | (fills(night) if dark else {})
    assert colours["paper"] == ("#0d1117" if dark else "#ffffff")
    parents = {child: parent for parent in root.iter() for child in parent}
    words = [element for element in root.iter() if element.tag.endswith("text")]
    assert len(words) > 20
    for element in words:
        colour = colours[element.get("class") or parents[element].get("class")]
        assert all(contrast(colour, colours[ground]) >= READABLE for ground in ("paper", "card")), element.text


def fills(style):
    return dict(re.findall(r"\.(\w+) \{ fill: (#\w{6})", style))


def contrast(one, other):
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    shares = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear))


def test_the_russian_picture_differs_in_its_words_alone():
    english, russian = (re.sub(r"(<text[^>]*>)[^<]+", r"\1", text(f"docs/pictures/{name}")) for name in PICTURES)
    assert english == russian
    words = re.findall(r"<text[^>]*>([^<]+)", text("docs/pictures/sheaf.ru.svg"))
    assert [word for word in words if not re.search("[а-яё]", word)] == []
