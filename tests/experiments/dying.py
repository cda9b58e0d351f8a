"""A job that kills its worker. In a module of its own, since a worker imports what its job's module does."""

import os
import signal

from recbole_sheaf.experiments.carry_out import carry_out


def dies_for_bpr_with_seed_one(job, folder):
    if job.model == "BPR" and job.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return carry_out(job, folder)
