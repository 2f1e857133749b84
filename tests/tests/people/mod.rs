//! A small table whose every value is known, for tests that need more than one publish.

use std::path::PathBuf;

use sealgate_tests::World;

const MANIFEST: &str = r#"
[asset]
name = "people"
title = "People"
description = "Made up"

[source]
kind = "csv"
path = "people.csv"
null = [""]

[key]
columns = ["id"]

[[column]]
name = "id"
type = "int"

[[column]]
name = "name"
type = "text"

[[column]]
name = "status"
type = "text"

[[column]]
name = "fee"
type = "decimal(2)"

[[column]]
name = "level"
type = "int"
"#;

/// What the grants of these tests allow.
pub const GRANT: [&str; 9] = [
    "--disclose",
    "name,status,fee,level",
    "--prove",
    "fee >= 500",
    "--prove",
    "level >= ?",
    "--existence",
    "--purpose",
    "",
];

/// Writes manifest and table of `rows` records: ids from 1 on, a fee of 25 times the id and a half,
/// status `active` for even ids, and a level (id modulo 10) except for multiples of 3. `edition`
/// goes into every name.
pub fn write(world: &World, rows: u64, edition: &str) -> PathBuf {
    let mut csv = String::from("id,name,status,fee,level\n");
    for id in 1..=rows {
        let status = if id % 2 == 0 { "active" } else { "closed" };
        let level = if id % 3 == 0 { String::new() } else { (id % 10).to_string() };
        csv.push_str(&format!("{id},Person {id} {edition},{status},{}.50,{level}\n", 25 * id));
    }
    std::fs::write(world.path("people.csv"), csv).unwrap();
    let manifest = PathBuf::from(world.path("people.toml"));
    std::fs::write(&manifest, MANIFEST).unwrap();
    manifest
}

/// A world in which `people` is published and the requester may ask about it.
pub fn world(rows: u64) -> World {
    let world = World::new();
    let manifest = write(&world, rows, "v1");
    world.publish(&manifest).ok();
    world.grant("people", &world.requester, &GRANT).ok();
    world
}
