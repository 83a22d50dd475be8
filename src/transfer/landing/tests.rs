use super::*;

const SEED: Seed = [7; 16];

fn drop_name(_: &str) {}

#[test]
fn a_second_name_keeps_the_extension_and_never_grows_over_255_bytes() {
    let long = format!("{}.txt", "é".repeat(125));
    let table = [
        ("report.pdf", 0, false, "report.pdf"),
        ("report.pdf", 1, false, "report (1).pdf"),
        ("report.pdf", 12, false, "report (12).pdf"),
        (".bashrc", 1, false, ".bashrc (1)"),
        ("a.tar.gz", 1, false, "a.tar (1).gz"),
        ("photos.2024", 1, true, "photos.2024 (1)"),
        ("no extension", 1, false, "no extension (1)"),
    ];
    for (name, number, folder, expected) in table {
        assert_eq!(numbered(name, number, folder), expected);
    }
    let numbered = numbered(&long, 1000, false);
    assert!(numbered.len() <= 255 && numbered.ends_with("é (1000).txt"), "{numbered}");
}

#[test]
fn a_name_that_looks_like_a_partial_lands_beside_it() {
    assert_eq!(landed(".p2pchat-0123"), "_.p2pchat-0123");
    assert_eq!(landed(".P2PCHAT-0123"), "_.P2PCHAT-0123");
    assert_eq!(landed(".p2pchat"), ".p2pchat");
    assert_eq!(landed("日本語日本語"), "日本語日本語");
    assert!(is_partial_name(&partial_name(&[1; 16], 3)));
    assert_ne!(partial_name(&[1; 16], 3), partial_name(&[1; 16], 4));
    assert_ne!(partial_name(&[1; 16], 3), partial_name(&[2; 16], 3));
    assert!(!is_partial_name(".p2pchat-0123/../../x..") && !is_partial_name("0123456789abcdef"));
}

#[test]
fn a_peer_s_partial_name_lands_under_another_also_as_a_folder() {
    let temp = tempfile::tempdir().unwrap();
    let mut landing = Landing::open(temp.path(), OnClash::Overwrite, false).unwrap();
    assert_eq!(landing.enter(".p2pchat-x", Meta::default(), drop_name).unwrap(), "_.p2pchat-x");
    let partial = landing.create(partial_name(&SEED, 0), ".p2pchat-y", Meta::default()).unwrap();
    let path = landing.publish(&partial, ".p2pchat-y", Meta::default()).unwrap();
    assert_eq!(path, temp.path().join("_.p2pchat-x/_.p2pchat-y"));
    assert!(path.is_file());
}

#[test]
fn a_time_out_of_range_does_not_fail_a_file() {
    let temp = tempfile::tempdir().unwrap();
    let landing = Landing::open(temp.path(), OnClash::Rename, false).unwrap();
    for (i, seconds) in [i64::MIN, i64::MAX, -1, 0].into_iter().enumerate() {
        let meta = Meta { mode: 0o600, seconds, nanos: 1 };
        let name = format!("f{i}");
        let partial = landing.create(partial_name(&SEED, i), &name, meta).unwrap();
        landing.publish(&partial, &name, meta).unwrap();
        assert!(temp.path().join(name).is_file());
    }
}

#[test]
fn a_full_disk_ends_all_and_a_bad_name_only_its_file() {
    let error = |kind: io::ErrorKind| LandingError::Io { path: "p".into(), source: kind.into() };
    assert_eq!(error(io::ErrorKind::StorageFull).ends_all(), Some(Reason::Space));
    assert_eq!(error(io::ErrorKind::PermissionDenied).ends_all(), None);
    let temp = tempfile::tempdir().unwrap();
    let landing = Landing::open(temp.path(), OnClash::Rename, false).unwrap();
    let partial = landing.create(partial_name(&SEED, 0), "x", Meta::default()).unwrap();
    let too_long = "x".repeat(300);
    let error = landing.publish(&partial, &too_long, Meta::default()).unwrap_err();
    assert!(error.ends_all().is_none());
    assert!(error.to_string().ends_with("file name too long"), "{error}");
}
