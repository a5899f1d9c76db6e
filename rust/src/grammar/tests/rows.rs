//! Rows by themselves and all at once.

use std::time::Duration;

use super::super::{GrammarRows, Kind, Taken};
use super::{EOS, allows, compile};

const WAIT: Duration = Duration::from_secs(10);

/// Ready rows' keys.
fn ready(keys: &[u64], taken: &Taken) -> Vec<u64> {
    let place = |index: &i32| usize::try_from(*index).expect("a place");
    taken
        .indices
        .iter()
        .map(|index| keys[place(index)])
        .collect()
}

#[test]
fn rows_go_their_ways_by_themselves() {
    let rows = GrammarRows::new(2);
    rows.join(1, compile(Kind::Choice, r#"["ab"]"#));
    rows.join(2, compile(Kind::Regex, "[0-9]*"));
    let keys = [1, 2, 3];
    let first = rows.take_ready(&keys, WAIT);
    assert_eq!(ready(&keys, &first), [1, 2]);
    let (one, two) = first.masks.split_at(first.masks.len() / 2);
    assert!(allows(one, u32::from(b'a')) && !allows(one, EOS));
    assert!(allows(two, u32::from(b'7')) && allows(two, EOS));
    assert_eq!(
        rows.take_ready(&keys, Duration::ZERO),
        Taken::default(),
        "taken once"
    );
    rows.advance(&[1, 2], &[i32::from(b'a'), -1], &[false, false]);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(ready(&keys, &rows.take_ready(&keys, WAIT)));
    }
    rows.advance(
        &[1, 2],
        &[i32::from(b'b'), i32::from(b'x')],
        &[false, false],
    );
    let (mut complete, mut failed) = (Vec::new(), Vec::new());
    while complete.len() + failed.len() < 2 {
        let taken = rows.take_ready(&keys, WAIT);
        complete.extend(taken.complete);
        failed.extend(taken.failed.into_iter().map(|(key, _)| key));
    }
    assert_eq!((complete, failed), (vec![1], vec![2]));
    assert_eq!(
        rows.take_ready(&keys, Duration::ZERO),
        Taken::default(),
        "told once"
    );
    rows.leave(1);
    rows.leave(2);
    rows.leave(3);
    assert!(rows.is_empty());
}

#[test]
fn a_row_that_left_meanwhile_is_forgotten() {
    let rows = GrammarRows::new(1);
    for key in 0..50 {
        rows.join(key, compile(Kind::JsonObject, ""));
        let _ = rows.take_ready(&[key], WAIT);
        rows.advance(&[key], &[i32::from(b'{')], &[false]);
        rows.leave(key);
    }
    assert_eq!(
        rows.take_ready(&(0..50).collect::<Vec<_>>(), WAIT),
        Taken::default()
    );
    assert!(rows.is_empty());
}

#[test]
fn a_row_that_ended_by_its_token_waits_to_leave() {
    let rows = GrammarRows::new(1);
    rows.join(1, compile(Kind::Regex, "a*"));
    let _ = rows.take_ready(&[1], WAIT);
    rows.advance(&[1], &[EOS.cast_signed()], &[true]);
    assert_eq!(rows.take_ready(&[1], Duration::ZERO), Taken::default());
    rows.leave(1);
}
