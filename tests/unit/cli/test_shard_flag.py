"""`--shard`: an index and a number, or the number alone and the index that a scheduler gives to each of its jobs."""

import pytest

from batch_upload.cli.flags import INDEX_VARIABLES, Flags, options_of, shard_of
from batch_upload.errors import UsageError
from batch_upload.targets import Shard


@pytest.mark.parametrize("variable", INDEX_VARIABLES)
def test_the_index_is_the_flags_or_the_schedulers(variable: str) -> None:
    environ = {variable: "5"}

    assert shard_of(Flags(), environ) is None
    assert shard_of(Flags(shard="3/8"), environ) == Shard(3, 8)
    assert shard_of(Flags(shard="/8"), environ) == Shard(5, 8)
    assert shard_of(Flags(), {**environ, "BATCH_UPLOAD_SHARD": "/8"}) == Shard(5, 8)
    assert options_of(Flags(shard="/8"), environ).shard == Shard(5, 8)
    assert shard_of(Flags(shard="/1"), {variable: "0"}) == Shard(0, 1)


def test_two_schedulers_that_agree_are_one() -> None:
    environ = {"JOB_COMPLETION_INDEX": "2", "AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "4"}

    assert shard_of(Flags(shard="/4"), environ) == Shard(2, 4)


@pytest.mark.parametrize(
    ("given", "environ", "message"),
    [
        ("8", {}, "`--shard 8` is not a shard"),
        ("", {}, "`--shard ` is not a shard"),
        ("a/8", {}, "`--shard a/8` is not a shard"),
        ("-1/8", {}, "`--shard -1/8` is not a shard"),
        ("٣/8", {}, "`--shard ٣/8` is not a shard"),
        ("0/0", {}, "`--shard 0/0` is not a shard"),
        ("8/8", {}, "`--shard 8/8`: there is no shard 8 of 8"),
        ("/8", {}, "`SLURM_ARRAY_TASK_ID`, and none of them is set"),
        ("/8", {"JOB_COMPLETION_INDEX": ""}, "and none of them is set"),
        ("/8", {"SLURM_ARRAY_TASK_ID": "8"}, "there is no shard 8 of 8 (`SLURM_ARRAY_TASK_ID=8`)"),
        ("/8", {"SLURM_ARRAY_TASK_ID": "x"}, "`SLURM_ARRAY_TASK_ID=x` is not an index"),
        (
            "/8",
            {"JOB_COMPLETION_INDEX": "1", "SLURM_ARRAY_TASK_ID": "2"},
            "`JOB_COMPLETION_INDEX=1` and `SLURM_ARRAY_TASK_ID=2` disagree",
        ),
        (
            "/8",
            {"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "4"},
            "in an array of 4 jobs (`AWS_BATCH_JOB_ARRAY_SIZE`): some lanes would have no job",
        ),
    ],
)
def test_a_shard_that_cannot_be_is_refused_with_what_to_write(
    given: str, environ: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        shard_of(Flags(shard=given), environ)

    assert message in refused.value.message
    assert refused.value.hint


def test_an_array_that_begins_at_1_is_told_to_begin_at_0() -> None:
    with pytest.raises(UsageError) as refused:
        shard_of(Flags(shard="/8"), {"SLURM_ARRAY_TASK_ID": "8"})

    assert refused.value.hint == "shards are counted from 0 to 7, and so must be the indexes of a job array"
