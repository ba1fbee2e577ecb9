//! The folded state: the tables of what it answers, its bounds, and that halves make a whole.

use alloc::{borrow::ToOwned, format, vec};

use proptest::prelude::*;

use super::*;
use crate::{
    license::Answer,
    rotation::RunId,
    trail::{
        Source, Trouble,
        tests::{at, demand, every_event, fingerprint, go, record},
    },
};

fn gates(gates: Vec<GateRecord>) -> Vec<Record> {
    (1..).zip(gates).map(|(secs, gate)| record(secs, Event::Gate(gate))).collect()
}

fn found_at(records: &[Record]) -> Option<i64> {
    let folded = Folded::replay(records).unwrap();
    folded.last_good(&fingerprint("TO-PRD-1"), &demand()).map(|(_, at)| at.as_second())
}

#[test]
fn the_last_good_decision_is_the_newest_of_this_key_and_demand() {
    let other_key = || GateRecord { key_fingerprint: fingerprint("TO-PRD-2"), ..go() };
    let other_demand = || GateRecord { demand: Demand { min_days_left: 4, ..demand() }, ..go() };
    let refused = || GateRecord { verdict: Verdict::Refused, ..go() };
    let unknown = || GateRecord { verdict: Verdict::Unknown, ..go() };
    let from = |source| GateRecord { source, ..go() };
    let table = [
        (vec![], None),
        (vec![go()], Some(1)),
        (vec![go(), go()], Some(2)),
        (vec![go(), other_key(), other_demand(), unknown()], Some(1)),
        (vec![go(), from(Source::Cached), from(Source::OfflineToken), from(Source::Nobody)], Some(1)),
        (vec![go(), GateRecord { forced: Some("fire".to_owned()), ..go() }], Some(1)),
        (vec![go(), GateRecord { license: None, ..go() }], Some(1)),
        (vec![go(), refused()], None),
        (vec![go(), refused(), go()], Some(3)),
        (vec![go(), refused(), unknown(), from(Source::Cached)], None),
        (vec![go(), GateRecord { verdict: Verdict::Refused, ..other_demand() }], None),
        (vec![go(), GateRecord { verdict: Verdict::Refused, ..other_key() }], Some(1)),
        (vec![other_key(), other_demand(), unknown()], None),
    ];
    for (history, expected) in table {
        let records = gates(history);
        assert_eq!(found_at(&records), expected, "{records:#?}");
    }
}

#[test]
fn a_refusal_counts_until_the_authority_says_yes_again() {
    let refused = || GateRecord { verdict: Verdict::Refused, ..go() };
    let unknown = || GateRecord { verdict: Verdict::Unknown, source: Source::Nobody, license: None, ..go() };
    let from = |source| GateRecord { source, ..go() };
    let forced = || GateRecord { forced: Some("fire".to_owned()), ..go() };
    let other_key = |gate| GateRecord { key_fingerprint: fingerprint("TO-PRD-2"), ..gate };
    let table = [
        (vec![], false),
        (vec![go()], false),
        (vec![unknown()], false),
        (vec![refused()], true),
        (vec![refused(), unknown()], true),
        (vec![refused(), forced(), from(Source::Cached), from(Source::OfflineToken)], true),
        (vec![refused(), go()], false),
        (vec![refused(), go(), unknown()], false),
        (vec![go(), other_key(refused())], false),
        (vec![refused(), other_key(go())], true),
    ];
    for (history, expected) in table {
        let records = gates(history);
        assert_eq!(Folded::replay(&records).unwrap().refused_last(&fingerprint("TO-PRD-1")), expected, "{records:#?}");
    }
}

#[test]
fn a_refusal_that_a_look_saw_counts_until_the_authority_says_yes_again() {
    let key = fingerprint("TO-PRD-1");
    let license = |answer| Some(License::bare(answer));
    let yes = || license(Answer::Accepted { code: None });
    let no = || license(Answer::Refused { code: None, message: None });
    let look = |verdict, license, trouble| Look {
        key_fingerprint: Some(key),
        license,
        verdict: Some(verdict),
        refused: None,
        trouble,
        health: None,
        differences: vec![],
    };
    let away = || Some(Trouble { code: "unreachable".to_owned(), message: "away".to_owned() });
    let gone = || Event::Gate(go());
    let refused = || Event::Look(look(Verdict::Refused, no(), None));
    let table = [
        (vec![gone(), refused()], true, None),
        (vec![gone(), refused(), Event::Look(look(Verdict::Go, yes(), None))], false, None),
        (vec![gone(), refused(), gone()], false, Some(3)),
        // Nobody spoke: what stood in for an answer ends no refusal and is none.
        (vec![gone(), refused(), Event::Look(look(Verdict::Go, yes(), away()))], true, None),
        (vec![gone(), refused(), Event::Look(look(Verdict::Unknown, None, away()))], true, None),
        (vec![gone(), Event::Look(look(Verdict::Refused, None, None))], false, Some(1)),
        (vec![gone(), Event::Look(look(Verdict::Go, yes(), None))], false, Some(1)),
        (
            vec![gone(), Event::Look(Look { key_fingerprint: None, ..look(Verdict::Refused, no(), None) })],
            false,
            Some(1),
        ),
    ];
    for (events, is_refused, good_at) in table {
        let records: Vec<Record> = (1..).zip(events).map(|(secs, event)| record(secs, event)).collect();
        let folded = Folded::replay(&records).unwrap();
        assert_eq!((folded.refused_last(&key), found_at(&records)), (is_refused, good_at), "{records:#?}");
    }
}

#[test]
fn what_happens_beside_the_gate_does_not_hide_a_good_decision() {
    let mut records = gates(vec![go()]);
    // A look may see a refusal, which ends it.
    let beside = |event: &Event| !matches!(event, Event::Gate(_) | Event::Rotation(_) | Event::Look(_));
    let others = every_event().into_iter().filter(beside);
    records.extend((2..).zip(others).map(|(secs, event)| record(secs, event)));
    assert_eq!(found_at(&records), Some(1));
}

#[test]
fn a_key_is_first_seen_where_it_is_first_named() {
    let key = fingerprint("TO-PRD-1");
    for event in every_event().into_iter().filter(|event| !matches!(event, Event::Rotation(_))) {
        let names_it = event.key_fingerprint() == Some(&key);
        let records = [record(1, Event::NotKnown), record(2, event.clone()), record(3, Event::Gate(go()))];
        let expected = if names_it { 2 } else { 3 };
        let folded = Folded::replay(&records).unwrap();
        assert_eq!(folded.first_seen(&key), Some(at(expected)), "{event:?}");
        assert_eq!(folded.first_seen(&fingerprint("TO-PRD-2")), None);
    }
}

#[test]
fn a_rotation_names_its_keys_and_one_out_of_place_is_a_misfit() {
    let rotation = |event: &Event| matches!(event, Event::Rotation(_));
    let events: Vec<Event> = every_event().into_iter().filter(rotation).collect();
    let folded = Folded::replay(&[record(7, events[0].clone())]).unwrap();
    assert_eq!(folded.first_seen(&fingerprint("TO-PRD-1")), Some(at(7)));
    assert!(Folded::replay(&[record(7, events[1].clone())]).is_err());
}

fn gate_of(number: usize) -> GateRecord {
    GateRecord { key_fingerprint: fingerprint(&format!("TO-PRD-k{number}")), ..go() }
}

#[test]
fn the_key_that_was_named_longest_ago_is_dropped_with_all_that_is_known_of_it() {
    let refused = GateRecord { verdict: Verdict::Refused, ..go() };
    let mut history = vec![refused, gate_of(0), gate_of(1)];
    history.extend((2..KEYS_MAX - 1).map(gate_of));
    let folded = Folded::replay(&gates(history.clone())).unwrap();
    assert!(folded.refused_last(&fingerprint("TO-PRD-1")));
    assert_eq!(folded.keys.len(), KEYS_MAX);
    // One is named again, so that another is the one of longest ago.
    history.extend([gate_of(0), gate_of(KEYS_MAX), gate_of(KEYS_MAX + 1)]);
    let folded = Folded::replay(&gates(history)).unwrap();
    assert_eq!(folded.keys.len(), KEYS_MAX);
    assert!(!folded.refused_last(&fingerprint("TO-PRD-1")), "dropped");
    assert_eq!(folded.first_seen(&fingerprint("TO-PRD-k0")), Some(at(2)), "kept, for it was named again");
    assert_eq!(folded.first_seen(&fingerprint("TO-PRD-k1")), None, "dropped");
}

#[test]
fn the_oldest_good_answer_is_dropped() {
    let demanding = |days| GateRecord { demand: Demand { min_days_left: days, ..demand() }, ..go() };
    let days_max = u32::try_from(GOODS_MAX).unwrap();
    let folded = Folded::replay(&gates((0..=days_max).map(demanding).collect())).unwrap();
    let good = |days: u32| folded.last_good(&fingerprint("TO-PRD-1"), &demanding(days).demand);
    assert_eq!(good(0), None);
    assert!((1..=days_max).all(|days| good(days).is_some()));
    assert!(!folded.refused_last(&fingerprint("TO-PRD-1")));
}

#[test]
fn a_full_state_fits_into_a_line_with_room_to_spare() {
    let license = License { domains: Some(vec!["a.very.long.example.com".to_owned(); 20]), ..go().license.unwrap() };
    let full = |number| GateRecord { license: Some(license.clone()), ..gate_of(number) };
    let folded = Folded::replay(&gates((0..KEYS_MAX).map(full).collect())).unwrap();
    let text = serde_json::to_string(&record(1, folded.checkpoint().unwrap())).unwrap();
    assert!(text.len() < 256 * 1024, "{}", text.len());
}

#[test]
fn a_checkpoint_of_another_version_is_read_as_not_known() {
    let folded = Folded::replay(&gates(vec![go()])).unwrap();
    let text = serde_json::to_string(&folded.checkpoint().unwrap()).unwrap();
    let read = |text: &str| serde_json::from_str::<Event>(text).unwrap();
    assert_eq!(read(&text), folded.checkpoint().unwrap());
    for (from, to) in
        [("\"format\":6", "\"format\":5"), ("\"format\":6", "\"format\":\"x\""), ("\"idle\"", "\"dancing\"")]
    {
        assert_eq!(read(&text.replacen(from, to, 1)), Event::Checkpoint(Checkpoint::NotKnown), "{from}");
    }
    assert_eq!(read(r#"{"kind":"checkpoint","what":[1]}"#), Event::Checkpoint(Checkpoint::NotKnown));
    let records = [record(1, Event::Checkpoint(Checkpoint::NotKnown)), record(2, Event::Gate(go()))];
    assert_eq!(Folded::resume(&records), Ok(None));
    assert_eq!(Folded::resume(&records[1..]), Ok(None));
    assert_eq!(Folded::resume(&[]), Ok(None));
}

#[test]
fn no_checkpoint_follows_an_entry_that_was_not_understood() {
    for event in [Event::NotKnown, Event::Claim(ClaimEvent::NotKnown)] {
        let folded = Folded::replay(&[record(1, event), record(2, Event::Gate(go()))]).unwrap();
        assert_eq!(folded.checkpoint(), None);
    }
}

/// Entries that may follow each other in any order, by number.
fn entry(choice: u8, secs: i64) -> Record {
    let key = |gate| GateRecord { key_fingerprint: fingerprint(&format!("TO-PRD-k{}", choice % 5)), ..gate };
    let run = RunId(format!("run-{}", choice % 3));
    let event = match choice % 8 {
        0 | 1 => Event::Gate(key(go())),
        2 => Event::Gate(key(GateRecord { verdict: Verdict::Refused, ..go() })),
        3 => Event::Gate(key(GateRecord { demand: Demand { min_days_left: 9, ..demand() }, ..go() })),
        4 => Event::Gate(key(GateRecord { source: Source::Cached, ..go() })),
        5 => Event::Claim(ClaimEvent::Claimed { run, until: at(secs + 10) }),
        6 => Event::Claim(ClaimEvent::Released { run }),
        _ => Event::DeployStarted { release: "r1".to_owned(), key_fingerprint: key(go()).key_fingerprint },
    };
    record(secs, event)
}

proptest! {
    #[test]
    fn folding_in_two_halves_through_a_line_is_folding_at_once(
        choices in prop::collection::vec(any::<u8>(), 0..60), cut in 0usize..60
    ) {
        let records: Vec<Record> = (1..).zip(&choices).map(|(secs, choice)| entry(*choice, secs)).collect();
        let (first, second) = records.split_at(cut.min(records.len()));
        let half = Folded::replay(first).unwrap();
        let line = serde_json::to_string(&record(99, half.checkpoint().unwrap())).unwrap();
        let checkpoint: Record = serde_json::from_str(&line).unwrap();
        let resumed = Folded::resume(core::iter::once(&checkpoint).chain(second)).unwrap();
        let whole = Folded::replay(&records).unwrap();
        prop_assert_eq!(resumed.as_ref(), Some(&whole));
        let with_checkpoint = first.iter().chain(core::iter::once(&checkpoint)).chain(second);
        prop_assert_eq!(Folded::replay(with_checkpoint).unwrap(), whole);
    }
}
