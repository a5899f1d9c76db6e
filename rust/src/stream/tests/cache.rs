//! What the cache had of a prompt: in usage, in a report of its own.

use super::*;
use crate::cache_use::{CacheExit, CacheUse};

fn found(num_cached_tokens: u32) -> CacheUse {
    CacheUse {
        num_cached_tokens,
        num_queried_tokens: 7,
        exit: Some(CacheExit::Differs),
    }
}

#[test]
fn a_prompt_counts_once_however_many_choices_find_it_cached() {
    let mut rig = Rig::new(Opening {
        num_choices: 4,
        choices_per_prompt: 2,
        ..opening(Dialect::Completions, false)
    });
    for (choice, num_cached_tokens) in [(0, 0), (1, 7), (2, 3), (3, 6)] {
        let _ = rig
            .stream
            .mark_scheduled(choice, found(num_cached_tokens), 1.5);
    }
    assert_eq!(rig.stream.receipt().cached_tokens, 3);
}

#[test]
fn a_report_of_the_cache_stands_beside_the_usage_where_it_was_asked_for() {
    let dialects = [
        Dialect::Chat,
        Dialect::Completions,
        Dialect::Responses,
        Dialect::Messages,
    ];
    let expected =
        serde_json::json!([{"cached_tokens": 4, "reason": "differs", "left_at_token": 4}]);
    for (dialect, reports_cache) in dialects
        .into_iter()
        .flat_map(|it| [(it, true), (it, false)])
    {
        let told = if reports_cache {
            expected.clone()
        } else {
            Value::Null
        };
        for is_streamed in [true, false] {
            let mut rig = Rig::new(Opening {
                include_usage: false,
                output: OutputOptions {
                    reports_cache,
                    ..OutputOptions::default()
                },
                ..opening(dialect, is_streamed)
            });
            let _ = rig.stream.mark_scheduled(0, found(4), 1.5);
            rig.push(0, &ids_of("a"), LENGTH);
            let bytes = rig.take().0;
            let text = String::from_utf8(bytes).unwrap();
            let mut objects = text.lines().filter_map(|line| {
                serde_json::from_str::<Value>(line.strip_prefix("data: ").unwrap_or(line)).ok()
            });
            let is_told = |object: &Value| {
                [object, &object["response"]]
                    .iter()
                    .find_map(|it| it.get("penstock"))
                    .map(|it| it["cache"].clone())
            };
            let found = objects.find_map(|object| is_told(&object));
            assert_eq!(found.unwrap_or_default(), told, "{dialect:?} {is_streamed}");
        }
    }
}

#[test]
fn what_a_cache_had_is_told_in_usage_once_for_a_choice() {
    let mut rig = Rig::new(opening(Dialect::Chat, false));
    assert!(rig.stream.mark_scheduled(0, found(4), 1.5));
    assert!(!rig.stream.mark_scheduled(0, found(6), 1.7));
    assert!(!rig.stream.mark_scheduled(9, found(6), 1.7));
    rig.push(0, &ids_of("a"), LENGTH);
    let body: Value = serde_json::from_slice(&rig.take().0).unwrap();
    let details = &body["usage"]["prompt_tokens_details"];
    assert_eq!(details["cached_tokens"], Value::from(4));
}
