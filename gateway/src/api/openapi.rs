//! The API's document, OpenAPI 3.1, made from the table of routes and the types that they take and give:
//! nothing in it is written down twice.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sealgate_ledger::ids::{Address, AssetId, TxHash};
use serde_json::{Map, Value, json};

use super::problem::{Code, PROBLEM};
use super::route::{Given, Header, Route, SchemaFn, Who, schema_of};
use crate::client::Problem;

/// Bytes as they are.
pub(super) struct Binary;

impl JsonSchema for Binary {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Binary".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "binary" })
    }
}

const ABOUT: &str = "Every member's gateway answers these calls. Reads of the ledger need no permission: what is \
    secret is sealed. What changes the ledger is a signed transaction, and the same bytes sent again give the \
    same receipt. Every answer names its request in `x-request-id`, by which the gateway's log has it.";

/// The document, as it is served.
pub(super) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| document().to_string())
}

/// What is described in the course of a document.
struct Describing {
    /// How values are that the gateway gives, and that it takes.
    given: SchemaGenerator,
    taken: SchemaGenerator,
}

/// The document.
pub fn document() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut describing = Describing {
        given: settings().for_serialize().into_generator(),
        taken: settings().for_deserialize().into_generator(),
    };
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in super::routes() {
        let operation = describing.operation(route);
        paths.entry(route.path).or_default().insert(route.method.to_lowercase(), operation);
    }
    let problem = describing.given.subschema_for::<Problem>();
    let mut schemas = describing.taken.take_definitions(true);
    schemas.extend(describing.given.take_definitions(true));
    let responses: Map<String, Value> =
        Code::ALL.iter().map(|code| (code.parts().0.to_owned(), response(&[*code], &problem))).collect();
    let token = |what: &str| json!({ "type": "http", "scheme": "bearer", "description": what });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sealgate gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "securitySchemes": {
                "session": token("A session's token (POST /v1/sessions), or for the owner the one in its folder."),
                "delivery": token("The token that a delivery holds, sealed to its requester."),
            },
        },
    })
}

impl Describing {
    fn operation(&mut self, route: &Route) -> Value {
        let mut parameters: Vec<Value> = route
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| {
                let schema = path_schema(name)(&mut self.taken);
                json!({ "name": name, "in": "path", "required": true, "schema": schema })
            })
            .collect();
        if let Some(query) = route.query {
            parameters.extend(query_parameters(&query(&mut self.taken)));
        }
        parameters.extend(route.headers.iter().map(header_parameter));
        let mut operation = json!({
            "operationId": route.name,
            "summary": route.about,
            "parameters": parameters,
            "responses": self.responses(route),
            "security": match route.who {
                Who::Anybody | Who::Signer => json!([]),
                Who::Local => json!([{}, { "session": [] }]),
                Who::Delivery => json!([{ "delivery": [] }]),
                Who::Requester | Who::Owner | Who::Session => json!([{ "session": [] }]),
            },
        });
        if let (Some(taken), Some(operation)) = (route.body, operation.as_object_mut()) {
            let schema = (taken.schema)(&mut self.taken);
            let about = format!("At most {} bytes.", taken.bytes_max);
            let body =
                json!({ "required": true, "description": about, "content": { taken.kind: { "schema": schema } } });
            operation.insert("requestBody".into(), body);
        }
        operation
    }

    fn responses(&mut self, route: &Route) -> Value {
        let mut responses = Map::new();
        let (status, content) = match route.gives {
            Given::Json(schema) => {
                ("200".to_owned(), json!({ "application/json": { "schema": schema(&mut self.given) } }))
            }
            Given::Bytes { status, kind } => {
                let kind = kind.split(';').next().unwrap_or(kind);
                (status.to_string(), json!({ kind: { "schema": schema_of::<Binary>(&mut self.given) } }))
            }
            Given::Nothing => ("204".to_owned(), json!({})),
        };
        let mut success = json!({ "description": route.about });
        if let Some(success) = success.as_object_mut().filter(|_| status != "204") {
            success.insert("content".into(), content);
            if status == "206" {
                let header = json!({ "description": "Which part of how much it is.", "schema": { "type": "string" } });
                success.insert("headers".into(), json!({ "Content-Range": header }));
            }
        }
        responses.insert(status, success);
        let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        for code in route.codes() {
            by_status.entry(code.status().as_u16()).or_default().push(code);
        }
        let problem = self.given.subschema_for::<Problem>();
        for (status, codes) in by_status {
            let described = match codes.as_slice() {
                [one] => json!({ "$ref": format!("#/components/responses/{}", one.parts().0) }),
                several => response(several, &problem),
            };
            responses.insert(status.to_string(), described);
        }
        Value::Object(responses)
    }
}

/// The response with one of these problems, which have the same status.
fn response(codes: &[Code], problem: &Schema) -> Value {
    let described: Vec<String> =
        codes.iter().map(|code| format!("{} (`{PROBLEM}{}`)", code.parts().2, code.parts().0)).collect();
    let mut response = json!({
        "description": described.join("; or: "),
        "content": { "application/problem+json": { "schema": problem } },
    });
    let again = codes.iter().any(|code| matches!(code, Code::TooMany | Code::Busy | Code::NotReady));
    if let Some(response) = response.as_object_mut().filter(|_| again) {
        let header = json!({ "description": "Seconds after which to come back.", "schema": { "type": "integer" } });
        response.insert("headers".into(), json!({ "Retry-After": header }));
    }
    response
}

/// What may stand in a path under a name.
fn path_schema(name: &str) -> SchemaFn {
    match name {
        "asset" | "text" => schema_of::<AssetId>,
        "address" => schema_of::<Address>,
        "hash" | "request" => schema_of::<TxHash>,
        "column" => schema_of::<u8>,
        "n" => schema_of::<u32>,
        "index" | "height" | "position" => schema_of::<u64>,
        _ => schema_of::<String>,
    }
}

fn header_parameter(header: &Header) -> Value {
    let schema = json!({ "type": "string", "pattern": header.pattern });
    let (name, required, about) = (header.name, header.is_required, header.about);
    json!({ "name": name, "in": "header", "required": required, "description": about, "schema": schema })
}

/// The fields of a type as parameters behind `?`.
fn query_parameters(schema: &Schema) -> Vec<Value> {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
    let properties = schema.get("properties").and_then(Value::as_object);
    let one = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let about = schema.as_object_mut().and_then(|fields| fields.remove("description"));
        if let Some(kinds) = schema.get("type").and_then(Value::as_array) {
            // What may be left out is not null where it is given.
            let kind = kinds.iter().find(|kind| *kind != "null").cloned();
            schema.as_object_mut().and_then(|fields| fields.insert("type".into(), kind?));
        }
        json!({ "name": name, "in": "query", "required": is_required(name), "description": about, "schema": schema })
    };
    properties.into_iter().flatten().map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_route_is_described_and_every_reference_leads_somewhere() {
        let document = document();
        for route in super::super::routes() {
            let operation = &document["paths"][route.path][route.method.to_lowercase()];
            assert_eq!(operation["operationId"], route.name, "{}", route.path);
            let in_path = operation["parameters"].as_array().unwrap().iter().filter(|one| one["in"] == "path").count();
            assert_eq!(in_path, route.path.matches('{').count(), "{}", route.path);
        }
        let names: std::collections::BTreeSet<_> = super::super::routes().map(|route| route.name).collect();
        assert_eq!(names.len(), super::super::routes().count(), "two routes have one name");
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn codes_have_one_name_each_in_the_order_of_their_statuses() {
        let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.parts().0).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.is_sorted_by_key(|code| code.status()), "{:?}", Code::ALL);
    }
}
