//! The published JSON Schema is the one that the types of the file give.

use std::{collections::BTreeSet, path::Path};

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{
    SCHEMA,
    fields::{Fields, known_names},
    raw::{
        RawAlerts, RawAllowedLeak, RawAuthority, RawConfig, RawEnvironment, RawEscrow, RawHealth, RawLeaks,
        RawRotation, RawSink, RawSource, RawStore, RawTrail, RawUnscanned, RawWebhook,
    },
};
use crate::{files, vars::Vars};

/// A reader of one table.
type Read = fn(&mut Fields<'_>);

fn generated() -> String {
    let generator = SchemaSettings::draft07().for_deserialize().into_generator();
    let schema = generator.into_root_schema_for::<RawConfig>();
    format!("{}\n", serde_json::to_string_pretty(&schema).expect("a schema is JSON"))
}

#[test]
fn the_published_schema_is_current() {
    let schema = generated();
    if Vars::of_process().text("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/license.schema.json");
        files::replace(&path, schema.as_bytes()).unwrap();
        return;
    }
    assert!(schema == SCHEMA, "docs/license.schema.json is out of date: `UPDATE=1 cargo test -p xtask schema`");
}

#[test]
fn the_schema_has_exactly_the_fields_that_are_read() {
    let schema: Value = serde_json::from_str(&generated()).unwrap();
    let of = |name: &str| match name {
        "" => &schema["properties"],
        name => &schema["definitions"][name]["properties"],
    };
    let tables: [(&str, Read); 15] = [
        ("", |fields| drop(RawConfig::read(fields))),
        ("Trail", |fields| drop(RawTrail::read(fields))),
        ("Escrow", |fields| drop(RawEscrow::read(fields))),
        ("Leaks", |fields| drop(RawLeaks::read(fields))),
        ("AllowedLeak", |fields| drop(RawAllowedLeak::read(fields))),
        ("Unscanned", |fields| drop(RawUnscanned::read(fields))),
        ("Alerts", |fields| drop(RawAlerts::read(fields))),
        ("Webhook", |fields| drop(RawWebhook::read(fields))),
        ("Authority", |fields| drop(RawAuthority::read(fields))),
        ("Store", |fields| drop(RawStore::read(fields))),
        ("Sink", |fields| drop(RawSink::read(fields))),
        ("Environment", |fields| drop(RawEnvironment::read(fields))),
        ("Health", |fields| drop(RawHealth::read(fields))),
        ("Rotation", |fields| drop(RawRotation::read(fields))),
        ("Source", |fields| drop(RawSource::read(fields))),
    ];
    for (name, read) in tables {
        let described: BTreeSet<&str> = of(name).as_object().unwrap().keys().map(String::as_str).collect();
        let read: BTreeSet<&str> = known_names(read).into_iter().collect();
        assert_eq!(described, read, "the fields of `{name}`");
    }
}

#[test]
fn every_field_of_the_schema_is_described() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let definitions = schema["definitions"].as_object().unwrap().values();
    let tables = definitions.chain([&schema]).filter_map(|table| table["properties"].as_object());
    for (name, field) in tables.flatten() {
        assert!(
            field["description"].as_str().is_some_and(|text| text.ends_with('.') || text.ends_with("`.")),
            "{name}"
        );
    }
}
