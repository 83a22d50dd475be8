use super::*;
use crate::protocol::frame::Offer;

const META: Meta = Meta { mode: 0o644, seconds: 1_700_000_000, nanos: 5 };

fn name(text: &str) -> Name<'_> {
    Name::new(text).unwrap()
}

/// photos/{a (10 bytes), sub/, b (empty)}, notes (100 bytes).
fn sample() -> Manifest {
    let mut builder = Builder::default();
    builder.enter(name("photos"), META).unwrap();
    builder.file(name("a"), META, 10).unwrap();
    builder.enter(name("sub"), META).unwrap();
    builder.leave().unwrap();
    builder.file(name("b"), META, 0).unwrap();
    builder.leave().unwrap();
    builder.file(name("notes"), META, 100).unwrap();
    builder.finish().unwrap()
}

fn left_out(count: u32, path: &str) -> Vec<u8> {
    [&[5, 1], &count.to_be_bytes()[..], &u16::try_from(path.len()).unwrap().to_be_bytes(), path.as_bytes()].concat()
}

fn offer_for(bytes: &[u8], files: u32, folders: u32, sizes: u64) -> Offer {
    let list = u32::try_from(bytes.len()).unwrap();
    Offer { files, folders, bytes: sizes, list, digest: *blake3::hash(bytes).as_bytes() }
}

fn file(name: &[u8], mode: u16, nanos: u32, size: u64) -> Vec<u8> {
    let len = u8::try_from(name.len()).unwrap();
    [&[1], &mode.to_be_bytes()[..], &[0; 8], &nanos.to_be_bytes(), &size.to_be_bytes(), &[len], name].concat()
}

fn stream(name: &[u8]) -> Vec<u8> {
    [&[4, 1, 0xa4, u8::try_from(name.len()).unwrap()], name].concat()
}

fn enter(name: &[u8]) -> Vec<u8> {
    let len = u8::try_from(name.len()).unwrap();
    [&[2][..], &[0; 14], &[len], name].concat()
}

/// Decodes against an offer that agrees with whatever counts the error is not about.
fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    Manifest::decode(bytes, &offer_for(bytes, 1, 0, 1))
}

#[test]
fn positions_and_places_are_inverse() {
    let list = sample();
    let base = list.data_start();
    assert_eq!(base, u64::try_from(list.encode().len()).unwrap());
    let starts: Vec<_> = list.files().map(|file| file.start - base).collect();
    assert_eq!(starts, [0, 10 + 1024, 10 + 2 * 1024]);
    assert_eq!(list.end() - base, 110 + 3 * 1024);
    let file_at = |position| list.file_at(position).map(|file| (file.index, position - file.start));
    assert_eq!(file_at(base), Some((0, 0)));
    assert_eq!(file_at(base + 10), Some((0, 10)));
    assert_eq!(file_at(base + 1034), Some((1, 0)));
    let end = list.end();
    for nowhere in [0, base - 1, base + 11, base + 1035, end - 1, end, end + 1, u64::MAX] {
        assert_eq!(file_at(nowhere), None, "{nowhere}");
    }
}

#[test]
fn progress_counts_data_without_list_and_weights() {
    let list = sample();
    let base = list.data_start();
    assert_eq!(list.progress(0), (0, 0));
    assert_eq!(list.progress(base + 7), (7, 0));
    assert_eq!(list.progress(base + 500), (10, 0));
    assert_eq!(list.progress(base + 1034), (10, 1));
    assert_eq!(list.progress(base + 10 + 2 * 1024 + 40), (50, 2));
    assert_eq!(list.progress(list.end()), (110, 3));
    assert_eq!(list.progress(u64::MAX), (110, 3));
}

#[test]
fn a_walk_enters_and_leaves_every_folder_in_order() {
    let list = sample();
    let mut walk = Walk::default();
    let steps: Vec<_> = std::iter::from_fn(|| walk.next(&list)).collect();
    let expected =
        [Step::Enter(0), Step::File(0), Step::Enter(1), Step::Leave, Step::File(1), Step::Leave, Step::File(2)];
    assert_eq!(steps, expected);
    assert_eq!(list.first_name(), "photos");
    assert_eq!(list.path(1), "photos/b");
    assert_eq!(list.tops().count(), 2);
}

#[test]
fn hostile_lists_are_refused_for_the_rule_they_break() {
    let cut = ManifestError::Malformed("it ends inside an entry");
    let whole = file(b"a", 0o644, 0, 1);
    assert!(decode(&whole).is_ok());
    for end in 1..whole.len() {
        assert_eq!(decode(&whole[..end]), Err(cut.clone()), "cut at {end}");
    }
    let untold = ManifestError::Malformed("what is left out is not told as it must be");
    let table: Vec<(Vec<u8>, ManifestError)> = vec![
        (vec![], ManifestError::Malformed("it has no entry")),
        (file(b"\xff", 0, 0, 1), ManifestError::Malformed("a name is not valid UTF-8")),
        (file(b"a", 0, 0, 1 << 63), ManifestError::Large),
        ([file(b"a", 0, 0, 1 << 62), file(b"b", 0, 0, 1 << 62)].concat(), ManifestError::Large),
        ([stream(b"a"), file(b"b", 0, 0, 1)].concat(), ManifestError::Large),
        ([file(b"b", 0, 0, 0), stream(b"a")].concat(), ManifestError::Large),
        ([stream(b"a"), enter(b"b"), vec![3]].concat(), ManifestError::Malformed("a stream is not alone")),
        ([enter(b"b"), stream(b"a"), vec![3]].concat(), ManifestError::Malformed("a stream is not alone")),
        ([enter(b"d"), file(b"a", 0, 0, 1), file(b"a", 0, 0, 0), vec![3]].concat(), ManifestError::Twice("d/a".into())),
        ([file(b"a", 0, 0, 1), file(b"b", 0, 0, 0)].concat(), ManifestError::Counts("files")),
        ([file(b"a", 0, 0, 1), enter(b"b"), vec![3]].concat(), ManifestError::Counts("folders")),
        (file(b"a", 0, 0, 2), ManifestError::Counts("sizes")),
        (left_out(1, "l"), ManifestError::Malformed("it has no entry")),
        ([file(b"a", 0, 0, 1), left_out(2, "l")].concat(), untold.clone()),
        ([file(b"a", 0, 0, 1), left_out(0, "")].concat(), untold.clone()),
        ([enter(b"d"), left_out(1, "d/l"), vec![3]].concat(), untold),
        ([file(b"a", 0, 0, 1), left_out(1, "d//l")].concat(), ManifestError::Name(String::new(), "the name is empty")),
        (
            [left_out(1, "l"), file(b"a", 0, 0, 1)].concat(),
            ManifestError::Malformed("an entry follows what is left out"),
        ),
        ([stream(b"a"), left_out(1, "l")].concat(), ManifestError::Malformed("a stream is not alone")),
        ([file(b"a", 0, 0, 1), left_out(1, "l").repeat(1_002)].concat(), ManifestError::Large),
    ];
    for (bytes, error) in table {
        assert_eq!(decode(&bytes), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn what_is_left_out_is_told_and_is_no_file() {
    let bytes = [file(b"a", 0, 0, 1), left_out(1, "d/l"), left_out(7, "")].concat();
    let list = decode(&bytes).unwrap();
    let told: Vec<_> = list.omitted().iter().map(|omitted| (omitted.path.as_str(), omitted.count)).collect();
    assert_eq!(told, [("d/l", 1), ("", 7)]);
    assert_eq!(list.omitted()[0].reason(), "a symbolic link");
    assert_eq!((list.file_count(), list.encode()), (1, bytes));
}

#[test]
fn the_same_name_in_two_folders_is_fine_and_64_deep_too() {
    let bytes = [enter(b"d"), file(b"a", 0, 0, 1), vec![3], file(b"a", 0, 0, 1)].concat();
    assert!(Manifest::decode(&bytes, &offer_for(&bytes, 2, 1, 2)).is_ok());
    let deep = [enter(b"d").repeat(64), vec![3; 64]].concat();
    let list = Manifest::decode(&deep, &offer_for(&deep, 0, 64, 0)).unwrap();
    assert_eq!(list.encode(), deep);
    assert_eq!(list.end(), list.data_start());
}

#[test]
fn a_stream_is_one_file_that_may_take_every_position() {
    let bytes = stream(b"a");
    let list = Manifest::decode(&bytes, &offer_for(&bytes, 1, 0, STREAM_BYTES)).unwrap();
    assert!(list.is_stream() && list.bytes() == STREAM_BYTES);
    assert_eq!(list.encode(), bytes);
    assert_eq!(list.offer(&bytes).bytes, STREAM_BYTES);
    let start = list.data_start();
    assert_eq!(list.file_at(start + (1 << 62)), list.file(0));
    assert_eq!(list.progress(start + 7), (7, 0));
    assert_eq!(decode(&bytes), Err(ManifestError::Counts("sizes")));
}

#[test]
fn paths_written_out_take_16_mib_at_most() {
    // Folders of 255 bytes, 64 deep: each file in the innermost one has a path of over 16,000 bytes.
    let mut builder = Builder::default();
    let folder = "x".repeat(255);
    for _ in 0..64 {
        builder.enter(name(&folder), META).unwrap();
    }
    let fits = (0..).take_while(|i: &u32| builder.file(name(&format!("{i:0>4}")), META, 0).is_ok()).count();
    let folders: usize = (1..=64).map(|depth| depth * 256 - 1).sum();
    assert_eq!(fits, ((16 << 20) - folders) / (64 * 256 + 4));
}

#[test]
fn a_list_never_grows_over_its_limit() {
    let mut builder = Builder::default();
    let folder = "x".repeat(255);
    builder.enter(name(&folder), META).unwrap();
    let error = (0..).map(|i: u32| builder.file(name(&format!("{i:0>255}")), META, 0)).find(Result::is_err);
    assert_eq!(error, Some(Err(ManifestError::Large)));
    builder.leave().unwrap();
    let encoded = builder.finish().unwrap().encode();
    const LIST: usize = 8 << 20;
    assert!((LIST - 300..=LIST).contains(&encoded.len()));
}
