//! `v1.kv.batch`: changes several keys of one namespace, all or none, under checks if asked to.

use alloc::format;
use alloc::vec::Vec;

use larder_wire::Encoding;

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{Changes, Outcome};
use crate::call::Call;
use crate::codec::{self, Document, ELEMENT_FIELDS_MAX, Elements, Field, Node, Shape};
use crate::encoder::Encoder;
use crate::endpoint::add::{self, Add, AddFields};
use crate::endpoint::delete::Delete;
use crate::endpoint::set::Set;
use crate::endpoint::touch::Touch;
use crate::error::Error;
use crate::items::{ITEMS_MAX, Items};
use crate::memo::{Operations, Write};
use crate::options::{Expected, Key, Namespace, Parse, required, unexpected, unknown_name};

/// Bytes of an encoded result, about.
const RESULT_BYTES: usize = 32;
const NAMES: &[&str; 3] = &["namespace", "checks", "operations"];
/// The places of the arrays among the names.
const CHECKS: usize = 1;
const OPERATIONS: usize = 2;
const CHECK_NAMES: &[&str] = &["key", "version"];
const OPERATION_NAMES: &[&str; ELEMENT_FIELDS_MAX] =
    &["op", "key", "value", "ttl_ms", "behavior", "version", "delta", "initial", "min", "max"];
/// What `op` may be.
const OPS: &str = "set, delete, touch or add";

/// A valid request.
pub struct Batch<'a> {
    /// The namespace to write in.
    pub namespace: Option<Namespace<'a>>,
    /// What must hold before any operation.
    pub checks: Vec<Check<'a>>,
    /// The operations.
    pub operations: Vec<Operation<'a>>,
}

/// A version that a key must have, 0 for absent.
pub struct Check<'a> {
    /// The key.
    pub key: Key<'a>,
    /// The version.
    pub version: u64,
}

/// One operation, as its own route would take it.
pub enum Operation<'a> {
    /// `v1.kv.set`.
    Set(Set<'a>),
    /// `v1.kv.delete`.
    Delete(Delete<'a>),
    /// `v1.kv.touch`.
    Touch(Touch<'a>),
    /// `v1.kv.add`.
    Add(Add<'a>),
}

/// Fields of an element.
type ElementFields<'a> = [Field<'a>; ELEMENT_FIELDS_MAX];

impl<'a> Check<'a> {
    fn parse(fields: ElementFields<'a>) -> Result<Self, Error> {
        let [key, version, ..] = fields;
        let key = Key::parse(key)?;
        let version = Expected::parse(version)?;
        let version = required("version", version)?.0;
        Ok(Self { key: required("key", key)?, version })
    }
}

impl<'a> Operation<'a> {
    fn parse(fields: ElementFields<'a>) -> Result<Self, Error> {
        let [op, key, value, ttl, behavior, version, delta, initial, min, max] = fields;
        let name = match op.node {
            None => return required("op", None),
            Some(Node::Text(name)) => name,
            Some(node) => return Err(unexpected(op.name, OPS, &node)),
        };
        Ok(match &*name {
            "set" => Self::Set(Set::parse(None, key, value, ttl, behavior, version)?),
            "delete" => Self::Delete(Delete::parse(None, key, version)?),
            "touch" => Self::Touch(Touch::parse(key, ttl, version)?),
            "add" => {
                Self::Add(Add::parse(AddFields { key, delta, initial, min, max, ttl, version })?)
            }
            _ => return Err(unknown_name(op.name, OPS)),
        })
    }

    fn write(&self) -> Write {
        match self {
            Self::Set(_) => Write::Set,
            Self::Delete(_) => Write::Delete,
            Self::Touch(_) => Write::Touch,
            Self::Add(_) => Write::Add,
        }
    }
}

/// The arrays of a body, while it is read.
struct Arrays<'a> {
    checks: Items<Check<'a>>,
    operations: Items<Operation<'a>>,
}

impl<'a> Elements<'a> for Arrays<'a> {
    fn shape(&self, field: usize) -> Option<Shape> {
        match field {
            CHECKS => Some(Shape::Maps { names: CHECK_NAMES, bytes: None }),
            OPERATIONS => Some(Shape::Maps { names: OPERATION_NAMES, bytes: Some("value") }),
            _ => None,
        }
    }

    fn value(&mut self, field: usize, index: usize, value: Node<'a>) {
        let error = || unexpected(".", "a map", &value);
        match field {
            CHECKS => self.checks.take("checks", index, || Err(error())),
            _ => self.operations.take("operations", index, || Err(error())),
        }
    }

    fn map(&mut self, field: usize, index: usize, map: Document<'a, ELEMENT_FIELDS_MAX>) {
        match field {
            CHECKS => self.checks.take("checks", index, || {
                let name = |index| CHECK_NAMES.get(index).copied().unwrap_or_default();
                Check::parse(map.into_fields(name)?)
            }),
            _ => self.operations.take("operations", index, || {
                Operation::parse(map.into_fields(|index| OPERATION_NAMES[index])?)
            }),
        }
    }
}

/// Decodes and validates the body.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<Batch<'_>, Error> {
    let mut arrays = Arrays { checks: Items::new(), operations: Items::new() };
    let [namespace, mut checks, operations] =
        codec::decode_with_elements(body, encoding, NAMES, &mut arrays)?;
    let namespace = Namespace::parse(namespace)?;
    // Null is the same as absent.
    checks.node = checks.node.filter(|node| *node != Node::Null);
    let (checks, checks_count) = arrays.checks.finish(&checks)?.unwrap_or_default();
    let operations = arrays.operations.finish(&operations)?;
    let (operations, count) = required("operations", operations)?;
    if count == 0 || checks_count + count > ITEMS_MAX {
        let detail = format!(
            "Expected at least one operation, and up to {ITEMS_MAX} with the checks, found {count} \
             and {checks_count} checks."
        );
        return Err(Error::invalid_data("operations", detail));
    }
    Ok(Batch { namespace, checks, operations })
}

/// Ends the call with the operations, if the checks hold.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let Batch { namespace, checks, operations } = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(namespace.as_ref())?;
    let changes = Changes::new(namespace);
    for check in checks {
        changes.check(&check.key.0, check.version);
    }
    for operation in &operations {
        match operation {
            Operation::Set(set) => set.add_to(&changes, call),
            Operation::Delete(delete) => delete.add_to(&changes),
            Operation::Touch(touch) => touch.add_to(&changes),
            Operation::Add(add) => add.add_to(&changes),
        }
    }
    let writes: Vec<u8> = operations.iter().map(|operation| operation.write().byte()).collect();
    let writes = Operations::of_bytes(&writes);
    call.end_with_operations(changes, Write::Batch, namespace, writes)
}

/// The answer to a batch, after its commit: what each operation's route would answer. None when an
/// operation is not of a batch's.
pub fn answer(
    operations: Operations<'_>,
    outcome: &Outcome,
    encoding: Encoding,
) -> Option<Response> {
    let operations = operations.writes();
    let mut encoder = Encoder::new(encoding, RESULT_BYTES * operations.len());
    let mut newest = 0;
    encoder.begin_map(1);
    encoder.name("results");
    encoder.begin_array(operations.len());
    for (index, write) in (0..).zip(operations) {
        newest = outcome.version(index);
        match write? {
            Write::Set | Write::Touch => encode_version(&mut encoder, newest),
            Write::Delete => encode_success(&mut encoder, outcome.existed(index)),
            Write::Add => add::encode(&mut encoder, outcome.sum(index)?, newest),
            Write::Configure | Write::Batch | Write::DeleteNamespace => return None,
        }
    }
    encoder.end_array();
    encoder.end_map();
    let response = answer::parts(200, encoding, encoder.into_parts());
    Some(answer::with_mutation_version(response, newest))
}

fn encode_version(encoder: &mut Encoder, version: u64) {
    encoder.begin_map(1);
    encoder.name("version");
    encoder.number(version);
    encoder.end_map();
}

fn encode_success(encoder: &mut Encoder, success: bool) {
    encoder.begin_map(1);
    encoder.name("success");
    encoder.flag(success);
    encoder.end_map();
}
