use super::*;
use crate::metrics::Metrics;
use crate::output_options::OutputOptions;
use crate::vocabulary::testing::byte_level;

const WORD: i32 = 256;
const A: i32 = 97;
const LENGTH: Option<FinishReason> = Some(FinishReason::Length);

fn hub() -> Hub {
    Hub::new(
        Arc::new(byte_level(&["word"])),
        Arc::new(ModelMetrics::new("m", 128)),
        2000,
    )
}

fn open(hub: &Hub, is_streamed: bool, num_choices: u32) -> u64 {
    let opening = Opening {
        response_id: "cmpl-0".to_owned(),
        model: "m".to_owned(),
        created: 0,
        dialect: Dialect::Completions,
        is_streamed,
        num_choices,
        choices_per_prompt: 1,
        include_usage: false,
        stop: vec!["dw".to_owned()],
        prompt_tokens: 3,
        max_tokens: 8,
        keep_alive_s: Some(10.0),
        request_id: "req_0".to_owned(),
        arrival: 0.0,
        stop_token_ids: Vec::new(),
        prompts: Vec::new(),
        echoes_prompts: false,
        output: OutputOptions::default(),
    };
    hub.open(Arc::new(opening), 0.0)
}

fn push(hub: &Hub, rows: &[(u64, i32, Option<FinishReason>)]) -> Vec<u64> {
    push_at(hub, rows, 1.0)
}

fn push_at(hub: &Hub, rows: &[(u64, i32, Option<FinishReason>)], now: f64) -> Vec<u64> {
    let keys: Vec<u64> = rows.iter().map(|row| row.0).collect();
    let ids: Vec<i32> = rows.iter().map(|row| row.1).collect();
    let ends: Vec<Option<FinishReason>> = rows.iter().map(|row| row.2).collect();
    hub.push_step(
        Rows {
            row_keys: &keys,
            ids: &ids,
            ends: &ends,
            logprobs: None,
            prompt_columns: &[],
        },
        EngineGauges::default(),
        now,
    )
}

fn take(hub: &Hub, key: u64) -> (usize, u16) {
    let taken = hub.take(key, <[u8]>::len);
    (taken.read, taken.status)
}

fn open_streams(hub: &Hub) -> f64 {
    hub.metrics.value_of(Gauge::StreamsOpen)
}

#[test]
fn every_gap_between_tokens_is_observed_though_rows_share_it() {
    let all = Metrics::default();
    let hub = Hub::new(Arc::new(byte_level(&["word"])), all.model("m", 128), 2000);
    let [early, too, late] = [(); 3].map(|()| (open(&hub, true, 1), A, None));
    push_at(&hub, &[early, too, late], 1.0);
    push_at(&hub, &[early, too], 2.0);
    push_at(&hub, &[early, late, too], 4.0);
    let told = all.render();
    for line in [
        "count{model_name=\"m\",engine=\"0\"} 5\n",
        "sum{model_name=\"m\",engine=\"0\"} 9.0\n",
    ] {
        let line = format!("vllm:inter_token_latency_seconds_{line}");
        assert!(told.contains(&line), "{line}{told}");
    }
}

#[test]
fn a_stream_is_ready_once_until_it_is_listed() {
    let hub = hub();
    let (streamed, plain) = (open(&hub, true, 2), open(&hub, false, 1));
    push(
        &hub,
        &[
            (streamed, 1, None),
            (streamed | 1, 1, None),
            (plain, 1, None),
        ],
    );
    push(&hub, &[(streamed, 1, None)]);
    assert_eq!(hub.take_ready(), [streamed]);
    assert_eq!(hub.take_ready(), [] as [u64; 0]);
    push(&hub, &[(streamed, 1, None), (plain, 1, LENGTH)]);
    assert_eq!(hub.take_ready(), [streamed, plain]);
}

#[test]
fn a_taken_end_closes_the_stream() {
    let hub = hub();
    let key = open(&hub, false, 1);
    assert_eq!(take(&hub, key), (0, 0));
    push(&hub, &[(key, WORD, LENGTH)]);
    assert_eq!(
        (hub.num_open(), take(&hub, key).1, take(&hub, key)),
        (1, 200, (0, 499))
    );
    assert!(hub.num_open() == 0 && open_streams(&hub) == 0.0);
}

#[test]
fn the_engine_hears_of_rows_that_nobody_takes() {
    let hub = hub();
    let key = open(&hub, true, 2);
    let rows = [
        (key, WORD, None),
        (key | 1, WORD, LENGTH),
        (77 << CHOICE_BITS, 1, None),
    ];
    assert_eq!(push(&hub, &rows), [77 << CHOICE_BITS]);
    assert_eq!(
        push(&hub, &[(key, WORD, None)]),
        [key],
        "ended by its stop string"
    );
    assert_eq!(hub.metrics.count_of(Counter::TokensWasted), 1);
    assert_eq!(hub.metrics.count_of(Counter::GenerationTokens), 4);
    assert_eq!(hub.metrics.count_of(Counter::PromptTokens), 3);
}

#[test]
fn a_client_that_left_is_counted_once() {
    let hub = hub();
    let key = open(&hub, true, 1);
    push(&hub, &[(key, WORD, None)]);
    assert!(
        hub.cancel(key, 2.0)
            .is_some_and(|receipt| receipt.completion_tokens == 1)
            && hub.cancel(key, 2.0).is_none()
    );
    assert_eq!(push(&hub, &[(key, WORD, None)]), [key]);
    assert_eq!(hub.take_ready(), [key], "whoever waited hears of it");
    assert_eq!(take(&hub, key), (0, 499));
    let counts = [
        Counter::CancelledRequests,
        Counter::SuccessAbort,
        Counter::TokensWasted,
    ];
    assert_eq!(
        counts.map(|counter| hub.metrics.count_of(counter)),
        [1, 1, 2]
    );
    assert!(open_streams(&hub) == 0.0);
}

#[test]
fn a_slow_reader_ends_only_its_own_stream() {
    let hub = hub();
    let (slow, other) = (open(&hub, true, 1), open(&hub, true, 1));
    let is_freed = |_| push(&hub, &[(slow, 1, None), (other, 1, None)]).contains(&slow);
    let num_steps = (1..100)
        .find(|step| {
            take(&hub, other);
            is_freed(*step)
        })
        .unwrap();
    assert!(num_steps > 5, "{num_steps}");
    let frames = hub.take(slow, <[u8]>::to_vec);
    let text = String::from_utf8_lossy(&frames.read);
    assert!(
        text.contains("slow_reader") && text.ends_with("data: [DONE]\n\n") && frames.status == 408,
        "{text}"
    );
    assert_eq!(hub.rows_with_room(&[slow, other], 1 << 20), [false, true]);
    assert_eq!(hub.rows_with_room(&[other], 1), [false]);
}

#[test]
fn only_idle_streams_get_a_ping() {
    let hub = hub();
    let (streamed, _plain) = (open(&hub, true, 1), open(&hub, false, 1));
    assert!(!hub.ping_idle(9.0) && hub.ping_idle(10.0) && !hub.ping_idle(10.0));
    assert_eq!(hub.take_ready(), [streamed]);
    let taken = hub.take(streamed, <[u8]>::to_vec);
    assert_eq!((&taken.read[..], taken.status), (crate::sse::PING, 0));
    push(&hub, &[(streamed, 1, LENGTH)]);
    take(&hub, streamed);
    assert!(
        !hub.ping_idle(99.0),
        "an ended stream has nothing to keep alive"
    );
}

/// Engine, readers and leaving clients at once: every stream closes, every token is counted.
#[test]
fn nothing_is_lost_between_threads() {
    let hub = hub();
    let keys: Vec<u64> = (0..64).map(|n| open(&hub, n % 3 != 0, 1)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 0..50 {
                let end = if step == 49 { LENGTH } else { None };
                push(
                    &hub,
                    &keys.iter().map(|key| (*key, 97, end)).collect::<Vec<_>>(),
                );
            }
        });
        scope.spawn(|| {
            for key in keys.iter().step_by(7) {
                hub.cancel(*key, 1.0);
            }
        });
        scope.spawn(|| {
            while hub.num_open() > 0 {
                for key in hub.take_ready() {
                    take(&hub, key);
                }
            }
        });
    });
    assert!(open_streams(&hub) == 0.0);
    assert_eq!(hub.metrics.count_of(Counter::GenerationTokens), 64 * 50);
    let ends = [
        Counter::SuccessLength,
        Counter::SuccessAbort,
        Counter::SuccessError,
    ];
    let num_ends: u64 = ends
        .into_iter()
        .map(|counter| hub.metrics.count_of(counter))
        .sum();
    assert_eq!(num_ends, 64, "a reader that is too slow here ends by error");
}

#[test]
fn a_withdrawn_stream_leaves_no_trace() {
    let hub = hub();
    let key = open(&hub, false, 2);
    assert!(hub.withdraw(key));
    assert!(!hub.withdraw(key));
    assert!(open_streams(&hub).abs() < f64::EPSILON);
    assert_eq!(hub.metrics.count_of(Counter::SuccessError), 0);
    assert_eq!(hub.metrics.count_of(Counter::CancelledRequests), 0);
    assert_eq!(push(&hub, &[(key, WORD, None)]), [key]);
}

#[test]
fn a_row_that_was_not_a_number_ends_no_stream_but_its_own() {
    let hub = hub();
    let (broken, other) = (open(&hub, false, 1), open(&hub, false, 1));
    let rows = [
        (broken, -1, Some(FinishReason::Error)),
        (other, WORD, LENGTH),
    ];
    assert_eq!(
        push(&hub, &rows),
        [] as [u64; 0],
        "the engine knows its ends"
    );
    assert_eq!(hub.take_ready(), [broken, other]);
    assert_eq!((take(&hub, broken).1, take(&hub, other).1), (500, 200));
}
