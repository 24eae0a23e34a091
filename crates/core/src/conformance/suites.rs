//! The suites: macros that make one test per case.

/// Makes a test of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($suite:ident: $fresh:expr; $($contract:ident: $($case:ident)*;)*) => {
        mod $suite {
            #[allow(unused_imports, reason = "the expression for a backend may need imports around the suite")]
            use super::*;

            $($(
                #[test]
                fn $case() {
                    $crate::conformance::run(async {
                        let backend = $crate::conformance::Fresh::fresh($fresh);
                        $crate::conformance::$contract::$case(backend).await;
                    });
                }
            )*)*
        }
    };
}

/// Makes one test for each promise of [`Registry`](crate::Registry).
///
/// `registry_suite!(|| MyRegistry::fresh())`, or `registry_suite!(async || MyRegistry::connect().await)`. Each must give
/// an empty registry.
#[doc(hidden)]
#[macro_export]
macro_rules! registry_suite {
    (|| $fresh:expr $(,)?) => { $crate::registry_suite! { async || $fresh } };
    (async || $fresh:expr $(,)?) => { $crate::conformance_cases! { registry_suite: $fresh;
        registry:
            unknown_key_is_none put_then_get every_kind_is_kept raw_json_is_kept keys_of_kinds_are_apart
            unconditional_put_replaces first_put_on_record_conflicts stale_put_conflicts put_with_version_replaces
            put_with_version_on_nothing_conflicts each_put_gives_another_version no_version_comes_again_after_removal
            conflicting_put_writes_nothing dropped_put_is_atomic one_racing_first_put_wins one_racing_put_wins
            racing_updates_lose_nothing removed_is_gone removing_twice_succeeds remove_with_version_succeeds
            stale_remove_conflicts remove_with_version_of_nothing_conflicts remove_checks_absent_precondition
            one_racing_put_or_remove_wins empty_list_has_no_page list_is_sorted list_of_every_kind_is_sorted
            pages_make_up_the_list page_begins_after_absent_key list_agrees_with_get limit_zero_is_invalid
            greatest_limit_is_valid;
        registry_changes:
            feed_begins_with_earlier_changes feed_begins_after_since feed_continues_with_new_changes
            waiting_feed_gets_first_change removal_is_a_change removal_of_nothing_is_no_change conflict_is_no_change
            feed_is_in_order every_kind_is_in_feed last_change_is_never_missing two_readers_see_the_same
            change_is_visible_to_get racing_puts_lose_no_last_change feed_ends_with_registry;
        registry_lookups:
            installs_are_found_by_owner installs_of_server_come_in_pages installs_of_server_follow_writes
            revision_precedes_later_changes;
    } };
}

/// Makes one test for each promise of [`CredentialStore`](crate::CredentialStore) and
/// [`CredentialReader`](crate::CredentialReader).
///
/// `credential_suite!(|| MyVault::fresh())`, or `credential_suite!(async || MyVault::connect().await)`. Each must give an
/// empty store.
#[doc(hidden)]
#[macro_export]
macro_rules! credential_suite {
    (|| $fresh:expr $(,)?) => { $crate::credential_suite! { async || $fresh } };
    (async || $fresh:expr $(,)?) => { $crate::conformance_cases! { credential_suite: $fresh;
        credential:
            unknown_key_is_none put_then_read any_secret_is_kept keys_are_apart unconditional_put_replaces
            first_put_on_secret_conflicts stale_put_conflicts put_with_version_replaces
            put_with_version_on_nothing_conflicts conflicting_put_writes_nothing each_put_gives_another_version
            no_version_comes_again_after_removal dropped_put_is_atomic one_racing_first_put_wins one_racing_put_wins
            removed_is_gone removing_twice_succeeds secrets_do_not_show keys_are_sorted prefix_is_plain_text
            keys_come_in_pages removed_keys_are_not_listed lease_has_one_holder leases_are_apart released_lease_is_free
            lease_ends_after_ttl fences_grow_over_release_and_expiry late_release_ends_no_other_lease
            releasing_twice_succeeds one_racing_lease_is_given lease_locks_nothing put_ends_no_lease
            fences_grow_over_removal;
    } };
}

/// Makes one test for each promise of [`SessionStore`](crate::SessionStore).
///
/// `session_suite!(|| MySessions::fresh())`, or `session_suite!(async || MySessions::connect().await)`. Each must give an
/// empty store.
#[doc(hidden)]
#[macro_export]
macro_rules! session_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::session_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { session_suite: $fresh;
            session:
                unknown_key_is_none put_then_get any_state_is_kept keys_are_apart unconditional_put_replaces
                put_sets_expiry first_put_on_state_conflicts stale_put_conflicts put_with_version_replaces
                put_with_version_on_nothing_conflicts conflicting_put_writes_nothing each_put_gives_another_version
                no_version_comes_again expired_is_none expired_counts_as_absent one_racing_first_put_wins
                one_racing_put_wins one_racing_put_on_expired_wins removed_is_gone removing_twice_succeeds
                sweep_removes_only_expired sweep_of_nothing_is_zero;
        }
    };
}

/// Makes one test for each promise of [`Bus`](crate::Bus).
///
/// `bus_suite!(|| MyBus::fresh())`, or `bus_suite!(async || MyBus::connect().await)`.
#[doc(hidden)]
#[macro_export]
macro_rules! bus_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::bus_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { bus_suite: $fresh;
            bus:
                every_subscriber_gets_message_once topics_are_apart earlier_messages_are_not_seen
                messages_keep_their_order any_bytes_are_carried publish_without_readers_succeeds
                publish_does_not_wait_for_readers dropped_subscriber_hinders_nobody;
        }
    };
}

/// Makes one test for each promise of [`Gateway`](crate::Gateway) that can be seen from outside of the endpoint.
///
/// `gateway_suite!(|| MyGateway::fresh())`, or `gateway_suite!(async || MyGateway::start().await)`. Each must give a
/// gateway that serves nothing. The gateway's own tests cover calls.
#[doc(hidden)]
#[macro_export]
macro_rules! gateway_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::gateway_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { gateway_suite: $fresh;
            gateway:
                nothing_is_published_at_first published_is_sorted publishing_again_is_one_gateway
                gateway_without_routes_is_served withdrawn_is_unknown withdrawing_twice_succeeds
                withdrawing_one_leaves_the_others withdrawn_can_be_published_again racing_publications_are_one_gateway
                changes_are_applied changes_of_unknown_gateway_are_not_found installs_without_route_are_not_found;
        }
    };
}

/// Makes one test for each promise of [`Runtime`](crate::Runtime) that can be seen through the trait.
///
/// `runtime_suite!(|| Fixture::new(runtime, ready, other, failing))`, or with `async ||`: see
/// [`Fixture`](crate::conformance::runtime::Fixture).
#[doc(hidden)]
#[macro_export]
macro_rules! runtime_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::runtime_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { runtime_suite: $fresh;
            runtime:
                nothing_runs_at_first ensured_becomes_ready a_failure_comes_from_watch a_remote_source_is_refused
                ensuring_again_disturbs_nothing another_spec_replaces_the_deployment ensuring_mends_a_failed_deployment
                racing_ensures_are_one_deployment removed_is_known_no_longer removing_twice_succeeds
                removing_one_leaves_the_others removed_can_be_ensured_again list_is_sorted_whatever_the_status
                endpoint_of_the_unknown_is_not_found endpoint_of_the_failed_says_why endpoint_answers_from_memory
                status_is_what_watch_told_last watch_begins_with_what_is watch_tells_a_removal
                a_slow_watcher_sees_the_last_status every_watcher_sees_all;
        }
    };
}

/// Makes one test for each promise of [`Authenticator`](crate::Authenticator).
///
/// `authenticator_suite!(|| Fixture::new(authenticator, gateway, valid, refused))`, or with `async ||`: see
/// [`Fixture`](crate::conformance::authenticator::Fixture).
#[doc(hidden)]
#[macro_export]
macro_rules! authenticator_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::authenticator_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { authenticator_suite: $fresh;
            authenticator:
                request_without_credential_is_passed_on valid_credential_gives_a_caller refused_credential_is_an_error
                equal_requests_give_equal_callers refusal_leaves_valid_credential racing_requests_keep_their_answers
                credentials_do_not_show challenge_is_a_header_value;
        }
    };
}

/// Makes one test for each promise of [`CredentialBroker`](crate::CredentialBroker).
///
/// `broker_suite!(|| Fixture::new(broker, server, install, caller, stranger))`, or with `async ||`: see
/// [`Fixture`](crate::conformance::broker::Fixture).
#[doc(hidden)]
#[macro_export]
macro_rules! broker_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::broker_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { broker_suite: $fresh;
            broker:
                equal_requests_get_equal_credentials strangers_get_no_personal_credential strangers_change_nothing
                forgotten_credential_is_made_again forget_of_unknown_install_is_harmless racing_requests_agree
                secrets_do_not_show missing_credential_says_what_to_do;
        }
    };
}

/// Makes one test for each promise of [`Policy`](crate::Policy).
///
/// `policy_suite!(|| MyPolicy::new())`, or `policy_suite!(async || MyPolicy::load().await)`.
#[doc(hidden)]
#[macro_export]
macro_rules! policy_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::policy_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { policy_suite: $fresh;
            policy:
                equal_questions_get_equal_answers declared_independence_of_caller_holds dependence_on_caller_is_constant
                racing_questions_agree decisions_come_from_memory;
        }
    };
}

/// Makes one test for each promise of [`AuditSink`](crate::AuditSink) that can be seen through the trait.
///
/// `audit_suite!(|| MySink::new())`, or `audit_suite!(async || MySink::connect().await)`.
#[doc(hidden)]
#[macro_export]
macro_rules! audit_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::audit_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { audit_suite: $fresh;
            audit:
                every_outcome_is_taken every_failed_login_is_taken definition_change_is_taken any_text_is_taken
                records_are_taken_at_once racing_records_are_taken;
        }
    };
}

/// Makes one test for each promise of [`Guard`](crate::Guard) that holds for any guard.
///
/// `guard_suite!(|| MyGuard::new())`, or `guard_suite!(async || MyGuard::connect().await)`.
#[doc(hidden)]
#[macro_export]
macro_rules! guard_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::guard_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { guard_suite: $fresh;
            guard:
                name_is_constant_text any_arguments_get_a_decision replacement_is_an_object need_of_results_is_constant
                dropped_decision_disturbs_nothing racing_calls_get_decisions arguments_do_not_show;
        }
    };
}

/// Makes one test for each promise of [`Discovery`](crate::Discovery).
///
/// `discovery_suite!(|| Fixture::new(discovery, endpoint, tools))`, or with `async ||`: see
/// [`Fixture`](crate::conformance::discovery::Fixture).
#[doc(hidden)]
#[macro_export]
macro_rules! discovery_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::discovery_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { discovery_suite: $fresh;
            discovery:
                tools_are_in_order tools_are_those_of_the_snapshot asking_again_gives_the_same racing_questions_agree
                definitions_are_usable;
        }
    };
}

/// Makes one test for each promise of [`OneTimeStore`](crate::OneTimeStore).
///
/// `one_time_suite!(|| MyStore::fresh())`, or `one_time_suite!(async || MyStore::connect().await)`. Each must give an
/// empty store.
#[doc(hidden)]
#[macro_export]
macro_rules! one_time_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::one_time_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { one_time_suite: $fresh;
            one_time:
                unknown_id_is_none record_is_taken_once any_payload_is_kept ids_are_apart purposes_are_apart
                second_put_conflicts expired_is_none expired_is_replaced taken_can_be_put_again one_racing_take_wins
                one_racing_put_wins sweep_removes_only_expired out_of_bounds_is_invalid nothing_shows;
        }
    };
}

/// Makes one test for each promise of [`KeyProvider`](crate::KeyProvider).
///
/// `key_provider_suite!(|| Fixture::new(provider, rotate))`, or with `async ||`: see
/// [`Fixture`](crate::conformance::key_provider::Fixture).
#[doc(hidden)]
#[macro_export]
macro_rules! key_provider_suite {
    (|| $fresh:expr $(,)?) => {
        $crate::key_provider_suite! { async || $fresh }
    };
    (async || $fresh:expr $(,)?) => {
        $crate::conformance_cases! { key_provider_suite: $fresh;
            key_provider:
                wrapped_key_unwraps context_is_bound changed_bytes_are_invalid unknown_key_is_named current_key_wraps
                wrapped_key_hides_data_key rotated_key_still_unwraps versions_are_apart racing_tasks_get_their_own
                keys_do_not_show;
        }
    };
}

#[doc(inline)]
pub use crate::{
    audit_suite, authenticator_suite, broker_suite, bus_suite, credential_suite, discovery_suite, gateway_suite,
    guard_suite, key_provider_suite, one_time_suite, policy_suite, registry_suite, runtime_suite, session_suite,
};
