"""The promises about lanes that several processes share by a ledger in PostgreSQL, each with the tests that hold it."""

from tests.crash.promise_list import Promise

STOPPED = "tests/crash/test_stopped_controllers.py"
WIRE = "tests/crash/test_cut_wire.py"
DATABASE = "tests/crash/test_lost_database.py"
FLEET = "tests/crash/test_fleet.py"
INVARIANTS = "tests/scenarios/test_fleet_invariants.py"
LEASES = "tests/unit/ledger/postgres"
SHARED_LANE = "tests/scenarios/test_shared_lane.py"

SHARED: tuple[Promise, ...] = (
    Promise(
        "Of several processes one writes to a lane at a time. One that was overtaken changes nothing more and ends "
        "with 11; other lanes of its group are written.",
        (
            f"{LEASES}/test_lease.py::test_of_two_that_take_a_lane_at_the_same_moment_one_has_it",
            f"{LEASES}/test_fence.py::test_the_first_write_of_a_stale_holder_is_refused_and_changes_nothing",
            f"{LEASES}/test_fence.py::test_of_a_group_the_lanes_that_were_not_taken_over_are_written",
            f"{LEASES}/test_bind_writes.py::test_a_stale_holder_can_neither_intend_a_binding_nor_conclude_one",
            f"{LEASES}/test_fence.py::test_two_holders_of_one_fence_number_never_both_write",
            f"{LEASES}/test_controllers.py::test_in_any_order_of_takes_pauses_and_failures_one_writes_and_one_sends",
            f"{LEASES}/test_controllers.py::test_the_same_sequences_on_a_real_server",
            f"{SHARED_LANE}::test_a_second_run_on_the_lane_ends_with_11_and_says_whose_it_is",
            f"{SHARED_LANE}::test_a_run_that_was_stopped_beyond_its_lease_sends_nothing_after_its_first_write_is_refused",
            f"{SHARED_LANE}::test_a_killed_run_is_gone_on_with_once_its_lease_has_lapsed",
        ),
    ),
    Promise(
        "A run that waited for a lane does there what the manifest and its files say by then. Where they are invalid "
        "it sends nothing: exit 21.",
        (
            f"{SHARED_LANE}::test_a_run_that_waited_for_its_lane_does_what_the_manifest_says_by_then",
            f"{SHARED_LANE}::test_a_run_that_waited_for_its_lane_does_not_put_back_old_tags",
            f"{SHARED_LANE}::test_a_manifest_that_became_invalid_while_the_lane_was_waited_for_is_21",
            "tests/unit/app/test_shared_ledger.py"
            "::test_a_file_that_is_gone_after_the_wait_ends_its_lane_with_21_and_no_other",
            "tests/unit/fleet/test_waiting.py"
            "::test_a_lane_is_read_again_after_a_wait_and_the_manifest_must_be_the_one_of_the_run",
        ),
    ),
    Promise(
        "Nothing is sent to a lane that another process may have taken over by then; it is checked as the first byte "
        "leaves.",
        (
            "tests/contract/test_before_send.py::test_a_request_whose_check_fails_does_not_leave",
            "tests/contract/test_before_send.py::test_each_request_is_checked_once_and_with_its_signature",
            "tests/contract/test_before_send.py"
            "::test_a_request_that_waits_behind_its_signature_is_checked_when_it_leaves",
            "tests/unit/engine/test_retry.py::test_no_slot_is_given_until_requests_may_leave_to_the_lane_again",
            "tests/unit/engine/test_create.py"
            "::test_a_create_that_was_held_back_after_its_intent_is_withdrawn_and_sent_with_the_same_token",
            f"{LEASES}/test_recovery.py"
            "::test_while_the_database_is_away_the_right_to_send_lapses_and_comes_back_with_it",
        ),
    ),
    Promise(
        "A connection that is cut around a COMMIT, a server that crashes, and one that is replaced cost no write and "
        "make none twice. Commits that a failover lost are noticed, and the lane is listed before its next create.",
        (
            f"{LEASES}/test_recovery.py::test_a_commit_that_was_cut_off_is_decided_right",
            f"{LEASES}/test_bind_writes.py::test_a_binding_whose_commits_were_cut_off_is_written_once",
            f"{LEASES}/test_recovery.py::test_a_server_that_crashes_and_comes_back_costs_no_write",
            f"{LEASES}/test_recovery.py::test_a_promoted_standby_that_has_everything_is_gone_on_with",
            f"{LEASES}/test_recovery.py"
            "::test_a_promoted_standby_that_lagged_behind_ends_the_lane_and_is_not_trusted_by_the_next_run",
            f"{LEASES}/test_recovery.py::test_a_database_that_stays_away_ends_all_writing_with_a_sentence_and_exit_10",
        ),
    ),
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
