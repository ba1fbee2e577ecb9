//! Bodies of answers, whole or broken on purpose.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    body::{Body as HyperBody, Bytes, Frame, Incoming, SizeHint},
    http::StatusCode,
};
use tokio::time::{self, Sleep};

use super::answer::Answer;
use crate::server::body::{self, Trouble};

/// Reads the body of a request, or says why not.
pub(super) async fn read(incoming: Incoming) -> Result<Bytes, Answer> {
    body::read(incoming).await.map_err(|trouble| match trouble {
        Trouble::TooLong => {
            Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "a body may have up to 64 KiB")
        }
        Trouble::Broken => Answer::error(StatusCode::BAD_REQUEST, "BODY_BROKEN", "the body ended too early"),
        Trouble::TooSlow => Answer::error(StatusCode::REQUEST_TIMEOUT, "BODY_TOO_SLOW", "the body took too long"),
    })
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
