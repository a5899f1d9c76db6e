use super::testing::{Array, api, call, our_api};
use super::{Call, Error, Handler};
use crate::c_api::{API_MAJOR, API_MINOR};

const INVALID: i32 = 3;
const INTERNAL: i32 = 13;

/// Doubles x [N] into a result, as the attribute `way` says.
struct Double;

impl Handler for Double {
    const NAME: &'static str = "double";

    fn run(call: &Call<'_>) -> Result<(), Error> {
        let x = call.operand::<f32>(0, "x", 1..2)?;
        let out = call.result::<f32>(0, "the double", 1..2)?;
        assert!(call.text("way")? != "panic", "a way that there is not");
        for (place, number) in out.data.iter_mut().zip(x.data) {
            *place = 2.0 * number;
        }
        if call.text("way")? == "twice" {
            call.result::<f32>(0, "the double", 1..2)?;
        }
        Ok(())
    }
}

fn double(way: &str, dims: &[i64]) -> (Option<(i32, String)>, [f32; 2]) {
    let (mut x, mut out) = ([1.5, -2.0], [0.0; 2]);
    let told = call::<Double>(
        &our_api(),
        &[Array::new(&mut x, dims)],
        &[Array::new(&mut out, &[2])],
        &[("way", way)],
    );
    (told, out)
}

#[test]
fn a_call_is_done() {
    assert_eq!(double("once", &[2]), (None, [3.0, -4.0]));
}

#[test]
fn a_panic_is_the_error_of_its_call_and_the_next_is_done() {
    let (told, _) = double("panic", &[2]);
    let (code, text) = told.unwrap();
    assert_eq!(code, INTERNAL);
    assert!(
        text.contains("double panicked: a way that there is not"),
        "{text}"
    );
    assert_eq!(double("once", &[2]).0, None);
}

#[test]
fn an_operand_of_another_shape_or_type_is_refused_by_name() {
    let (told, _) = double("once", &[2, 1]);
    assert_eq!(told, Some((INVALID, "x has 2 axes, not 1..2".to_owned())));
    assert_eq!(
        double("once", &[-2]).0,
        Some((INVALID, "x has no sizes".to_owned()))
    );
    assert_eq!(
        double("once", &[i64::MAX]).0,
        Some((INVALID, "x is too large".to_owned()))
    );
    let (mut x, mut out) = ([1_i32, 2], [0.0; 2]);
    let told = call::<Double>(
        &our_api(),
        &[Array::new(&mut x, &[2])],
        &[Array::new(&mut out, &[2])],
        &[],
    );
    assert_eq!(
        told,
        Some((INVALID, "x is of type 4, not 11 (float32)".to_owned()))
    );
    assert_eq!(
        call::<Double>(&our_api(), &[], &[], &[]),
        Some((INVALID, "x is missing".to_owned()))
    );
}

#[test]
fn a_missing_attribute_is_refused_by_name() {
    let (mut x, mut out) = ([1.0, 2.0], [0.0; 2]);
    let told = call::<Double>(
        &our_api(),
        &[Array::new(&mut x, &[2])],
        &[Array::new(&mut out, &[2])],
        &[("day", "x")],
    );
    assert_eq!(
        told,
        Some((
            INVALID,
            "attribute way is missing or of another type".to_owned()
        ))
    );
}

#[test]
fn memory_is_handed_out_once() {
    let mut x = [1.0, 2.0, 3.0];
    let operand = Array::new(&mut x[..2], &[2]);
    let result = Array::new(&mut x[1..], &[2]);
    let told = call::<Double>(&our_api(), &[operand], &[result], &[("way", "once")]);
    assert_eq!(
        told,
        Some((INVALID, "x lies in the memory of a result".to_owned()))
    );
    assert_eq!(
        double("twice", &[2]).0,
        Some((INTERNAL, "the double was taken before".to_owned()))
    );
}

#[test]
fn another_version_of_xla_is_refused() {
    for (major, minor) in [(API_MAJOR + 1, 0), (API_MAJOR, API_MINOR - 1)] {
        let (code, text) = call::<Double>(&api(major, minor), &[], &[], &[]).unwrap();
        assert_eq!(code, INTERNAL);
        assert!(text.contains(&format!("version {major}.{minor}")), "{text}");
    }
    let mut shorter = our_api();
    shorter.struct_size -= 8;
    assert!(
        call::<Double>(&shorter, &[], &[], &[])
            .unwrap()
            .1
            .contains("shorter")
    );
}
