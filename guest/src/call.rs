//! One call of a key-value endpoint, as the router hands it over. Owns what an endpoint learns of its
//! request, and how a call ends with deferred changes. Knows no endpoint.

use alloc::borrow::Cow;

use larder_wire::Encoding;

use crate::answer;
use crate::bindings::larder::guest::blobs::Blob;
use crate::bindings::larder::guest::deferral;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::Changes;
use crate::error::Error;
use crate::memo::{Memo, Operations, Write};
use crate::options::Value;
use crate::partial_body::{self, ElidedRange};

/// A call whose caller, method and content type are in order.
pub struct Call<'a> {
    /// The body's bytes, without the elided range.
    pub body: &'a [u8],
    /// The range of the body that was elided, if one was.
    pub elided: Option<ElidedRange>,
    /// A handle on the whole body, when it is so large that its bytes are with the host.
    pub blob: Option<&'a Blob>,
    /// How the body is encoded.
    pub received: Encoding,
    /// How the answer is to be encoded.
    pub answer: Encoding,
}

impl Call<'_> {
    /// A handle on a large value with the host, when the body contains the value's bytes as they are.
    pub fn value_blob(&self, value: &Value<'_>) -> Option<Blob> {
        let (Some(blob), Cow::Borrowed(value)) = (self.blob, &value.0) else {
            return None;
        };
        let (offset, length) = partial_body::range_of(self.body, self.elided, value)?;
        Some(blob.slice(offset, length))
    }

    /// Ends the call with changes, which are made after it; the router's `resume` answers then. The host
    /// drops the response of this call. An error here means that nothing was deferred.
    pub fn end_with(
        &self,
        changes: Changes,
        write: Write,
        namespace: &str,
    ) -> Result<Response, Error> {
        self.end_with_operations(changes, write, namespace, Operations::default())
    }

    /// The same with changes of which each is a write of its own.
    pub fn end_with_operations(
        &self,
        changes: Changes,
        write: Write,
        namespace: &str,
        operations: Operations<'_>,
    ) -> Result<Response, Error> {
        let memo = Memo { write, answer: self.answer, namespace, operations }.to_bytes();
        deferral::defer(changes, &memo)
            .map_err(|error| Error::of_write(&error, write, namespace))?;
        Ok(answer::empty(200))
    }
}
