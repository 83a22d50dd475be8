use super::*;
use std::fs;

fn known() -> CompletionContext {
    CompletionContext { offers: vec![12, 13], transfers: vec![4, 12, 13], peer: Some("bob".into()), home: None }
}

fn completed(text: &str, known: &CompletionContext) -> String {
    complete(text, known).map_or_else(
        || text.into(),
        |completion| format!("{}{}", text.get(..completion.start).unwrap(), completion.with),
    )
}

#[test]
fn commands_complete_with_a_blank_and_show_what_else_fits() {
    assert_eq!(completed("/acc", &known()), "/accept ");
    let several = complete("/c", &known()).unwrap();
    assert_eq!(several.candidates, ["/cancel", "/clear", "/copy"]);
    assert_eq!(several.with, "/c");
    assert_eq!(complete("/nothing", &known()), None);
}

#[test]
fn ids_complete_by_what_the_command_takes() {
    assert_eq!(completed("/accept 1", &known()), "/accept 1");
    assert_eq!(complete("/accept ", &known()).unwrap().candidates, ["12", "13"]);
    assert_eq!(completed("/cancel 4", &known()), "/cancel 4");
    assert_eq!(completed("/Cancel 12", &known()), "/Cancel 12");
    assert_eq!(complete("/DECLINE ", &known()).unwrap().candidates, ["12", "13"]);
    assert_eq!(completed("/bell of", &known()), "/bell off");
}

#[test]
fn the_peer_completes_in_chat_but_an_empty_word_does_not() {
    assert_eq!(completed("hello b", &known()), "hello bob");
    assert_eq!(complete("hello ", &known()), None);
    assert_eq!(complete("//x", &known()), None);
}

fn folder() -> (tempfile::TempDir, CompletionContext) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["My Album", "music", "Müller"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["report.pdf", "report (1).pdf", "it's.txt", ".hidden"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    // Windows has no such names.
    let _ = fs::write(folder.path().join("bad\nname"), "");
    let known = CompletionContext { home: Some(folder.path().into()), ..CompletionContext::default() };
    (folder, known)
}

#[test]
fn paths_complete_under_the_home_folder_and_show_folders_as_such() {
    let (_folder, known) = folder();
    assert_eq!(completed("/send ~", &known), format!("/send ~{MAIN_SEPARATOR}"));
    assert_eq!(completed("/send ~/mus", &known), format!("/send ~/music{MAIN_SEPARATOR}"));
    assert_eq!(completed("/send ~/rep", &known), "/send ~/report");
    assert_eq!(complete("/send ~/rep", &known).unwrap().candidates, ["report (1).pdf", "report.pdf"]);
    assert_eq!(completed("/accept 3 ~/mus", &known), format!("/accept 3 ~/music{MAIN_SEPARATOR}"));
    assert_eq!(completed("/save 3 ~/mus", &known), format!("/save 3 ~/music{MAIN_SEPARATOR}"));
}

#[test]
fn a_blank_in_a_lone_path_needs_no_quoting() {
    let (_folder, known) = folder();
    assert_eq!(completed("/send ~/My", &known), format!("/send ~/My Album{MAIN_SEPARATOR}"));
    assert_eq!(completed("/send ~/report (", &known), "/send ~/report (1).pdf");
}

#[test]
#[cfg(not(windows))]
fn quotes_and_backslashes_are_kept_to() {
    let (folder, known) = folder();
    let home = folder.path().display();
    assert_eq!(completed("/send \"~/My", &known), format!("/send \"{home}/My Album/"));
    assert_eq!(completed(&format!("/send '{home}/report (1"), &known), format!("/send '{home}/report (1).pdf'"));
    assert_eq!(completed("/send ~/My\\ A", &known), "/send ~/My\\ Album/");
    assert_eq!(completed("/send \"~/a b\" ~/My", &known), "/send \"~/a b\" ~/My\\ Album/");
    assert_eq!(completed("/send \"~/it", &known), format!("/send \"{home}/it's.txt\""));
    assert_eq!(completed("/send '~/it", &known), format!("/send \"{home}/it's.txt\""));
}

#[test]
#[cfg(windows)]
fn backslashes_separate_folders() {
    let (folder, known) = folder();
    let home = folder.path().display();
    assert_eq!(completed("/send ~\\mus", &known), "/send ~\\music\\");
    assert_eq!(completed("/send \"~\\My", &known), format!("/send \"{home}\\My Album\\"));
    assert_eq!(completed("/send '~\\it", &known), format!("/send \"{home}\\it's.txt\""));
    let top = complete("/send C:\\", &known).unwrap().candidates;
    assert!(top.iter().any(|name| name.eq_ignore_ascii_case("windows\\")), "{top:?}");
}

#[test]
fn hidden_files_only_on_request_and_names_with_controls_never() {
    let (_folder, known) = folder();
    assert_eq!(completed("/send ~/.h", &known), "/send ~/.hidden");
    let all = complete("/send ~/", &known).unwrap().candidates;
    assert!(!all.iter().any(|name| name.contains("hidden") || name.contains("bad")), "{all:?}");
    assert!(all.contains(&format!("music{MAIN_SEPARATOR}")));
}

#[test]
fn what_is_common_ends_at_a_whole_cluster() {
    assert_eq!(common(&["e\u{301}a".into(), "e\u{301}b".into()]), "e\u{301}");
    assert_eq!(common(&["ea".into(), "e\u{301}b".into()]), "");
    assert_eq!(common(&["Mü".into(), "My".into()]), "M");
}
