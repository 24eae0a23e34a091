use super::*;

fn text(opened: Result<Opened, SealError>) -> String {
    opened.expect("opens").into_secret().expect("text").reveal().to_owned()
}

#[test]
fn sealed_text_opens_for_its_purpose_only() {
    let keys = SealingKeys::new(&[1; 32]).expect("keys");
    let sealed = keys.seal("a", b"s3cr3t").expect("sealed");
    assert_eq!(text(keys.open("a", &sealed)), "s3cr3t");
    assert!(matches!(keys.open("b", &sealed), Err(SealError::Changed)));
    assert!(!sealed.windows(6).any(|part| part == b"s3cr3t"));
}

#[test]
fn empty_and_large_secrets_open() {
    let keys = SealingKeys::new(&[1; 32]).expect("keys");
    for secret in ["".to_owned(), "ä".repeat(100_000)] {
        let sealed = keys.seal("a", secret.as_bytes()).expect("sealed");
        assert_eq!(text(keys.open("a", &sealed)), secret);
    }
}

#[test]
fn older_key_opens_and_does_not_seal() {
    let old = SealingKeys::new(&[1; 32]).expect("keys");
    let new = SealingKeys::new(&[2; 32])
        .and_then(|k| k.with_older(&[1; 32]))
        .expect("keys");
    let before = old.seal("a", b"x").expect("sealed");
    assert_eq!(text(new.open("a", &before)), "x");
    let after = new.seal("a", b"y").expect("sealed");
    assert!(matches!(old.open("a", &after), Err(SealError::UnknownKey(_))));
}

#[test]
fn same_text_is_never_sealed_alike() {
    let keys = SealingKeys::new(&[1; 32]).expect("keys");
    assert_ne!(
        keys.seal("a", b"x").expect("sealed"),
        keys.seal("a", b"x").expect("sealed")
    );
}

#[test]
fn changed_or_cut_text_is_refused() {
    let keys = SealingKeys::new(&[1; 32]).expect("keys");
    let sealed = keys.seal("a", b"s3cr3t").expect("sealed");
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(keys.open("a", &changed).is_err(), "byte {at}");
        assert!(keys.open("a", &sealed[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn too_many_keys_are_refused() {
    let mut keys = SealingKeys::new(&[0; 32]).expect("keys");
    for n in 1..16 {
        keys = keys.with_older(&[n; 32]).expect("room");
    }
    assert!(keys.with_older(&[99; 32]).is_err());
}

#[test]
fn debug_shows_no_key() {
    let keys = SealingKeys::new(&[0xab; 32])
        .and_then(|k| k.with_older(&[0xcd; 32]))
        .expect("keys");
    let shown = format!("{keys:?}");
    assert!(
        !shown.contains("abab") && !shown.contains("171") && !shown.contains("cdcd"),
        "{shown}"
    );
}
