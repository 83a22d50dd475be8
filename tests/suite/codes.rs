//! Codes that two people share: who gets in with one, how many tries there are, and what the other mode is told.

use crate::support::attacker::identity;
use crate::support::{Attacker, Home, lives_on, meet_with, talk, text, turned_away};
use std::thread;

#[test]
fn the_right_code_brings_two_together_and_verifies_them_for_good() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    for (here, there) in [(&["--code=42-otter-plum"][..], &["--code= 42 Otter plum"][..]), (&[], &[])] {
        let (mut ana, mut ben) = meet_with(&ana_home, &ben_home, here, there);
        for peer in [&ana, &ben] {
            let connected = peer.event("connected");
            assert_eq!(connected["trust"], "verified");
            assert!(here.is_empty() || connected.get("verify").is_none(), "{connected}");
        }
        talk(&mut ana, &mut ben);
    }
}

#[test]
fn a_code_that_listen_makes_is_told_and_works_from_the_environment() {
    let ana = Home::new().listen("ana", &["--code"]);
    let code = text(&ana.event("listening"), "code").to_owned();
    assert!(code.split('-').count() >= 3 && code.split('-').next().unwrap().parse::<u8>().is_ok(), "{code}");
    let home = Home::new();
    let addr = ana.addr().to_string();
    let mut ben = home.program(&["connect", &addr]).env("P2PCHAT_CODE", &code).spawn().unwrap();
    assert_eq!(ana.event("connected")["trust"], "verified");
    drop(ben.stdin.take());
    assert!(ben.wait().unwrap().success());
}

#[test]
fn a_wrong_code_ends_the_dialler_and_leaves_the_listener() {
    let mut ana = Home::new().listen("ana", &["--code=right"]);
    for wrong in 1..=2 {
        let mut ben = Home::new().connect("ben", ana.addr(), &["--code=wrong"]);
        ben.ends_with(4);
        let error = ben.event("error");
        assert!(text(&error, "text").contains("wrong code"), "{error}");
        let left = ["2 tries", "1 try"][wrong - 1];
        assert!(text(&ana.event_nth(wrong, "warning"), "text").ends_with(&format!("wrong code, {left} left")));
    }
    let mut ben = Home::new().connect("ben", ana.addr(), &["--code=right"]);
    talk(&mut ana, &mut ben);
}

#[test]
fn the_third_wrong_code_ends_the_listener() {
    let mut ana = Home::new().listen("ana", &["--code=right"]);
    for _ in 0..3 {
        Home::new().connect("ben", ana.addr(), &["--code=wrong"]).ends_with(4);
    }
    ana.ends_with(4);
    assert_eq!(ana.event("error")["code"], "code-dead");
}

#[test]
fn tries_at_once_are_three_together() {
    let mut ana = Home::new().listen("ana", &["--code=right"]);
    let addr = ana.addr();
    let tries: Vec<_> = (0..8)
        .map(|n| thread::spawn(move || Attacker::dial(addr, &identity(), Some(&format!("guess{n}"))).is_err()))
        .collect();
    assert!(tries.into_iter().all(|tried| tried.join().unwrap()));
    ana.ends_with(4);
    let wrong = ana.all("warning").iter().filter(|warning| text(warning, "text").contains("wrong code")).count();
    assert!(wrong <= 3, "{wrong} guesses were checked");
}

#[test]
fn an_open_listener_tells_a_dialler_with_a_code_so() {
    let ana = Home::new().listen("ana", &[]);
    turned_away(Home::new().connect("ben", ana.addr(), &["--code=right"]), 4, "code");
    lives_on(ana, "code");
}

#[test]
fn a_dialler_without_the_code_is_told_so_and_uses_up_no_try() {
    let mut ana = Home::new().listen("ana", &["--code=right"]);
    for _ in 0..4 {
        turned_away(Home::new().connect("ben", ana.addr(), &[]), 4, "code");
    }
    ana.event("warning");
    let mut ben = Home::new().connect("ben", ana.addr(), &["--code=right"]);
    talk(&mut ana, &mut ben);
}
