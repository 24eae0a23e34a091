//! The key file.

use portolan_core::Error;
use portolan_storage_sql::SealingKeys;

use crate::support::Place;

fn refused(place: &Place, says: &str) {
    let error = SealingKeys::load_or_create(place.path("key")).expect_err("refused");
    let text = error.to_string();
    assert!(
        matches!(error, Error::Invalid { .. }) && text.contains(says),
        "{says:?} is not in {text}"
    );
    assert!(text.contains("/key\""), "names the file: {text}");
}

fn write(place: &Place, bytes: impl AsRef<[u8]>) {
    std::fs::write(place.path("key"), bytes).expect("written");
    set_mode(place, 0o600);
}

#[cfg(unix)]
fn set_mode(place: &Place, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(place.path("key"), std::fs::Permissions::from_mode(mode)).expect("mode");
}

#[cfg(not(unix))]
fn set_mode(_: &Place, _: u32) {}

#[test]
fn new_file_is_private_and_loads_again() {
    let place = Place::new();
    let made = SealingKeys::load_or_create(place.path("key")).expect("made");
    let again = SealingKeys::load_or_create(place.path("key")).expect("loaded");
    assert_eq!(format!("{made:?}"), format!("{again:?}"));
    assert_eq!(
        std::fs::read_dir(place.path("")).expect("place").count(),
        1,
        "no draft stays behind"
    );
    let text = std::fs::read_to_string(place.path("key")).expect("read");
    assert_eq!(text.trim().len(), 64);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(place.path("key"))
            .expect("about")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn new_files_hold_different_keys() {
    let keys = [Place::new(), Place::new()].map(|place| SealingKeys::load_or_create(place.path("key")).expect("made"));
    assert_ne!(format!("{:?}", keys[0]), format!("{:?}", keys[1]));
}

#[test]
fn concurrent_starts_get_one_key() {
    let place = Place::new();
    let path = place.path("key");
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || format!("{:?}", SealingKeys::load_or_create(path).expect("keys")))
        })
        .collect();
    let mut keys: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"))
        .collect();
    keys.dedup();
    assert_eq!(keys.len(), 1);
}

#[test]
fn first_key_seals_and_others_open() {
    let place = Place::new();
    let (new, old) = ("ab".repeat(32), "CD".repeat(32));
    write(&place, format!("# made in 2026\n{new}\n\n# until then\n  {old}  \r\n"));
    let keys = SealingKeys::load_or_create(place.path("key")).expect("loaded");
    let same = SealingKeys::new(&[0xab; 32])
        .and_then(|keys| keys.with_older(&[0xcd; 32]))
        .expect("keys");
    assert_eq!(format!("{keys:?}"), format!("{same:?}"));
}

#[cfg(unix)]
#[test]
fn readable_file_is_refused() {
    let place = Place::new();
    write(&place, "ab".repeat(32));
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        set_mode(&place, mode);
        refused(&place, "chmod 600");
    }
}

#[test]
fn file_without_keys_is_refused() {
    let place = Place::new();
    let hex = "ab".repeat(32);
    let cases: [(&[u8], &str); 7] = [
        (b"", "holds no key"),
        (b"# nothing\n\n", "holds no key"),
        (&hex.as_bytes()[..63], "on line 1"),
        (&[hex.as_bytes(), b"a"].concat(), "on line 1"),
        (&[hex.as_bytes(), b"\nsw0rdfish\n"].concat(), "on line 2"),
        (&[0xff, 0xfe, 0x00], "on line 1"),
        (&b"0".repeat(1 << 20), "larger than"),
    ];
    for (bytes, says) in cases {
        write(&place, bytes);
        refused(&place, says);
        let error = SealingKeys::load_or_create(place.path("key"))
            .expect_err("refused")
            .to_string();
        assert!(!error.contains("sw0rdfish") && !error.contains("abab"), "{error}");
    }
    write(&place, "+1".repeat(32));
    refused(&place, "on line 1");
}

#[test]
fn directory_and_missing_place_are_refused() {
    let place = Place::new();
    std::fs::create_dir(place.path("key")).expect("made");
    refused(&place, "no file");
    let error = SealingKeys::load_or_create(place.path("none/key"))
        .expect_err("refused")
        .to_string();
    assert!(error.contains("create its directory first"), "{error}");
}
