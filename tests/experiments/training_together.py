"""One process of a few that train together, or one alone: trains each job of a file, and writes what came of it.

``python -m tests.experiments.training_together JOBS OUT``, with what torchrun puts into the environment. A job is a
list of a model, its settings and a folder for its state. Losses and metrics of the first process's epochs go to OUT, as
do parameters of each process after the last epoch; a job that is refused gives its sentence.
"""

import json
import os
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from socket import socket

import torch

import recbole_sheaf  # noqa: F401  # before RecBole
from recbole_sheaf.errors import SheafError
from recbole_sheaf.experiments import training
from recbole_sheaf.experiments.processes import team_of_command
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import load_split
from recbole_sheaf.workers.threads import threads_limited
from tests.conftest import REPOSITORY


class Stopped(Exception):
    """Ends a training from outside."""


def trained(model, settings, folder, team=None, stopped_after=None):
    """Epochs, the choices, and the parameters after the last epoch, of one job in this process."""
    (config,) = resolve_configs([model], settings["dataset"], [], settings)
    models, after = [], {}

    def note(epoch):
        after.update({name: each.detach().clone() for name, each in models[0].state_dict().items()})
        if epoch.number == stopped_after:
            raise Stopped

    keep = training.prepare

    def prepare(*given):
        prepared = keep(*given)
        models.append(prepared.model)
        return prepared

    training.prepare = prepare
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        with threads_limited(1):
            if team is not None and not team.leads:
                training.follow(config, load_split(config), Path(folder), team)
                return {}, dict(models[0].state_dict())
            run = training.train(config, load_split(config), Path(folder), note, team=team)
    finally:
        training.prepare = keep
    told = {
        "losses": [epoch.train_loss for epoch in run.epochs],
        "valid": [epoch.valid for epoch in run.epochs],
        "test": run.result.test,
        "chosen": run.result.chosen,
    }
    return told, after


def together(jobs, out, processes=2, timeout=500):
    """Let so many processes train; gives what they wrote, by rank."""
    out.mkdir()
    (out / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-m", "tests.experiments.training_together", str(out / "jobs.json"), str(out)]
    started = start(command, processes)
    said = [process.communicate(timeout=timeout) for process in started]
    assert [process.returncode for process in started] == [0] * processes, said
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(processes)]


def start(command, processes, **more):
    """A command as torchrun starts it, in so many processes."""
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    place["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
    return [
        subprocess.Popen(command, env={**os.environ, **place, "RANK": str(rank)}, **pipes) for rank in range(processes)
    ]


def main(jobs, out):
    sys.argv = sys.argv[:1]  # which RecBole reads
    found = []
    with ExitStack() as stack:
        team = stack.enter_context(team_of_command())
        for model, settings, folder in json.loads(Path(jobs).read_text()):
            try:
                found.append(trained(model, settings, folder, team))
            except SheafError as error:
                found.append(({"refused": str(error)}, {}))
    torch.save(found, Path(out) / f"{team.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
