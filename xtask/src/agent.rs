//! How a server is spoken to that holds a secret of ours, or gets one: one host, no redirects, every bound said.
//!
//! Every request has a connection of its own: one that the server closed meanwhile would leave a request in doubt.

use std::time::Duration;

use ureq::{Agent, tls::TlsConfig};

use crate::authority::{
    AskError,
    remote::{
        place::{Base, Reach, Via},
        roots,
    },
};

/// Looking up the name, and then connecting, take no longer each, in seconds.
pub(crate) const CONNECT_SECS_MAX: u64 = 5;
/// An answer's header is read so far, in bytes.
pub(crate) const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Makes the client; nothing is sent yet. Every rule is written down, also where it equals today's default.
pub(crate) fn new(base: &Base, via: Option<&Via>, ca_pem: Option<&[u8]>, timeout: Duration) -> Result<Agent, AskError> {
    let mut tls = TlsConfig::builder().use_sni(true).disable_verification(false);
    if base.is_https() {
        tls = tls.root_certs(roots::trusted(ca_pem)?);
    }
    let connect = timeout.min(Duration::from_secs(CONNECT_SECS_MAX));
    Ok(Agent::config_builder()
        .http_status_as_error(false)
        .https_only(base.reach == Reach::Network)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never)
        .proxy(via.map(|via| via.proxy.clone()))
        .tls_config(tls.build())
        .user_agent(concat!("license-hooks/", env!("CARGO_PKG_VERSION")))
        .no_delay(true)
        .timeout_global(Some(timeout))
        .timeout_per_call(Some(timeout))
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        .timeout_send_request(Some(timeout))
        .timeout_send_body(Some(timeout))
        .timeout_recv_response(Some(timeout))
        .timeout_recv_body(Some(timeout))
        .max_response_header_size(HEADER_BYTES_MAX)
        .max_idle_connections(0)
        .max_idle_connections_per_host(0)
        .build()
        .new_agent())
}
