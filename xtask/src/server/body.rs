//! Bodies of requests, read with limits.

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::time;

use super::BODY_WAIT;

/// The longest body of a request, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How much of a body that is too long is read all the same, in bytes. A connection that is closed while its client still
/// sends is reset, and the client may never see why.
const DRAINED_BYTES_MAX: usize = 1024 * 1024;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is longer than [`BODY_BYTES_MAX`].
    TooLong,
    /// It ended too early.
    Broken,
    /// It took longer than [`BODY_WAIT`].
    TooSlow,
}

/// Reads the body of a request, or says why not.
pub(crate) async fn read(incoming: Incoming) -> Result<Bytes, Trouble> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    time::timeout(BODY_WAIT, collect(incoming)).await.unwrap_or(Err(Trouble::TooSlow))
}

async fn collect(mut incoming: Incoming) -> Result<Bytes, Trouble> {
    if incoming.size_hint().lower() > DRAINED_BYTES_MAX as u64 {
        return Err(Trouble::TooLong);
    }
    let (mut body, mut length) = (Vec::new(), 0);
    // Bounded by the bytes that are drained, and by the time that the caller gives.
    while let Some(frame) = incoming.frame().await {
        let Ok(bytes) = frame.map_err(|_| Trouble::Broken)?.into_data() else { continue };
        length += bytes.len();
        if length > DRAINED_BYTES_MAX {
            break;
        }
        if length <= BODY_BYTES_MAX {
            body.extend_from_slice(&bytes);
        }
    }
    if length > BODY_BYTES_MAX { Err(Trouble::TooLong) } else { Ok(body.into()) }
}
