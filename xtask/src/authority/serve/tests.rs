//! The server over a real socket is tested through the real binary, in the integration tests.

use super::*;
use crate::context;

fn settings(listen: &str) -> Settings {
    Settings {
        listen: listen.parse().unwrap(),
        token: Some(ApiToken::new("to_test_token")),
        refuse_with: RefuseWith::Ok,
        keep_previous: KeepPreviousKeys::One,
        idempotency: Idempotency::Honor,
        list_keys: ListKeys::Masked,
        latency: Duration::ZERO,
        faults: Vec::new(),
    }
}

#[test]
fn a_server_that_others_can_reach_needs_a_token_and_breaks_nothing() {
    let open = |change: fn(&mut Settings)| {
        let mut settings = settings("0.0.0.0:0");
        change(&mut settings);
        refuse_unsafe(&settings)
    };
    assert!(open(|_| {}).is_ok());
    assert!(matches!(open(|settings| settings.token = None), Err(ServeError::Open { .. })));
    let fault = |settings: &mut Settings| settings.faults = vec!["drop-valid".parse().unwrap()];
    assert!(matches!(open(fault), Err(ServeError::FaultsInTheOpen { .. })));
    let plain = |settings: &mut Settings| settings.list_keys = ListKeys::Plain;
    assert!(matches!(open(plain), Err(ServeError::KeysInTheOpen { .. })));
    let mut local = settings("[::1]:0");
    local.token = None;
    assert!(refuse_unsafe(&local).is_ok());
}

#[test]
fn an_address_that_is_taken_is_a_clear_error() {
    let state = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test holds the port")]
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings("127.0.0.1:0");
    settings.listen = held.local_addr().unwrap();
    let authority = Embedded::at(state.path(), context::now);
    let error = run(settings, authority, &mut Vec::new(), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ServeError::Listen { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Usage);
}
