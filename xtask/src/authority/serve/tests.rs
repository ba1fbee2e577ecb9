//! The server over a real socket is tested through the real binary, in the integration tests.

use std::{future::pending, io};

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
    let error = run(settings, authority, server::lines(), pending(), &mut Vec::new(), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ServeError::Server(ServerError::Listen { .. })), "{error}");
    assert_eq!(error.exit(), Exit::Usage);
}

/// Passes what the server says to the test.
struct Heard(std::sync::mpsc::Sender<String>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server that ends with the test's process, and its base address.
fn served(settings: Settings, authority: Embedded) -> String {
    let (said, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        run(settings, authority, server::lines(), pending(), &mut Heard(said), &mut io::sink()).unwrap();
    });
    let mut line = String::new();
    while !line.ends_with('\n') {
        line += &hears.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    line.trim_end().strip_prefix("listening on ").unwrap().to_owned()
}

#[test]
fn our_client_rotates_and_lists_at_our_server_in_both_dialects() {
    use license_core::{KeyClass, license::ActivationLimit, registry::Terms, rotation::CallOutcome};

    use crate::authority::{
        Answered, Extent, RotateOrder, read_rotated,
        remote::{Access, Remote},
        wire::rotate::Dialect,
    };

    let state = tempfile::tempdir().unwrap();
    let terms = Terms {
        class: KeyClass::Prd,
        plan: "standard".to_owned(),
        domains: vec!["app.com".to_owned()],
        features: std::collections::BTreeSet::new(),
        activations_used: 0,
        activation_limit: ActivationLimit::Unlimited,
        expires_at: None,
    };
    let issued = Embedded::at(state.path(), context::now).issue(terms).unwrap();
    let mut settings = settings("127.0.0.1:0");
    settings.list_keys = ListKeys::Plain;
    let url = served(settings, Embedded::at(state.path(), context::now));
    let id = issued.license_id.as_str();
    let mut keys = vec![issued.key.key().reveal().to_owned()];
    for (dialect, rotation_id) in [(Dialect::Article, "rot-1"), (Dialect::Sdk, "rot-2")] {
        let access = Access {
            url: url.clone(),
            token: Some(zeroize::Zeroizing::new("to_test_token".to_owned())),
            token_from: "the test".to_owned(),
            ca_pem: None,
            dialect,
            timeout: Duration::from_secs(10),
            connections_max: 1,
            clock: context::now,
        };
        let remote = Remote::new(access, &crate::vars::Vars::default(), None).unwrap();
        let timeout = Duration::from_secs(20);
        let order = RotateOrder { license_id: id, grace_days: 7, rotation_id, timeout };
        for _ in 0..2 {
            let Answered::Body(body) = remote.rotate(&order) else { panic!("{dialect:?}: no body") };
            keys.push(read_rotated(&body).unwrap().key.reveal().to_owned());
        }
        let nobody = RotateOrder { license_id: "lic_0000000000000000", rotation_id: "rot-0", ..order };
        let refused = CallOutcome::Refused { code: "LICENSE_NOT_FOUND".to_owned() };
        assert!(matches!(remote.rotate(&nobody), Answered::No(outcome) if outcome == refused));
        let listing = remote.list().unwrap();
        assert_eq!(listing.extent, Extent::Whole);
        let listed = listing.licenses;
        let shown = listed[0].shown_key.as_ref().map(|key| key.to_string());
        assert_eq!((listed.len(), listed[0].license_id.as_str(), shown.as_ref()), (1, id, keys.last()));
    }
    // The same rotation twice gives the same key, another one another.
    keys.dedup();
    assert_eq!(keys.len(), 3);
}
