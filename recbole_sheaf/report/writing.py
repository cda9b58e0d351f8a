"""From a store to files: all are made before the first is put in its place."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from recbole_sheaf.errors import ConfigError
from recbole_sheaf.files.whole_files import whole_files_in
from recbole_sheaf.report.assembling import assemble
from recbole_sheaf.report.document import Document
from recbole_sheaf.report.exported import Exported, read_exported
from recbole_sheaf.report.rendering import as_html, as_latex, as_markdown, figure_files
from recbole_sheaf.report.words import LANGUAGES, Words
from recbole_sheaf.store.material import read_material
from recbole_sheaf.store.results import Filters
from recbole_sheaf.store.store import Store


def write_report(
    store: Store,
    folder: Path,
    languages: Sequence[str] = LANGUAGES,
    filters: Optional[Filters] = None,
    metrics: Sequence[str] = (),
    export: Optional[Path] = None,
    titles: Optional[Path] = None,
    searched: Sequence[Store] = (),
) -> list[Path]:
    """Write ``report.<language>.html``, ``.md`` and ``.tex`` and their figures into a folder.

    Files of an older report are replaced; others in the folder stay.

    Args:
        filters: names allowed in ``experiment`` and ``dataset``; absent means any.
        metrics: to show in the place of the usual ones, the leading one first.
        export: embeddings that ``recbole-sheaf export`` wrote, whose item sheaf is told of.
        titles: a table with the columns ``item_id`` and a title, such as RecBole's ``.item`` file.
        searched: stores whose searches belong to the report, beside those of the store itself.

    Returns:
        The HTML files.

    Raises:
        ConfigError: if the folder cannot be written.
        StoreError, DataError: if a store, export or titles cannot be read, or hold nothing to report; nothing is
            written.

    A second or two, and for each pair of models that is tested a second for 9,000 users.
    """
    _refuse_place(folder)
    material = read_material(store, filters or {}, metrics, searched)
    exported: Optional[Exported] = None
    if export is not None:
        exported = read_exported(export, titles)
    elif titles is not None:
        raise ConfigError(f"titles={titles} names items of an export, but there is no export=... beside it; give both")
    documents = [assemble(material, Words(language), exported) for language in languages]
    with whole_files_in(folder) as made:
        for document in documents:
            _write(document, made)
    return [folder / f"report.{document.language}.html" for document in documents]


def _refuse_place(folder: Path) -> None:
    """Before any work, a place that cannot become a folder of ours."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"no report can be written to {folder}, since {there} is no folder of yours; name another folder"
        )


def _write(document: Document, folder: Path) -> None:
    stem = f"report.{document.language}"
    for ending, render in (("html", as_html), ("md", as_markdown), ("tex", as_latex)):
        (folder / f"{stem}.{ending}").write_text(render(document), encoding="utf-8")
    figures = folder / "figures" / document.language
    figures.mkdir(parents=True)
    for name, data in figure_files(document).items():
        (figures / name).write_bytes(data)
