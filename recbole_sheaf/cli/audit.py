"""``recbole-sheaf audit``: what to know of a dataset and its split before anything is trained on it."""

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any, Optional

from recbole_sheaf.cli.parser import Parser, files_in
from recbole_sheaf.cli.refusals import one_sentence
from recbole_sheaf.cli.run import read_settings

COLUMNS = 80
EPILOG = """\
examples
  recbole-sheaf audit shop --data_path=data
  recbole-sheaf audit shop --data_path=data --split=time --to=audit.html --json=audit.json --strict

The dataset is loaded and split as 'run' would with the settings that follow as --key=value. Looked at are pairs of a
user and an item that come in two parts, training later than test, cold users and items, the length of histories, and of
each modality missing rows, near-duplicates, and whether items near in content are chosen together at all, beside the
same with rows shuffled. Each finding is ok, look (see whether you meant this) or broken.
"""


@one_sentence
def main(argv: Optional[list[str]] = None) -> int:
    """Look, print, write; gives the exit code."""
    options, others = parser().parse_known_args(argv)
    settings = read_settings(others)
    from recbole_sheaf.audit import audit_dataset
    from recbole_sheaf.audit.findings import BROKEN
    from recbole_sheaf.experiments.runs import refuse_unwritable
    from recbole_sheaf.files.whole_files import write_whole

    written = [path for path in (options.to, options.json) if path is not None]
    for path in written:
        refuse_unwritable(path)
    audit = audit_dataset(options.dataset, files_in(options.config_files), settings)
    _show(audit)
    if options.to is not None:
        from recbole_sheaf.audit.page import audit_page

        write_whole(options.to, audit_page(audit))
    if options.json is not None:
        write_whole(options.json, json.dumps(audit.to_json(), ensure_ascii=False, indent=1) + "\n")
    if written:
        print("written: " + ", ".join(map(str, written)))
    return int(options.strict and audit.verdict == BROKEN)


def _show(audit: Any) -> None:
    from recbole_sheaf.files.plain_text import one_line

    sizes = ", ".join(f"{name} {size:,}" for name, size in audit.sizes.items())
    print(textwrap.fill(one_line(f"{audit.dataset}: {sizes}"), COLUMNS))
    for finding in audit.findings:
        print(textwrap.fill(one_line(f"[{finding.verdict}] {finding.title}"), COLUMNS))
        said = finding.sentence + (f" Such as: {', '.join(finding.examples)}." if finding.examples else "")
        print(textwrap.fill(one_line(said), COLUMNS, initial_indent="    ", subsequent_indent="    "))
    print(f"verdict: {audit.summary}")


def parser() -> argparse.ArgumentParser:
    """Options of ``audit``; everything else on the command line is a setting."""
    options = Parser(
        prog="recbole-sheaf audit",
        description="Say what to know of a dataset and its split before anything is trained on it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("dataset", help="name of the dataset folder in --data_path; ml-100k needs no path")
    options.add_argument("--to", type=Path, metavar="FILE.html", help="write a page that needs nothing beside itself")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the findings for programs")
    options.add_argument("--config_files", default="", help="YAML files of settings, separated by spaces or commas")
    options.add_argument("--strict", action="store_true", help="exit with 1 where something is broken")
    return options
