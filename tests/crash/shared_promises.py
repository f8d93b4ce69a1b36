"""The promises about lanes that several processes share by a ledger in PostgreSQL, each with the tests that hold it."""

from tests.crash.promise_list import Promise

STOPPED = "tests/crash/test_stopped_controllers.py"
WIRE = "tests/crash/test_cut_wire.py"
DATABASE = "tests/crash/test_lost_database.py"
FLEET = "tests/crash/test_fleet.py"
INVARIANTS = "tests/scenarios/test_fleet_invariants.py"

SHARED: tuple[Promise, ...] = (
    Promise(
        "A process that was stopped for longer than its lease writes and sends nothing more in a lane that another one "
        "has taken over: exit 11. Only a request that was about to leave still leaves; its token makes it harmless.",
        (
            f"{STOPPED}::test_stopped_beyond_its_lease_a_controller_writes_and_sends_nothing_more",
            f"{STOPPED}::test_behind_pgbouncer_a_stopped_controller_writes_and_sends_nothing_more",
            f"{STOPPED}::test_stopped_or_killed_at_every_single_place",
            f"{FLEET}::test_a_worker_that_slept_beyond_its_lease_sends_nothing_more_in_the_lanes_that_it_lost",
        ),
    ),
    Promise(
        "A request that leaves after its process has slept for longer than the service remembers tokens may make a "
        "second attachment. `verify` finds it: exit 25.",
        (f"{STOPPED}::test_what_leaves_after_a_sleep_longer_than_the_service_remembers_a_token_is_found_by_verify",),
    ),
    Promise(
        "Killed at any of these places, a process is followed by the one that waits for the lane: each item once. "
        "Lanes of a worker that dies go on at most 10 seconds after its lease has lapsed.",
        (
            f"{STOPPED}::test_killed_at_a_point_a_controller_is_followed_by_the_one_that_waits",
            f"{STOPPED}::test_stopped_or_killed_at_every_single_place",
            f"{FLEET}::test_when_one_of_two_workers_is_killed_the_other_ends_its_lanes",
            f"{FLEET}::test_twenty_lanes_on_two_workers_of_which_one_is_killed",
        ),
    ),
    Promise(
        "A COMMIT whose answer was lost is decided right, and a wire that is cut, held, slow or silent ends no run. "
        "While a lease has lapsed nothing is sent.",
        (
            f"{WIRE}::test_a_commit_whose_wire_is_cut_before_or_after_it_is_decided_right",
            f"{WIRE}::test_a_thousand_commits_whose_wire_is_cut_are_decided_right",
            f"{WIRE}::test_while_the_wire_is_held_beyond_the_lease_nothing_is_sent_and_then_the_run_goes_on",
            f"{WIRE}::test_a_wire_that_dies_without_a_word_ends_no_lane",
            f"{WIRE}::test_over_a_slow_wire_a_run_is_the_same",
        ),
    ),
    Promise(
        "A database that crashes and comes back ends no run. One that is replaced by a standby that lagged ends it "
        "with exit 10, and the same command looks at the lane before it creates anything: nothing twice.",
        (
            f"{DATABASE}::test_a_database_that_crashes_and_is_started_ends_no_lane",
            f"{DATABASE}::test_commits_that_a_promoted_standby_has_lost_are_found_and_nothing_is_uploaded_twice",
            f"{DATABASE}::test_of_two_holders_of_one_fence_number_only_the_later_writes",
        ),
    ),
    Promise(
        "All controllers of a lane together keep to its rate, whoever takes over and however long the ledger stalls.",
        (
            "tests/unit/engine/test_create.py"
            "::test_after_a_stall_of_the_ledger_creates_leave_at_the_pace_and_not_all_at_once",
            f"{INVARIANTS}::test_controllers_that_together_are_too_fast_are_found",
            f"{FLEET}::test_when_one_of_two_workers_is_killed_the_other_ends_its_lanes",
        ),
    ),
    Promise(
        "Two runs of one manifest that begin at once, a coordinator that dies, a job that is called failed by another "
        "worker, and a program of an older schema: each lane runs once at a time, and the same command goes on.",
        (
            f"{STOPPED}::test_two_that_begin_at_once_share_the_lanes_and_none_is_uploaded_twice",
            f"{STOPPED}::test_a_controller_of_an_older_schema_is_refused_and_one_that_runs_writes_whole",
            f"{FLEET}::test_two_coordinators_of_one_manifest_in_the_same_second_run_each_lane_once",
            f"{FLEET}::test_a_coordinator_that_is_killed_while_it_defers_is_followed_by_the_same_command",
            f"{FLEET}::test_a_job_that_another_worker_calls_failed_ends_no_lane",
        ),
    ),
)
