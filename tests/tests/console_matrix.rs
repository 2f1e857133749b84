//! The console's access matrix: every page of its list, looked at and sent to, by nobody, by the wrong account, by
//! the right one, with a session that has ended, and with what was replayed. A page that is not in the list is not
//! there; one that is in it is tried here.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "console/visitor.rs"]
mod visitor;

use reqwest::StatusCode;
use sealgate_gateway::console::Desk;
use sealgate_gateway::console::table::{ROUTES, Route};
use sealgate_tests::{Server, Table, World, sealgate, text};
use visitor::{Shown, Visitor};

/// Pages of which the right account is told that there is nothing: of these no example was made.
const NONE_OF_THESE: [&str; 13] = [
    "/console/jobs/{job}",
    "/console/owner/publish/preview/{job}",
    "/console/owner/publish/manifest/{job}",
    "/console/owner/publish/result/{job}",
    "/console/owner/budgets/checked/{job}",
    "/console/owner/syncs/reports/{name}",
    "/console/owner/keys/changed/{job}",
    "/console/operator/proposals/{hash}",
    "/console/operator/proposals/{hash}/endorse",
    "/console/requester/answers/{request}/answer.json",
    "/console/requester/answers/{request}/snarkjs/{file}",
    "/console/requester/fetched/{name}",
    "/console/auditor/samples/{hash}",
];

/// What addresses are filled with.
struct Filled {
    asset: String,
    address: String,
    request: String,
}

impl Filled {
    fn path(&self, route: &Route) -> String {
        let part = |part: &str| match part {
            "{asset}" => self.asset.clone(),
            "{address}" => self.address.clone(),
            "{hash}" | "{request}" => self.request.clone(),
            "{height}" | "{job}" => "1".to_owned(),
            "{number}" => "0".to_owned(),
            "{kind}" => "policy".to_owned(),
            "{name}" | "{file}" => "none.json".to_owned(),
            fixed => {
                assert!(!fixed.starts_with('{'), "say what {fixed} is filled with");
                fixed.to_owned()
            }
        };
        route.path.split('/').map(part).collect::<Vec<_>>().join("/")
    }
}

/// Whether somebody was sent to sign in.
fn must_sign_in(shown: &Shown) -> bool {
    shown.path.starts_with("/console/sign-in") && shown.status == StatusCode::OK
}

/// Sends a form, with what a form of this session carries.
async fn send(visitor: &mut Visitor, path: &str) -> Shown {
    let page = visitor.get("/console").await;
    let (token, number) = (page.input("form_token"), page.input("form_number"));
    visitor.once_sent(path, &[("form_token", token.as_str()), ("form_number", number.as_str())]).await
}

/// Who tries what at one console.
struct Tried {
    nobody: Visitor,
    wrong: Vec<Visitor>,
    right: Visitor,
    ended: Visitor,
    desks: Vec<Desk>,
}

impl Tried {
    async fn all(&mut self, filled: &Filled) {
        let mut tried = 0;
        let desks = self.desks.clone();
        for route in ROUTES.iter().filter(|route| desks.contains(&route.desk)) {
            let path = filled.path(route);
            if matches!(route.desk, Desk::Start | Desk::Explorer) {
                self.open(route, &path).await;
            } else {
                self.closed(route, &path).await;
            }
            tried += 1;
        }
        assert!(tried > 15);
    }

    /// What is everybody's: nobody's visit gives what the right account's does; forms want a session all the same.
    async fn open(&mut self, route: &Route, path: &str) {
        if route.how.looks() {
            let of_a_session = route.path == "/console/jobs/{job}";
            for visitor in [&mut self.nobody, &mut self.ended] {
                let shown = visitor.get(path).await;
                assert_eq!(must_sign_in(&shown), of_a_session || route.path == "/console/sign-in", "{path}");
            }
            self.right_looks(route, path).await;
        }
        if route.how.sends() && route.path != "/console/enter" {
            assert!(must_sign_in(&self.nobody.send(path, &[("x", "y")]).await), "{path}");
            assert!(must_sign_in(&self.ended.send(path, &[("x", "y")]).await), "{path}");
        }
        if !route.how.sends() {
            assert!(must_sign_in(&self.nobody.send(path, &[("x", "y")]).await), "{path}");
            assert_eq!(send(&mut self.right, path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    async fn closed(&mut self, route: &Route, path: &str) {
        for visitor in [&mut self.nobody, &mut self.ended] {
            assert!(must_sign_in(&visitor.get(path).await), "{path}");
            assert!(must_sign_in(&visitor.send(path, &[("x", "y")]).await), "{path}");
        }
        for wrong in &mut self.wrong {
            let looked = wrong.get(path).await;
            assert_eq!(looked.status, StatusCode::NOT_FOUND, "{path}");
            let sent = send(wrong, path).await;
            assert_eq!(sent.status, StatusCode::NOT_FOUND, "{path}");
            // The same as where nothing is at all.
            let none = wrong.get("/console/nothing").await;
            assert_eq!(none.words(), looked.words(), "{path}");
        }
        if route.how.looks() {
            self.right_looks(route, path).await;
        } else {
            assert_eq!(self.right.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
        if route.how.sends() {
            // No form is taken that is not this session's, or that was sent before.
            let foreign = self.right.send(path, &[("form_token", "x"), ("form_number", "x")]).await;
            assert_eq!(foreign.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
            let elsewhere = self.right.send_from_elsewhere(path, &[("x", "y")]).await;
            assert_eq!(elsewhere.status, StatusCode::FORBIDDEN, "{path}");
            let page = self.right.get("/console").await;
            let (token, number) = (page.input("form_token"), page.input("form_number"));
            let form = [("form_token", token.as_str()), ("form_number", number.as_str())];
            let first = self.right.once_sent("/console/nothing", &form).await;
            assert_eq!(first.status, StatusCode::NOT_FOUND);
            let replayed = self.right.once_sent(path, &form).await;
            assert_eq!(replayed.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
            replayed.says(&["this form was sent before"]);
        } else {
            assert_eq!(send(&mut self.right, path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    async fn right_looks(&mut self, route: &Route, path: &str) {
        let shown = self.right.get(path).await;
        assert!(!must_sign_in(&shown) || route.path == "/console/sign-in", "{path}");
        let there = if NONE_OF_THESE.contains(&route.path) { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(shown.status, there, "{path}: {}", shown.words());
    }
}

/// Somebody whose session has ended: signed in, and out again, with the cookie kept.
async fn ended(url: &str, whose: &[&str]) -> Visitor {
    let mut visitor = Visitor::signed_in(url, whose).await;
    let kept = visitor.clone();
    let page = visitor.get("/console").await;
    visitor.post(&page, "/console/leave", &[]).await;
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_for_whom_it_says_and_for_nobody_else() {
    let world = World::audited();
    let manifest = Table::shops(20).write(world.dir.path());
    world.publish(&manifest).ok();
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "p"]).ok();
    let server = world.serve();
    world.ask(&server.url, "requester", "p", "a.json", "SELECT name FROM shop WHERE id = 3").ok();
    let line = world.trail(&server.url, "auditor").into_iter().next().unwrap();
    let catalogue = sealgate(&["catalogue", "--gateway", &server.url]).ok();
    let filled = Filled {
        asset: text(&catalogue[0]["asset"]["id"]),
        address: world.requester.clone(),
        request: text(&line["request"]),
    };
    let (owner, requester, auditor) = (world.path("owner"), world.path("requester"), world.path("auditor"));

    let url = server.url.as_str();
    let mut gateway = Tried {
        nobody: Visitor::stranger(url),
        wrong: vec![Visitor::signed_in(url, &["--home", &requester]).await],
        right: Visitor::signed_in(url, &["--data-dir", &owner]).await,
        ended: ended(url, &["--data-dir", &owner]).await,
        desks: vec![Desk::Start, Desk::Explorer, Desk::Owner, Desk::Operator],
    };
    gateway.all(&filled).await;
    // The desks of a console of one's own are not there for anybody.
    for route in ROUTES.iter().filter(|route| matches!(route.desk, Desk::Requester | Desk::Auditor)) {
        let path = filled.path(route);
        assert_eq!(gateway.right.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(gateway.nobody.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for (home, desk, others) in [
        (&requester, Desk::Requester, [Desk::Owner, Desk::Operator, Desk::Auditor]),
        (&auditor, Desk::Auditor, [Desk::Owner, Desk::Operator, Desk::Start]),
    ] {
        let console = Server::run(&["console", "--home", home, "--gateway", url, "--listen", "127.0.0.1:0"], &[]);
        let own = console.url.trim_end_matches("/console");
        // Nobody but the home's account signs in there.
        let refused = sealgate(&["sign-in", "--data-dir", &owner, "--gateway", own]).error();
        assert!(refused.contains("no open account"), "{refused}");
        let mut tried = Tried {
            nobody: Visitor::stranger(own),
            wrong: Vec::new(),
            right: Visitor::signed_in(own, &["--home", home]).await,
            ended: ended(own, &["--home", home]).await,
            desks: vec![Desk::Start, Desk::Explorer, desk],
        };
        tried.all(&filled).await;
        for route in ROUTES.iter().filter(|route| others.contains(&route.desk) && route.desk != Desk::Start) {
            let path = filled.path(route);
            assert_eq!(tried.right.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_good_once_and_a_session_ends_with_its_account() {
    let world = World::audited();
    let manifest = Table::shops(5).write(world.dir.path());
    world.publish(&manifest).ok();
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "p"]).ok();
    let server = world.serve();
    world.ask(&server.url, "requester", "p", "a.json", "SELECT name FROM shop WHERE id = 3").ok();
    let link = text(&sealgate(&["sign-in", "--data-dir", &world.path("owner")]).ok()["link"]);
    let path = link.strip_prefix(&server.url).unwrap();
    let mut visitor = Visitor::stranger(&server.url);
    let code = visitor.get(path).await.input("code");
    assert_eq!(visitor.send("/console/enter", &[("code", &code)]).await.path, "/console");
    let mut second = Visitor::stranger(&server.url);
    second.get(path).await.says(&["has been used"]);
    let replayed = second.send("/console/enter", &[("code", &code)]).await;
    assert_eq!(replayed.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(must_sign_in(&second.get("/console/owner").await));

    // An account that was closed is signed in no more, from its next visit on.
    let mut requester = Visitor::signed_in(&server.url, &["--home", &world.path("requester")]).await;
    requester.get("/console").await.says(&["Sign out"]);
    sealgate(&["account", "close", "--home", &world.path("requester"), "--gateway", &server.url]).ok();
    requester.get("/console").await.says(&["You are not signed in"]);
}
