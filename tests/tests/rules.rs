//! Rules that a whole answer must keep beside its proof, and what a home remembers.

use std::fs;

use sealgate_tests::{Server, World, sealgate, text};

/// A world with a small table, a grant and a running gateway.
fn world() -> (World, Server) {
    let world = World::new();
    fs::write(world.path("people.csv"), "id,surname,fee\n1,NULL,5.00\n2,,7.50\n3,'quoted,\n4,Tan \u{202e}gnol,1.00\n")
        .unwrap();
    let column = |name: &str, kind: &str| format!("[[column]]\nname = \"{name}\"\ntype = \"{kind}\"\n");
    let manifest = format!(
        "[asset]\nname = \"people\"\ntitle = \"People\"\n[source]\nkind = \"csv\"\npath = \"people.csv\"\n[key]\ncolumns = [\"id\"]\n{}{}{}",
        column("id", "int"),
        column("surname", "text"),
        column("fee", "decimal(2)")
    );
    fs::write(world.path("people.toml"), manifest).unwrap();
    world.publish(world.path("people.toml").as_ref()).ok();
    world.grant("people", &world.requester, &["--disclose", "surname,fee", "--purpose", "p"]).ok();
    let server = world.serve();
    (world, server)
}

fn ask(world: &World, server: &Server, id: u32) -> String {
    let sql = format!("SELECT surname FROM people WHERE id = {id}");
    let answer = world.ask(&server.url, "requester", "p", &format!("{id}.json"), &sql).ok();
    text(&answer["records"][0]["result"][0]["answer"])
}

#[test]
fn null_and_a_text_that_says_null_differ() {
    let (world, server) = world();
    assert_eq!(ask(&world, &server, 1), "'NULL'");
    assert_eq!(ask(&world, &server, 2), "NULL");
    assert_eq!(ask(&world, &server, 3), "'''quoted'");
}

#[test]
fn the_from_clause_is_part_of_what_is_verified() {
    let (world, server) = world();
    ask(&world, &server, 1);
    let file = fs::read_to_string(world.path("1.json")).unwrap();
    fs::write(world.path("other.json"), file.replacen("FROM people", "FROM criminals", 1)).unwrap();
    let error = world.verify("requester", "other.json").error();
    assert!(error.contains("the question is about 'criminals', the answer about 'people'"), "{error}");
    // Somebody else, who has no note of the question, sees it too.
    let (home, other) = (world.path("auditor"), world.path("other.json"));
    let error = sealgate(&["verify", "--home", &home, "--requester", &world.requester, &other]).error();
    assert!(error.contains("criminals"), "{error}");
}

#[test]
fn every_entry_must_carry_its_senders_signature() {
    let (world, server) = world();
    ask(&world, &server, 1);
    let file: serde_json::Value = serde_json::from_slice(&fs::read(world.path("1.json")).unwrap()).unwrap();
    for (party, other) in [("owner", "requester"), ("requester", "owner")] {
        let mut forged = file.clone();
        forged[party] = file[other].clone();
        let mut bytes = serde_json::to_vec_pretty(&forged).unwrap();
        bytes.push(b'\n');
        fs::write(world.path("forged.json"), bytes).unwrap();
        world.verify("requester", "forged.json").error();
    }
}

#[test]
fn an_init_that_was_cut_short_is_taken_up_again() {
    let world = World::new();
    let folder = world.path("second");
    fs::create_dir(&folder).unwrap();
    fs::write(format!("{folder}/init.unfinished"), "").unwrap();
    fs::write(format!("{folder}/account.key"), "half a file").unwrap();
    let error = sealgate(&["audit", "--data-dir", &folder]).error();
    assert!(error.contains("cut short"), "{error}");
    sealgate(&["init", "--data-dir", &folder, "--name", "second"]).ok();
    sealgate(&["audit", "--data-dir", &folder]).ok();
    // A requester's home is never taken for one.
    let error = sealgate(&["init", "--data-dir", &world.path("requester"), "--name", "x"]).error();
    assert!(error.contains("not empty"), "{error}");
}

#[test]
fn many_questions_of_one_home_at_once_all_get_answers() {
    let (world, server) = world();
    std::thread::scope(|scope| {
        for i in 0..8u32 {
            let (world, server) = (&world, &server);
            scope.spawn(move || {
                let sql = format!("SELECT fee FROM people WHERE id = {}", i % 4 + 1);
                let purpose = "p";
                world.ask(&server.url, "requester", purpose, &format!("many{i}.json"), &sql).ok();
            });
        }
    });
    for i in 0..8 {
        world.verify("requester", &format!("many{i}.json")).ok();
    }
    let url = server.url.clone();
    sealgate(&["audit", "--gateway", &url, "--home", &world.path("requester")]).ok();
}

#[test]
fn what_could_trick_a_terminal_is_made_visible() {
    let (world, server) = world();
    assert!(ask(&world, &server, 4).contains('\u{202e}'), "machines get the value as it is");
    let output = std::process::Command::new(sealgate_tests::binary())
        .args(["verify", "--home", &world.path("requester"), &world.path("4.json")])
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !shown.contains('\u{202e}') && shown.contains("Tan \u{fffd}gnol"), "{shown}");
}
