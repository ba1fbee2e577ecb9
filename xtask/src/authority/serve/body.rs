//! Bodies of requests, read with limits, and bodies of answers, whole or broken on purpose.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::{
    body::{Body as HyperBody, Bytes, Frame, Incoming, SizeHint},
    http::StatusCode,
};
use tokio::time::{self, Sleep};

use super::answer::Answer;

/// The longest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How much of a body that is too long is read all the same, in bytes. A connection that is closed while its client still
/// sends is reset, and the client may never see why.
const DRAINED_BYTES_MAX: usize = 1024 * 1024;

/// Reads the body of a request, or says why not.
pub(super) async fn read(incoming: Incoming, wait: Duration) -> Result<Bytes, Answer> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    match time::timeout(wait, collect(incoming)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(Trouble::TooLong)) => {
            Err(Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "a body may have up to 64 KiB"))
        }
        Ok(Err(Trouble::Broken)) => {
            Err(Answer::error(StatusCode::BAD_REQUEST, "BODY_BROKEN", "the body ended too early"))
        }
        Err(_) => Err(Answer::error(StatusCode::REQUEST_TIMEOUT, "BODY_TOO_SLOW", "the body took too long")),
    }
}

enum Trouble {
    TooLong,
    Broken,
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

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    /// As it should be.
    Whole(Option<Bytes>),
    /// The first half of it; then the connection breaks.
    Half {
        /// The half that is sent.
        half: Option<Bytes>,
        /// The length that was promised.
        promised: u64,
        /// Runs while the half travels.
        pause: Pin<Box<Sleep>>,
    },
    /// Many bytes that mean nothing.
    Huge {
        /// How many are left to send.
        left: u64,
    },
}

/// How long the half of a broken body may travel before the connection breaks.
const HALF_PAUSE: Duration = Duration::from_millis(50);

const CHUNK: &[u8] = &[b' '; 16 * 1024];

impl Body {
    /// As it should be.
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    /// The first half of it.
    pub(super) fn half(bytes: Vec<u8>) -> Self {
        // Even an empty body promises something, or nothing would be missing.
        let promised = (bytes.len() as u64).max(1);
        let bytes = Bytes::from(bytes);
        Self::Half { half: Some(bytes.slice(..bytes.len() / 2)), promised, pause: Box::pin(time::sleep(HALF_PAUSE)) }
    }
}

impl HyperBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => {
                Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Half { half, pause, .. } => match half.take() {
                Some(half) => Poll::Ready(Some(Ok(Frame::data(half)))),
                None => pause.as_mut().poll(cx).map(|()| Some(Err(io::ErrorKind::ConnectionAborted.into()))),
            },
            Self::Huge { left: 0 } => Poll::Ready(None),
            Self::Huge { left } => {
                let chunk = usize::try_from(*left).unwrap_or(CHUNK.len()).min(CHUNK.len());
                *left -= chunk as u64;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK[..chunk])))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Half { .. } => false,
            Self::Huge { left } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Half { promised, .. } => SizeHint::with_exact(*promised),
            Self::Huge { left } => SizeHint::with_exact(*left),
        }
    }
}
