//! Any head: it ends in an endpoint or a ready answer, and no header that is sent can be split.
#![no_main]

use std::sync::LazyLock;

use _core::error_shape::ErrorShape;
use _core::request_head::{Endpoint, Fresh, RequestLine, Router, Routes};
use libfuzzer_sys::fuzz_target;

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let endpoint = |template: &str, method: &str| Endpoint {
        template: template.to_owned(),
        methods: vec![method.to_owned()],
        takes_body: method == "POST",
        error_shape: ErrorShape::OpenAi,
    };
    let endpoints = [
        endpoint("/v1/chat/completions", "POST"),
        endpoint("/v1/models/{model_id}", "GET"),
        endpoint("/v1/responses/{response_id}/input_items", "GET"),
    ];
    let routes = Routes::new(&endpoints).expect("the target's own routes");
    Router::new(routes, &["https://app.example".to_owned()], 1 << 20, 64)
});

fuzz_target!(|input: (&str, &str, Vec<(Vec<u8>, Vec<u8>)>, bool)| {
    let (method, path, headers, is_http_1) = input;
    let line = RequestLine {
        method,
        path,
        is_http_1,
    };
    let fresh = Fresh {
        request_id: "req_minted".to_owned(),
        timestamp: 1.0,
    };
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()));
    let head = ROUTER.read(line, headers, fresh);
    assert!(head.endpoint.is_some() || head.answer.is_some());
    let answered = head.answer.iter().flat_map(|answer| &answer.headers);
    for header in head.headers.iter().chain(answered) {
        assert!(
            !header.value.iter().any(|byte| b"\r\n\0".contains(byte)),
            "{header:?}"
        );
    }
});
