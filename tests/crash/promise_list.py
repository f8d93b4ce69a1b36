"""The promises, each with the tests that hold it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """One sentence, and tests as `path::name`."""

    text: str
    tests: tuple[str, ...]


API = "tests/scenarios/test_python_api.py"
LAGGING = "tests/scenarios/test_lagging_service.py"
LEASES = "tests/unit/ledger/postgres"
STOPPING_LANES = "tests/scenarios/test_stopping_lanes.py"

CRASHES: tuple[Promise, ...] = (
    Promise(
        "Killed at any system call on the ledger, its lock or a socket, the next run ends with each item exactly once.",
        (
            "tests/crash/test_system_calls.py::test_a_kill_at_a_system_call_costs_no_item_and_makes_none_twice",
            "tests/crash/test_system_calls.py::test_a_kill_at_every_single_system_call",
            "tests/crash/test_system_calls.py::test_the_installed_command_killed_at_a_request_leaves_no_doubt",
        ),
    ),
    Promise(
        "Killed between any two callbacks of its event loop: the same holds.",
        (
            "tests/crash/test_callbacks.py::test_a_kill_between_two_callbacks_costs_no_item_and_makes_none_twice",
            "tests/crash/test_callbacks.py::test_a_kill_before_every_single_callback",
        ),
    ),
    Promise(
        "Killed before or after any write of the ledger, any request or any answer, also among retries "
        "and with a service that forgets tokens: the same holds.",
        (
            "tests/crash/test_steps.py::test_a_kill_before_or_after_a_step_costs_no_item_and_makes_none_twice",
            "tests/crash/test_steps.py::test_a_kill_at_every_single_step",
        ),
    ),
    Promise(
        "Killed after the service has carried out a request and before it has answered: the same holds.",
        (
            "tests/crash/test_steps.py::test_a_kill_while_the_service_has_it_and_no_answer_has_left_makes_none_twice",
            "tests/crash/test_steps.py::test_a_kill_between_service_and_answer_of_every_item",
        ),
    ),
    Promise(
        "Killed again and again under storms of throttles, errors, lost connections, garbage and hangs, on a machine "
        "that falls asleep, reboots and has its clock set: the same holds.",
        (
            "tests/crash/test_campaign.py::test_under_a_storm_with_random_kills_each_item_is_there_once",
            "tests/crash/test_campaign.py::test_ten_thousand_random_kills_under_storms_make_nothing_twice_and_lose_nothing",
            "tests/scenarios/test_crash.py::test_killed_again_and_again_under_a_storm_each_item_is_there_once",
            "tests/scenarios/test_crash.py::test_killed_while_the_service_forgets_tokens_each_item_is_there_once",
            "tests/crash/test_simulation.py::test_whatever_the_storm_and_whenever_it_is_killed_each_item_is_uploaded_once",
            "tests/crash/test_simulation.py::test_two_thousand_storms_upload_each_item_once",
            "tests/crash/test_machine.py::test_no_order_of_faults_kills_and_edits_uploads_anything_twice_or_loses_it",
        ),
    ),
    Promise(
        "Killed at any of these points, or at a random moment with 20 lanes in flight, a run over many accounts and "
        "Regions: each item is once in each of its lanes after the next run.",
        (
            "tests/crash/test_system_calls.py::test_a_kill_at_a_system_call_costs_no_item_and_makes_none_twice",
            "tests/crash/test_system_calls.py::test_a_kill_at_every_single_system_call",
            "tests/crash/test_callbacks.py::test_a_kill_between_two_callbacks_costs_no_item_and_makes_none_twice",
            "tests/crash/test_callbacks.py::test_a_kill_before_every_single_callback",
            "tests/crash/test_steps.py::test_a_kill_before_or_after_a_step_costs_no_item_and_makes_none_twice",
            "tests/crash/test_steps.py::test_a_kill_at_every_single_step",
            "tests/crash/test_campaign.py"
            "::test_killed_at_random_moments_with_six_lanes_in_flight_each_item_is_once_in_its_lane",
            "tests/crash/test_campaign.py"
            "::test_fifty_random_kills_with_twenty_lanes_in_flight_leave_each_item_once_in_its_lane",
        ),
    ),
    Promise(
        "If the service shows an attachment up to a horizon late and its tags another horizon later, if its pages "
        "shift, repeat or expire, or if it refuses a token that it knows: nothing is uploaded twice, lost, or reported "
        "deleted.",
        (
            "tests/crash/test_simulation.py::test_whatever_the_storm_and_whenever_it_is_killed_each_item_is_uploaded_once",
            "tests/crash/test_machine.py::test_no_order_of_faults_kills_and_edits_uploads_anything_twice_or_loses_it",
            f"{LAGGING}::test_a_lost_answer_whose_attachment_and_tags_come_late_makes_nothing_twice",
            f"{LAGGING}::test_what_is_found_only_seconds_after_its_create_is_waited_for",
            f"{LAGGING}::test_a_lost_ledger_finds_what_a_shifted_page_skipped",
            f"{LAGGING}::test_a_listing_that_does_not_end_is_exit_10_everywhere",
            "tests/unit/engine/test_identity.py::test_absence_waits_for_the_tags_of_what_is_new",
            "tests/unit/engine/test_settle.py::test_what_was_not_found_is_looked_for_by_the_next_run_and_taken_over",
        ),
    ),
    Promise(
        "In seeded mixes of kills, sleep for hours, set clocks, changed manifests and ledgers, and a service that "
        "lags, lies and forgets: the same holds, and each run ends at most a minute after its deadline.",
        (
            "tests/crash/test_mixes.py::test_whatever_is_mixed_each_item_is_there_once_and_nothing_anywhere_else",
            "tests/crash/test_mixes.py::test_three_hundred_mixes_make_nothing_twice_and_lose_nothing",
        ),
    ),
    Promise(
        "A ledger that cannot be written or read stops all sending: exit 24, and a message that says what to do. "
        "Once its disk works, the same command completes the batch.",
        (
            "tests/crash/test_file_system.py::test_a_ledger_that_cannot_be_written_stops_all_sending_and_the_next_run_ends_it",
            "tests/crash/test_file_system.py::test_a_disk_that_fails_from_any_call_on",
            "tests/crash/test_file_system.py::test_a_file_size_limit_stops_all_sending_and_the_next_run_ends_it",
            "tests/crash/test_file_system.py::test_a_file_size_limit_of_every_size",
            "tests/crash/test_file_system.py::test_a_full_tmpfs_stops_all_sending_and_the_same_command_ends_it_once_there_is_room",
            "tests/unit/ledger/test_writer.py::test_after_the_disk_said_no_nothing_is_tried_again",
            "tests/unit/ledger/test_writer.py::test_a_job_that_the_thread_has_no_memory_or_stack_for_ends_all_writing",
            "tests/unit/ledger/test_writer.py::test_a_commit_that_there_is_no_memory_for_is_rolled_back_and_ends_the_run",
            "tests/unit/ledger/test_writer.py::test_a_thread_that_dies_between_two_jobs_leaves_nobody_waiting_and_keeps_the_lock",
        ),
    ),
    Promise(
        "Out of file descriptors, memory or threads, no item fails and none is uploaded twice: "
        "the run goes on with fewer calls at once, or the next run completes it.",
        (
            "tests/scenarios/test_resources.py::test_whatever_the_limit_of_open_files_no_item_fails_and_the_next_run_is_exact",
            "tests/scenarios/test_resources.py::test_with_too_little_memory_a_run_ends_with_a_sentence_and_the_next_is_exact",
            "tests/scenarios/test_resources.py::test_a_long_run_under_faults_holds_no_more_at_its_end_than_after_its_beginning",
            "tests/scenarios/test_resources.py::test_descriptors_that_run_out_in_the_middle_are_waited_for_with_one_notice",
            "tests/unit/engine/test_workers.py::test_a_shortage_that_stays_leaves_every_item_for_the_next_run",
        ),
    ),
    Promise(
        "A ledger of a past version is updated and used; one that is damaged, newer or no ledger is refused "
        "and left unchanged.",
        (
            "tests/crash/test_kept_ledgers.py::test_a_ledger_of_a_past_version_is_read_as_it_is",
            "tests/crash/test_kept_ledgers.py::test_a_ledger_of_a_past_version_is_gone_on_with_and_what_it_says_is_believed",
            "tests/scenarios/test_upgrade.py::test_a_ledger_in_postgresql_of_a_past_schema_is_read_as_it_is_and_gone_on_with",
            "tests/crash/test_kept_ledgers.py::test_a_ledger_that_was_only_begun_is_finished",
            "tests/crash/test_kept_ledgers.py::test_a_ledger_that_cannot_be_believed_is_refused_and_left_as_it_is",
        ),
    ),
    Promise(
        "Killed while tags are changed: after the next run the tags are those of the manifest.",
        (
            "tests/crash/test_retag.py::test_a_kill_between_two_callbacks_leaves_tags_that_the_next_run_puts_right",
            "tests/crash/test_retag.py::test_a_retag_is_killed_before_every_single_callback",
            "tests/unit/engine/test_retag.py::test_whatever_a_run_left_half_done_the_next_one_puts_right",
        ),
    ),
    Promise(
        "Killed while an UPLOAD_FAILED item is retried: the retry is made once, even if the ledger is lost.",
        (
            "tests/crash/test_retry.py::test_a_kill_between_two_callbacks_of_a_retry_makes_no_second_one",
            "tests/crash/test_retry.py::test_a_retry_is_killed_before_every_single_callback",
        ),
    ),
    Promise(
        "Killed while attachments are deleted: nothing that may be deleted counts as uploaded, "
        "and the next `prune` completes it.",
        (
            "tests/crash/test_prune.py::test_a_kill_between_two_callbacks_deletes_nothing_that_is_listed_and_the_next_run_finishes",
            "tests/crash/test_prune.py::test_a_prune_is_killed_before_every_single_callback",
        ),
    ),
    Promise(
        "Every lane is in exactly one of N shards, whichever runs first or at the same time; lanes on a Dask cluster "
        "survive a killed worker, and the same command goes on after a lost scheduler: each item exactly once.",
        (
            "tests/unit/test_targets.py::test_shards_share_out_all_lanes_and_no_lane_twice",
            "tests/scenarios/test_shards.py::test_the_shards_of_a_manifest_upload_every_lane_once",
            "tests/scenarios/test_shards.py::test_shards_at_the_same_time_share_a_database",
            "tests/scenarios/test_fleet_dask.py::test_the_lanes_of_a_killed_dask_worker_are_finished_by_another",
            "tests/scenarios/test_fleet_dask.py::test_two_commands_at_once_upload_each_item_once",
            "tests/scenarios/test_fleet_dask.py::test_a_lost_scheduler_ends_the_run_with_10_and_the_same_command_goes_on",
        ),
    ),
    Promise(
        "Two runs of one process never have a lane of a database together.",
        ("tests/unit/ledger/postgres/test_alone.py::test_two_runs_of_one_process_do_not_have_a_lane_together",),
    ),
)

LIBRARY: tuple[Promise, ...] = (
    Promise(
        "Two runs at once in one process, each with its own ledger, do not affect each other.",
        (f"{API}::test_two_runs_at_once_in_one_process_keep_apart",),
    ),
    Promise(
        "The library changes nothing of the process, neither during a call nor afterwards: signal handlers, garbage "
        "collector, logging, streams, hooks, folder, environment, locale, umask, limits, open files.",
        (f"{API}::test_nothing_of_the_process_is_changed_while_it_runs_or_afterwards",),
    ),
    Promise(
        "It works in a thread that is not the main one, and in an event loop that already runs.",
        (
            f"{API}::test_a_thread_that_is_not_the_main_one_can_run_it",
            f"{API}::test_in_a_loop_that_already_runs_values_come_back",
        ),
    ),
    Promise(
        "It returns values and prints nothing. What prevents a run is a `BatchUploadError` that says what to do and "
        "what was done so far; failed items and disagreements are results.",
        (
            f"{API}::test_a_program_uploads_and_a_second_run_finds_nothing_to_do",
            f"{API}::test_what_prevents_a_run_is_an_error_that_says_what_to_do",
            f"{API}::test_an_error_in_the_middle_says_what_was_done_until_then",
            f"{API}::test_a_disagreement_is_a_result_of_verify_and_no_error",
        ),
    ),
    Promise(
        "Cancelled or interrupted at any moment and run again, each item is there once. A second run on the same "
        "ledger is refused.",
        (
            f"{API}::test_cancelled_in_the_middle_and_run_again_each_item_is_there_once",
            f"{API}::test_an_interruption_lets_what_is_in_flight_end_and_the_next_run_goes_on",
            f"{API}::test_a_second_run_of_the_same_manifest_is_refused_while_the_first_goes_on",
        ),
    ),
)
"""Of the package as a library, see docs/python.md."""

RULES: tuple[Promise, ...] = (
    Promise(
        "1. Intent before effect: the intent is on disk before the first byte of its request leaves.",
        (
            "tests/crash/test_file_system.py::test_the_intent_is_on_the_disk_before_the_first_byte_of_its_request_leaves",
            "tests/unit/engine/test_run.py::test_the_intent_of_each_create_is_told_before_it_is_sent",
        ),
    ),
    Promise(
        "2. One owner of retries: every request takes a slot and is counted.",
        (
            "tests/unit/engine/test_run.py::test_every_wire_attempt_is_counted_once",
            "tests/scenarios/test_main_job.py::test_under_a_strict_limit_with_many_workers_none_is_lost_and_the_counts_agree",
            "tests/scenarios/test_faults.py::test_an_unknown_error_code_is_never_tried_again",
        ),
    ),
    Promise(
        "3. The same token for the same thing, with the same parameters. Only after UPLOAD_FAILED is there a retry "
        "with a token of its own, at most twice.",
        (
            "tests/scenarios/test_upload_failed.py::test_the_same_command_tries_again_what_aws_could_not_process",
            "tests/scenarios/test_upload_failed.py::test_after_two_retries_nothing_is_sent_and_what_helps_is_said",
            "tests/scenarios/test_upload_failed.py::test_a_ledger_lost_after_a_retry_uploads_nothing_twice",
            "tests/unit/engine/test_run.py::test_what_is_sent_carries_the_identity_tag_as_the_ledger_has_it",
            "tests/scenarios/test_crash.py::test_a_mix_of_faults_ends_in_one_run_or_in_the_next",
        ),
    ),
    Promise(
        "4. A token protects only for a while, time asleep included and whatever the wall clock says. Beyond the "
        "horizon an outcome is resolved before anything is sent again.",
        (
            "tests/scenarios/test_crash.py::test_in_one_long_run_the_horizon_counts_from_the_first_unknown_attempt",
            "tests/scenarios/test_reconcile.py::test_an_intent_whose_attachment_was_made_is_settled_by_its_tag",
            "tests/scenarios/test_reconcile.py::test_an_intent_that_may_still_be_at_work_stays_open_until_its_absence_is_proved",
            "tests/contract/ledger/test_attempts.py::test_a_certain_no_after_an_unknown_one_leaves_it_as_unknown_as_before",
            "tests/scenarios/test_clocks.py::test_after_the_clock_was_set_or_is_another_what_is_open_is_looked_up",
            "tests/scenarios/test_clocks.py::test_a_replay_that_gets_no_answer_within_the_horizon_is_cut_off_and_looked_up",
            "tests/unit/engine/test_horizon.py::test_a_request_that_was_lost_before_a_long_sleep_is_looked_up_and_not_sent_again",
            "tests/unit/engine/test_horizon.py::test_a_wall_clock_that_is_set_in_a_run_costs_no_item_and_makes_none_twice",
            "tests/unit/engine/test_horizon.py::test_what_another_clock_has_dated_is_looked_up_and_not_sent_again",
            "tests/unit/engine/test_horizon.py::test_absence_is_not_proved_by_a_time_that_another_clock_has_written",
            "tests/unit/engine/test_horizon.py::test_a_replay_that_does_not_arrive_within_the_horizon_is_cut_off_and_looked_up",
            "tests/unit/ledger/test_stretch.py::test_a_wall_clock_that_was_set_between_two_runs_begins_a_new_stretch",
        ),
    ),
    Promise(
        "5. The bytes sent are the bytes hashed.",
        (
            "tests/scenarios/test_faults.py::test_a_file_that_is_replaced_during_the_run_is_not_sent_and_the_next_run_sends_what_is_there",
            "tests/unit/documents/test_inspect.py::test_a_body_is_the_planned_bytes",
            "tests/unit/documents/test_inspect.py::test_a_body_that_changed_is_not_handed_out",
        ),
    ),
    Promise(
        "6. Everything is checked before anything is sent.",
        (
            "tests/scenarios/test_invalid.py::test_every_sample_is_refused_at_its_place_without_a_request",
            "tests/scenarios/test_invalid.py::test_one_bad_file_holds_back_all_the_good_ones",
        ),
    ),
    Promise(
        "7. A fault is an item's, a lane's or ours.",
        (
            "tests/scenarios/test_faults.py::test_a_refusal_fails_its_item_alone_and_is_tried_again_by_the_next_run",
            "tests/scenarios/test_faults.py::test_missing_permission_costs_exactly_one_create_call",
            "tests/scenarios/test_faults.py::test_credentials_that_expire_stop_the_lane_after_what_is_in_flight",
            "tests/scenarios/test_way_barred.py::test_an_upload_ends_at_once_and_says_what_to_do",
            "tests/scenarios/test_credentials.py::"
            "test_a_helper_that_stops_working_during_a_run_stops_the_lane_and_fails_no_item",
            "tests/unit/engine/test_run.py::test_the_same_unknown_code_for_the_first_three_creates_stops_the_lane",
        ),
    ),
    Promise(
        "8. One run at a time on a lane, and a ledger belongs to one account and Region.",
        (
            f"{LEASES}/test_lease.py::test_a_lane_that_another_process_holds_is_refused_with_who_holds_it",
            "tests/scenarios/test_stopping.py::test_a_second_run_on_the_same_ledger_is_told_who_holds_it",
            "tests/unit/ledger/test_lock.py::test_another_run_is_named_and_its_lock_dies_with_it",
            "tests/scenarios/test_lane.py::test_a_ledger_belongs_to_one_account_and_region",
        ),
    ),
    Promise(
        "9. The lane is listed before a first create, and once more after the last: a lost, copied or restored ledger "
        "uploads nothing twice, and a duplicate that two machines made at the same moment is reported.",
        (
            "tests/scenarios/test_crash.py::test_a_lost_ledger_is_found_again_by_upload_alone",
            "tests/scenarios/test_crash.py::test_an_old_copy_of_the_ledger_uploads_nothing_twice",
            f"{LAGGING}::test_machines_that_take_turns_with_copies_of_a_ledger_upload_nothing_twice",
            "tests/unit/engine/test_duplicates.py::test_a_limit_that_lies_never_stands_for_identity",
            f"{LAGGING}::test_the_look_at_the_end_of_a_run_finds_a_second_attachment_and_says_so",
            f"{LAGGING}::test_machines_that_create_at_the_same_moment_learn_of_it_from_a_later_run",
            "tests/unit/engine/test_duplicates.py"
            "::test_what_the_look_at_the_end_was_too_early_for_the_next_run_finds_with_nothing_to_send",
            "tests/unit/ledger/test_runs.py::test_a_copy_does_not_follow_on_even_with_its_lock",
            "tests/unit/ledger/test_runs.py::test_a_restored_backup_is_not_trusted_before_its_lane_was_listed",
        ),
    ),
    Promise(
        "10. Until one create has succeeded, creates go one at a time.",
        (
            "tests/scenarios/test_faults.py::test_missing_permission_costs_exactly_one_create_call",
            "tests/unit/engine/test_run.py::test_a_missing_permission_costs_one_create",
        ),
    ),
    Promise(
        "11. Stopping has three forms: wait for what was sent, finish what is in flight, stop at once.",
        (
            "tests/scenarios/test_stopping.py::test_a_signal_lets_end_what_is_in_flight_and_the_next_run_does_the_rest",
            "tests/scenarios/test_draining.py::test_prune_lets_the_deletes_in_flight_end_and_the_next_run_deletes_the_rest",
            "tests/scenarios/test_draining.py::test_prune_cuts_off_a_delete_that_is_not_answered_and_the_next_run_asks_again",
            "tests/scenarios/test_draining.py::test_reconcile_keeps_the_tags_it_has_read_and_the_next_run_reads_the_rest",
            "tests/scenarios/test_draining.py::test_the_monitor_of_verify_hears_that_a_signal_ended_it",
            "tests/scenarios/test_draining.py::test_a_signal_while_files_are_read_ends_a_run_in_order_and_on_record",
            "tests/scenarios/test_unreached.py::test_the_end_of_a_verb_that_the_deadline_cuts_off_is_on_record",
            "tests/scenarios/test_stopping.py::test_after_the_deadline_nothing_is_started",
            "tests/scenarios/test_stopping.py::test_the_deadline_ends_the_run_whatever_does_not_answer",
            f"{STOPPING_LANES}::test_a_signal_drains_all_lanes_and_records_the_end_of_each",
            f"{STOPPING_LANES}::test_a_signal_ends_lanes_in_every_phase_and_keeps_the_end_of_those_that_are_done",
            f"{STOPPING_LANES}::test_a_signal_while_roles_are_assumed_ends_all_lanes_at_once_and_on_record",
            f"{STOPPING_LANES}::test_the_deadline_drains_all_lanes_and_records_the_end_of_each",
            "tests/scenarios/test_stopping.py::test_a_used_up_day_parks_the_rest_until_midnight_and_costs_no_further_call",
            "tests/scenarios/test_stopping.py::test_a_full_account_parks_the_rest_until_there_is_capacity",
            "tests/scenarios/test_faults.py::test_too_many_failures_stop_the_run",
        ),
    ),
    Promise(
        "12. Nothing secret is kept.",
        (
            "tests/scenarios/test_secrets.py::test_a_canary_is_found_in_no_output_and_no_file",
            "tests/scenarios/test_secrets.py::test_a_password_in_an_endpoint_is_shown_nowhere_however_it_is_spelt",
            "tests/scenarios/test_postgres_ledger.py::test_no_password_is_in_any_output",
            "tests/unit/test_ledger_address.py::test_a_password_that_breaks_the_url_is_not_shown",
            "tests/unit/service/test_http.py::test_no_byte_of_any_request_goes_to_where_a_redirect_points",
            "tests/scenarios/test_answers.py::test_a_redirect_is_followed_by_nobody_and_the_run_ends_as_it_should",
            "tests/unit/ledger/test_opening.py::test_all_its_files_are_the_owners_alone",
        ),
    ),
    Promise(
        "13. Counts add up, or the exit code says that it is our fault.",
        (
            "tests/scenarios/test_verbs.py::test_every_verb_speaks_ndjson_that_ends_with_a_whole_summary",
            "tests/unit/report/test_summary_text.py::test_counts_that_do_not_add_up_are_called_a_fault",
        ),
    ),
    Promise(
        "14. Nothing is deleted that is not proved ours twice.",
        (
            "tests/scenarios/test_prune.py::test_what_is_no_longer_listed_is_deleted_and_a_rerun_does_nothing",
            "tests/scenarios/test_prune.py::test_a_tag_that_is_not_ours_keeps_the_attachment",
            "tests/scenarios/test_prune.py::test_a_part_of_the_manifest_does_not_delete_the_rest_unseen",
            "tests/crash/test_prune.py::test_a_kill_between_two_callbacks_deletes_nothing_that_is_listed_and_the_next_run_finishes",
        ),
    ),
    Promise(
        "15. A person is called if and only if a person must act.",
        (
            "tests/unit/cli/test_output.py::test_quiet_tells_an_end_if_and_only_if_a_person_must_act",
            "tests/scenarios/test_deploy_cron.py::test_what_a_person_must_act_on_is_printed_so_that_cron_mails_it",
            "tests/scenarios/test_deploy_cron.py::test_a_line_that_meets_its_own_last_run_ends_at_once_without_a_word",
            "tests/scenarios/test_way_barred.py::test_the_line_of_the_crontab_mails_once_and_shortly",
            "tests/scenarios/test_deploy_systemd.py::test_no_alarm_is_raised_where_the_same_command_will_do",
            "tests/scenarios/test_deploy_kubernetes.py::test_what_a_person_must_mend_is_not_tried_again_and_what_passes_is",
            "tests/scenarios/test_deploy_alerts.py::test_each_alert_comes_when_it_should_and_not_before",
        ),
    ),
    Promise(
        "16. Tags are changed in place.",
        (
            "tests/scenarios/test_retag.py::test_tags_are_changed_at_the_service_and_everybody_agrees",
            "tests/unit/engine/test_retag.py::test_what_goes_back_and_forth_ends_with_the_last",
            "tests/unit/engine/test_retag.py::test_a_ledger_that_is_lost_afterwards_finds_the_attachment_by_the_new_token",
        ),
    ),
    Promise(
        "17. A field gets what the manifest binds to it, and nothing else.",
        (
            "tests/crash/test_bind_machine.py::test_no_order_of_faults_kills_edits_and_denials_puts_anything_into_a_wrong_field",
            "tests/unit/engine/test_bind.py::test_what_an_earlier_request_did_before_the_version_was_submitted_is_bound",
            "tests/unit/engine/test_fields.py::test_a_denied_registration_with_a_new_version_is_bound_again_without_a_create",
            "tests/unit/engine/test_doubts.py::test_an_old_copy_of_a_ledger_puts_back_what_was_taken_out_of_its_field_since",
        ),
    ),
)
"""The rules of docs/design.md, by their numbers."""
