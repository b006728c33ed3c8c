//! Makes bodies as trees: most fields as an endpoint takes them, some not. Knows no encoding.

use rmpv::Value;

use super::endpoint::Endpoint;
use super::rules::{self, ITEMS_MAX, Kind, Rule};
use super::tree::text;
use crate::choices::Choices;

/// How many fields there are for one that is of any kind.
const FIELDS_PER_WRONG: usize = 24;

/// Numbers about which something changes.
const NUMBERS: [u64; 12] = [
    0,
    1,
    255,
    256,
    1000,
    1001,
    (1 << 53) - 1,
    1 << 53,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// A body for the endpoint.
pub fn body(choices: &mut Choices<'_>, endpoint: Endpoint) -> Value {
    if choices.rarely(64) {
        return anything(choices);
    }
    let mut fields = fields(choices, rules::of_endpoint(endpoint));
    match endpoint {
        Endpoint::GetMany => {
            let count = choices.one_of(&[1, 2, 3, 4, 5, 6, 7, 0, ITEMS_MAX, ITEMS_MAX + 1]);
            let keys = array(choices, count, |choices| value(choices, Kind::Key));
            fields.push((text("keys"), keys));
        }
        Endpoint::Batch => {
            let counts =
                [(0, 1), (1, 1), (2, 3), (0, 5), (3, 1), (1, 0), (0, 1000), (1, 1000), (999, 1)];
            let (checks, operations) = choices.one_of(&counts);
            let check = |choices: &mut Choices<'_>| map(choices, rules::OF_CHECK, None);
            let checks = if checks > 0 || choices.rarely(4) {
                array(choices, checks, check)
            } else {
                Value::Nil
            };
            fields.push((text("checks"), checks));
            fields.push((text("operations"), array(choices, operations, operation)));
        }
        _ => {}
    }
    shuffle(choices, &mut fields);
    Value::Map(fields)
}

/// An array of so many elements, of which one may be unlike the others when they are many.
fn array(
    choices: &mut Choices<'_>,
    count: usize,
    element: impl Fn(&mut Choices<'_>) -> Value,
) -> Value {
    if choices.rarely(48) {
        return anything(choices);
    }
    if count < 10 {
        return Value::Array((0..count).map(|_| element(choices)).collect());
    }
    let mut elements = vec![element(choices); count];
    elements[choices.below(count)] = element(choices);
    Value::Array(elements)
}

fn operation(choices: &mut Choices<'_>) -> Value {
    let op = choices.one_of(&rules::OPS);
    let rules = rules::of_operation(op).unwrap_or_default();
    let op = if choices.rarely(24) { anything(choices) } else { text(op) };
    map(choices, rules, Some(op))
}

fn map(choices: &mut Choices<'_>, rules: &[Rule], op: Option<Value>) -> Value {
    if choices.rarely(32) {
        return anything(choices);
    }
    let mut fields = fields(choices, rules);
    fields.extend(op.map(|op| (text("op"), op)));
    shuffle(choices, &mut fields);
    Value::Map(fields)
}

fn fields(choices: &mut Choices<'_>, rules: &[Rule]) -> Vec<(Value, Value)> {
    let mut fields = Vec::new();
    for (name, kind, required) in rules {
        let absent = if *required { choices.rarely(24) } else { choices.below(2) == 0 };
        if !absent {
            fields.push((text(name), value(choices, *kind)));
        }
    }
    fields
}

/// Moves fields, and now and then adds one that is not known, or one that is there already.
fn shuffle(choices: &mut Choices<'_>, fields: &mut Vec<(Value, Value)>) {
    if choices.rarely(8) {
        let name = choices.one_of(&["x", "", "Key", "max", "value", "\u{e9}\n"]);
        fields.push((text(name), anything(choices)));
    }
    if choices.rarely(32) && !fields.is_empty() {
        fields.push(fields[choices.below(fields.len())].clone());
    }
    if !fields.is_empty() {
        let first = choices.below(fields.len());
        fields.rotate_left(first);
    }
}

/// A value of this kind, or rarely one of any.
fn value(choices: &mut Choices<'_>, kind: Kind) -> Value {
    if choices.rarely(FIELDS_PER_WRONG) {
        return anything(choices);
    }
    let (name, number) = (long_name(choices), choices.one_of(&NUMBERS));
    match kind {
        Kind::Key => text(choices.one_of(&["k", "a:b", "aZ09-/_.=+:", &name])),
        Kind::Name | Kind::Namespace => text(choices.one_of(&["n", "default", "aZ-/_.=+", &name])),
        Kind::Ttl => choices.one_of(&[1, 60_000, u64::MAX]).into(),
        Kind::Version => number.into(),
        Kind::Behavior => text(choices.one_of(&["upsert", "insert", "update"])),
        Kind::Bytes => match choices.below(4) {
            0 => text("v"),
            1 => Value::Binary(vec![0, 9, 10, 99, 100, 255]),
            2 => Value::Array(vec![0.into(), 255.into()]),
            _ => Value::Array(Vec::new()),
        },
        Kind::Integer => choices.one_of(&[1, -1, 0, i64::MAX, i64::MIN, -32, -33, -129]).into(),
        Kind::Flag => (choices.below(2) == 1).into(),
        Kind::Limit => choices.one_of(&[1, 100, 1000]).into(),
        Kind::Bound => text(choices.one_of(&["", "a", "\u{e9} \"\\\0", &name])),
        Kind::Quota => choices.one_of(&[0, 1, (1_u64 << 53) - 1]).into(),
    }
}

/// A name of about the longest that may be.
fn long_name(choices: &mut Choices<'_>) -> String {
    "n".repeat(choices.one_of(&[256, 255, 256, 255, 256, 257]))
}

fn anything(choices: &mut Choices<'_>) -> Value {
    let name = long_name(choices);
    match choices.below(10) {
        0 => Value::Nil,
        1 => (choices.below(2) == 1).into(),
        2 | 3 => choices.one_of(&NUMBERS).into(),
        4 => choices.one_of(&[-1, i64::MIN]).into(),
        5 => Value::F64(choices.one_of(&[1.5, 1.0, -1.0, 1e300])),
        6 | 7 => {
            text(choices.one_of(&["", "a b", "a:b", "\u{e9}", "a\0", "SET", "1", "null", &name]))
        }
        8 => Value::Array(
            choices
                .one_of(&[&[][..], &[1], &[255, 256], &[-1]])
                .iter()
                .map(|number| Value::from(*number))
                .collect(),
        ),
        _ => Value::Map(vec![(text("key"), Value::Array(vec![Value::Map(Vec::new())]))]),
    }
}
