"""The promises about attachments in the fields of registrations, each with the tests that hold it."""

from tests.crash.promise_list import Promise

CAMPAIGN = "tests/crash/test_bind_campaign.py"
CRASH = "tests/crash/test_bind.py"
REQUESTS = "tests/scenarios/test_bind_requests.py"
SCENARIOS = "tests/scenarios/test_bind.py"
STEP = "tests/unit/engine/test_bind.py"
FIELDS = "tests/unit/engine/test_fields.py"
DOUBTS = "tests/unit/engine/test_doubts.py"

BINDING: tuple[Promise, ...] = (
    Promise(
        "Whatever is killed when, each field ends with the attachment that the manifest binds to it: nothing is ever "
        "put into a field that is for something else, nothing is uploaded twice, and a rerun puts nothing.",
        (
            f"{CAMPAIGN}::test_killed_four_times_each_field_holds_its_document_and_a_rerun_only_looks",
            f"{CAMPAIGN}::test_two_hundred_items_in_a_hundred_registrations_survive_twenty_kills",
            f"{CRASH}::test_a_kill_before_or_after_a_step_of_binding_puts_nothing_into_a_wrong_field",
            f"{CRASH}::test_a_run_that_binds_is_killed_at_every_single_point",
            f"{CRASH}::test_a_kill_while_a_field_has_it_and_no_answer_has_left_puts_it_there_again_at_most",
            "tests/crash/test_bind_machine.py"
            "::test_no_order_of_faults_kills_edits_and_denials_puts_anything_into_a_wrong_field",
            "tests/crash/test_bind_machine.py::test_no_long_order_of_faults_kills_edits_and_denials_does_either",
            "tests/crash/test_callbacks.py::test_a_kill_between_two_callbacks_costs_no_item_and_makes_none_twice",
            "tests/crash/test_callbacks.py::test_a_kill_before_every_single_callback",
            "tests/crash/test_system_calls.py::test_a_kill_at_a_system_call_costs_no_item_and_makes_none_twice",
            "tests/crash/test_system_calls.py::test_a_kill_at_every_single_system_call",
            "tests/crash/test_steps.py::test_a_kill_before_or_after_a_step_costs_no_item_and_makes_none_twice",
            "tests/crash/test_steps.py::test_a_kill_at_every_single_step",
        ),
    ),
    Promise(
        "The same for processes that follow each other on a ledger in PostgreSQL: one that was stopped for longer than "
        "its lease puts nothing into a field that another one has filled.",
        (
            f"{CAMPAIGN}::test_in_postgresql_the_processes_that_follow_each_other_put_each_document_into_its_field",
            "tests/crash/test_stopped_controllers.py"
            "::test_stopped_or_killed_while_it_binds_a_controller_puts_nothing_into_a_field_that_another_one_has_filled",
        ),
    ),
    Promise(
        "A manifest without `bind` makes exactly the requests that it made before there was any. With `bind` a run "
        "asks each account and Region for its registrations, for the fields of their types once a day, and puts each "
        "attachment once.",
        (
            f"{REQUESTS}::test_without_bind_each_verb_makes_the_requests_that_it_made_before_there_was_any",
            f"{REQUESTS}::test_with_bind_each_lane_is_looked_at_once_each_type_once_a_day_and_each_item_is_put_once",
            f"{REQUESTS}::test_the_fields_of_a_type_are_asked_for_again_after_a_day",
        ),
    ),
    Promise(
        "A registration that was denied and has a new version is bound again without a create. The denial is read "
        "once, and told beside the document.",
        (
            f"{REQUESTS}::test_a_denied_registration_with_a_new_version_is_bound_again_without_one_create",
            f"{SCENARIOS}::test_a_denial_is_told_everywhere_and_a_new_version_is_bound_again",
            f"{CRASH}::test_a_run_that_binds_is_killed_at_every_single_point",
            f"{FIELDS}::test_the_fields_of_a_denied_version_are_read_once",
        ),
    ),
    Promise(
        "What a registration refuses since it was submitted keeps its attachment, is `failed` with when it can go on, "
        "and is tried once a run. What an earlier request had put there counts as bound.",
        (
            f"{REQUESTS}::test_bound_to_a_submitted_registration_items_fail_with_what_helps_and_are_tried_once_a_run",
            f"{CRASH}::test_a_field_that_had_it_before_the_version_was_submitted_is_read_back_and_counts_as_bound",
            f"{STEP}::test_a_version_that_cannot_be_changed_fails_the_item_and_says_when_it_goes_on",
        ),
    ),
    Promise(
        "A ledger that was lost or restored puts nothing in the place of what somebody has put into a field since.",
        (
            f"{DOUBTS}::test_a_ledger_that_does_not_know_what_a_person_put_into_a_field_leaves_it_there",
            f"{DOUBTS}::test_an_old_copy_of_a_ledger_leaves_what_was_put_into_its_field_since",
            f"{DOUBTS}::test_the_doubt_outlives_a_run_of_other_items",
            f"{DOUBTS}::test_the_doubt_outlives_a_run_that_could_not_read_the_fields",
            f"{DOUBTS}::test_what_a_backup_has_as_bound_is_in_doubt_until_its_field_was_read",
            f"{DOUBTS}::test_what_a_backup_has_as_bound_is_looked_at_also_after_a_run_of_other_items",
            f"{DOUBTS}::test_what_is_in_its_field_already_is_found_there_by_a_ledger_that_does_not_know_it",
        ),
    ),
    Promise(
        "A registration or a field that does not exist is found before anything is sent.",
        (
            f"{SCENARIOS}::test_what_the_service_does_not_take_is_a_problem_at_its_bind_and_nothing_is_sent",
            f"{SCENARIOS}::test_with_skip_invalid_the_rest_goes_on_and_the_others_are_invalid",
        ),
    ),
    Promise(
        "What a field holds is not deleted. A replaced document may be deleted once its successor is in the field.",
        (
            f"{SCENARIOS}::test_what_a_field_holds_is_not_pruned_and_says_where_it_is",
            f"{SCENARIOS}::test_a_replaced_document_can_be_pruned_once_its_successor_is_in_the_field",
            f"{FIELDS}::test_without_the_permission_to_read_fields_nothing_is_pruned",
        ),
    ),
)
