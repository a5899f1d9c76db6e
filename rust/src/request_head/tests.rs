use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::error_shape::ErrorShape;

const JSON: (&str, &str) = ("content-type", "application/json");
const FROM_APP: (&str, &str) = ("origin", "https://app.example");

fn router(cors_origins: &[&str]) -> Router {
    let endpoints = [
        ("/v1/models/{model_id}", "GET", false),
        ("/v1/chat/completions", "POST", true),
        ("/reset", "POST", false),
    ];
    let endpoints = endpoints.map(|(template, method, takes_body)| Endpoint {
        template: template.to_owned(),
        methods: vec![method.to_owned()],
        takes_body,
        error_shape: ErrorShape::default(),
    });
    let routes = Routes::new(&endpoints).expect("good templates");
    let origins: Vec<String> = cors_origins
        .iter()
        .map(|origin| (*origin).to_owned())
        .collect();
    Router::new(routes, &origins, 1000, 20)
}

fn read(router: &Router, line: &str, headers: &[(&str, &str)]) -> RequestHead {
    let (method, path) = line.split_once(' ').expect("method and path");
    let line = RequestLine {
        method,
        path,
        is_http_1: true,
    };
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    router.read(
        line,
        headers,
        Fresh {
            request_id: "req_minted".to_owned(),
            timestamp: 1.0,
        },
    )
}

fn value<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let mut named = headers
        .iter()
        .filter(|header| header.name == name.as_bytes());
    let found = named
        .next()
        .map(|header| std::str::from_utf8(&header.value).expect("text"));
    assert!(named.next().is_none(), "{name} is there twice");
    found
}

#[test]
fn a_refusal_has_the_shape_of_its_paths_endpoint() {
    let endpoint = |template: &str, error_shape| Endpoint {
        template: template.to_owned(),
        methods: vec!["POST".to_owned()],
        takes_body: true,
        error_shape,
    };
    let endpoints = [
        endpoint("/v1/completions", ErrorShape::OpenAi),
        endpoint("/v1/messages", ErrorShape::Anthropic),
    ];
    let listed = Routes::new(&endpoints).expect("good templates");
    let router = Router::new(listed, &[], 1000, 20);
    for (line, is_anthropic) in [
        ("POST /v1/messages", true),
        ("GET /v1/messages", true),
        ("POST /v1/completions", false),
        ("POST /nowhere", false),
    ] {
        let head = read(
            &router,
            line,
            &[("content-type", "text/plain"), ("content-length", "5")],
        );
        let body = head.answer.expect("a refusal").body;
        let value: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(value["type"] == "error", is_anthropic, "{line}");
        assert_eq!(value["request_id"], "req_minted", "{line}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn heads_are_passed_or_refused() {
    let router = router(&[]);
    let post = "POST /v1/chat/completions";
    for (line, headers, status, code) in [
        ("GET /v1/models/org/name", &[][..], 0, ""),
        ("HEAD /v1/models/org/name", &[], 0, ""),
        (post, &[JSON, ("content-length", "1000")], 0, ""),
        (
            post,
            &[
                ("content-type", "Application/JSON; charset=utf-8"),
                ("content-length", "2"),
            ],
            0,
            "",
        ),
        (post, &[], 0, ""),
        (post, &[("content-length", "0")], 0, ""),
        (
            post,
            &[("content-type", "text/plain"), ("content-length", "0")],
            0,
            "",
        ),
        ("GET /nowhere", &[], 404, "unknown_url"),
        ("GET /v1/chat/completions/", &[], 404, "unknown_url"),
        ("GET /v1/chat/completions", &[], 405, "method_not_allowed"),
        (
            "OPTIONS /v1/chat/completions",
            &[],
            405,
            "method_not_allowed",
        ),
        (
            post,
            &[JSON, ("content-length", "1001")],
            413,
            "request_too_large",
        ),
        (
            post,
            &[("content-type", "text/plain"), ("content-length", "2")],
            415,
            "unsupported_media_type",
        ),
        (
            post,
            &[("content-type", "application/x-www-form-urlencoded")],
            415,
            "unsupported_media_type",
        ),
        (
            post,
            &[("content-length", "2")],
            415,
            "unsupported_media_type",
        ),
        (
            post,
            &[("transfer-encoding", "chunked")],
            415,
            "unsupported_media_type",
        ),
        (
            post,
            &[JSON, ("content-length", "2"), ("content-encoding", "gzip")],
            415,
            "unsupported_media_type",
        ),
        (
            post,
            &[
                JSON,
                ("content-length", "2"),
                ("content-encoding", "Identity"),
            ],
            0,
            "",
        ),
        ("POST /reset", &[("content-length", "2")], 0, ""),
        (
            "POST /reset",
            &[("content-length", "1001")],
            413,
            "request_too_large",
        ),
        (post, &[JSON, ("content-length", "two")], 400, ""),
        (post, &[("a", "b"); 21], 431, "headers_too_large"),
    ] {
        let head = read(&router, line, headers);
        let answer = head.answer.as_ref();
        assert_eq!(
            answer.map_or(0, |answer| answer.status),
            status,
            "{line} {headers:?}"
        );
        let Some(answer) = answer else { continue };
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(
            body["error"]["code"].as_str().unwrap_or_default(),
            code,
            "{line}"
        );
        assert_eq!(body["request_id"], "req_minted");
        assert_eq!(
            value(&answer.headers, "content-length"),
            Some(answer.body.len().to_string().as_str())
        );
        assert_eq!(
            value(&answer.headers, "content-type"),
            Some("application/json")
        );
        assert_eq!(value(&answer.headers, "x-request-id"), Some("req_minted"));
    }
}

#[test]
fn wrong_methods_are_told_the_right_ones() {
    let head = read(&router(&[]), "DELETE /v1/models/a/b", &[]);
    let answer = head.answer.expect("refused");
    assert_eq!(value(&answer.headers, "allow"), Some("GET, HEAD"));
    assert_eq!(head.endpoint, None);
}

#[test]
fn an_answer_that_leaves_a_body_unread_ends_the_connection() {
    let ends = |path, is_http_1, headers: &[(&str, &str)]| {
        let line = RequestLine {
            method: "POST",
            path,
            is_http_1,
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let fresh = Fresh {
            request_id: "req_minted".to_owned(),
            timestamp: 1.0,
        };
        let head = router(&[]).read(line, headers, fresh);
        let told = head
            .answer
            .as_ref()
            .map(|answer| value(&answer.headers, "connection") == Some("close"));
        (head.closes_if_unread, told)
    };
    let sized = [JSON, ("content-length", "5")];
    let chunked = [JSON, ("transfer-encoding", "chunked")];
    for headers in [sized, chunked] {
        assert_eq!(ends("/nowhere", true, &headers), (true, Some(true)));
        assert_eq!(
            ends("/nowhere", false, &headers),
            (false, Some(false)),
            "HTTP/2 has no such header"
        );
        assert_eq!(ends("/v1/chat/completions", true, &headers), (true, None));
    }
    assert_eq!(
        ends("/nowhere", true, &[("content-length", "0")]),
        (false, Some(false))
    );
    assert_eq!(ends("/nowhere", true, &[]), (false, Some(false)));
}

#[test]
fn a_sane_client_id_is_kept() {
    let router = router(&[]);
    for (given, kept) in [("trace-1", "trace-1"), ("bad id", "req_minted")] {
        let head = read(&router, "GET /v1/models/m", &[("x-request-id", given)]);
        assert_eq!(head.request_id, kept);
        assert_eq!(value(&head.headers, "x-request-id"), Some(kept));
        assert_eq!(value(&head.headers, "server"), Some("penstock"));
    }
}

#[test]
fn origins_get_what_they_may_have() {
    let named = ["https://other.example", "HTTPS://App.example/"];
    for (origins, sent, allowed, credentials) in [
        (&[][..], &[FROM_APP][..], None, None),
        (
            &named,
            &[FROM_APP],
            Some("https://app.example"),
            Some("true"),
        ),
        (
            &named,
            &[("origin", "https://app.example.evil")],
            None,
            None,
        ),
        (&named, &[("origin", "null")], None, None),
        (&named, &[], None, None),
        (&["*"], &[FROM_APP], Some("*"), None),
        (&["*", "https://app.example"], &[FROM_APP], Some("*"), None),
        (&["*"], &[], None, None),
    ] {
        let head = read(&router(origins), "GET /v1/models/m", sent);
        assert_eq!(
            value(&head.headers, "access-control-allow-origin"),
            allowed,
            "{origins:?} {sent:?}"
        );
        assert_eq!(
            value(&head.headers, "access-control-allow-credentials"),
            credentials,
            "{origins:?}"
        );
        assert_eq!(
            value(&head.headers, "access-control-expose-headers").is_some(),
            allowed.is_some()
        );
        let varies = !origins.is_empty() && !origins.contains(&"*");
        assert_eq!(
            value(&head.headers, "vary"),
            varies.then_some("origin"),
            "{origins:?}"
        );
    }
}

#[test]
fn preflights_are_answered_here() {
    let asks = |requested| {
        [
            FROM_APP,
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", requested),
        ]
    };
    let line = "OPTIONS /v1/chat/completions";
    let answer_of = |origins: &[&str], requested| {
        read(&router(origins), line, &asks(requested))
            .answer
            .expect("a ready answer")
    };
    let answer = answer_of(&["https://app.example"], "authorization, content-type");
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(
        value(&answer.headers, "access-control-allow-methods"),
        Some("POST")
    );
    assert_eq!(
        value(&answer.headers, "access-control-allow-headers"),
        Some("authorization, content-type")
    );
    assert_eq!(
        value(&answer.headers, "access-control-max-age"),
        Some("600")
    );
    assert_eq!(value(&answer.headers, "content-length"), None);

    let odd = answer_of(&["*"], "x\r\ny: z");
    assert_eq!(
        (
            odd.status,
            value(&odd.headers, "access-control-allow-headers")
        ),
        (204, None)
    );
    let stranger = answer_of(&["https://other.example"], "authorization");
    assert_eq!(
        (
            stranger.status,
            value(&stranger.headers, "access-control-allow-methods")
        ),
        (204, None)
    );
    assert_eq!(answer_of(&[], "authorization").status, 405);
    let lost = read(&router(&["*"]), "OPTIONS /nowhere", &asks("authorization"));
    assert_eq!(lost.answer.expect("refused").status, 404);
}

proptest! {
    #[test]
    fn every_head_ends_in_an_endpoint_or_an_answer(
        method in "GET|POST|OPTIONS|\\PC{0,6}",
        path in "/v1/models/\\PC{0,20}|/v1/chat/completions|\\PC{0,30}",
        headers in prop::collection::vec((
            prop_oneof![
                Just("content-length"), Just("content-type"), Just("origin"), Just("x-request-id"),
                Just("access-control-request-method"), Just("access-control-request-headers"), Just("x"),
            ],
            any::<Vec<u8>>(),
        ), 0..25),
        cors in prop_oneof![Just(&[][..]), Just(&["*"][..]), Just(&["https://app.example"][..])],
    ) {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
        let fresh = Fresh { request_id: "req_minted".to_owned(), timestamp: 1.0 };
        let line = RequestLine { method: &method, path: &path, is_http_1: true };
        let head = router(cors).read(line, headers, fresh);
        prop_assert!(head.endpoint.is_some() || head.answer.is_some());
        let answered = head.answer.iter().flat_map(|answer| &answer.headers);
        for header in head.headers.iter().chain(answered) {
            prop_assert!(!header.value.iter().any(|byte| b"\r\n\0".contains(byte)));
        }
    }
}
