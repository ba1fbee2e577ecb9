//! The empty handler: the HTTP library of `authority serve`, set up the same way, with an answer that never changes.

use std::{
    convert::Infallible,
    io::{self, Write},
    pin::pin,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Response,
    body::{Bytes, Incoming},
    http::{HeaderValue, Request, header},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, runtime};

/// Starts this program as the server; the length of the answer's body follows.
pub(crate) const ARGUMENT: &str = "serve-fixed-answers";

/// Serves until it is killed. Its first line on stdout is the port.
pub(crate) fn serve(length: usize) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut stdout = io::stdout();
        writeln!(stdout, "{}", listener.local_addr().unwrap().port()).unwrap();
        let body = Bytes::from(vec![b' '; length]);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let body = body.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |_: Request<Incoming>| {
                    let answer = answer(body.clone());
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(60))
                    .max_buf_size(32 * 1024)
                    .serve_connection(TokioIo::new(stream), answer);
                // A client that goes away is no news.
                let _ = pin!(connection).await;
            });
        }
    });
}

fn answer(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
