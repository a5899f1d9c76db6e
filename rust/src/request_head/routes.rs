//! The closed list of endpoints: a path to those that have it, and their methods.

use std::fmt;

use crate::error_shape::ErrorShape;

/// One part of a path template between slashes.
#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
    /// A parameter that ends a template, and behind which no other template goes on: takes the rest of the path, slashes
    /// included.
    Rest(String),
}

#[derive(Debug)]
struct Route {
    endpoint: usize,
    segments: Vec<Segment>,
    methods: Vec<String>,
    takes_body: bool,
    error_shape: ErrorShape,
}

/// One endpoint of the list.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Parameters in braces, as `/v1/models/{model_id}`.
    pub template: String,
    /// In any case.
    pub methods: Vec<String>,
    /// Whether it reads JSON bodies, which then must say that they are JSON.
    pub takes_body: bool,
    /// Of its refusals.
    pub error_shape: ErrorShape,
}

/// All endpoints, the most literal first.
#[derive(Debug)]
pub struct Routes(Vec<Route>);

/// A path template that cannot be used, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct BadTemplate(String);

/// What a method and a path lead to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// An endpoint's index, and the parameters of its path.
    Endpoint(usize, Vec<(String, String)>),
    /// Some endpoint has the path; none of them the method.
    WrongMethod,
    /// No endpoint has the path.
    Unknown,
}

impl Routes {
    /// The list, in order.
    ///
    /// # Errors
    /// A template without a leading slash, or with a brace that is not a whole segment's.
    pub fn new(endpoints: &[Endpoint]) -> Result<Self, BadTemplate> {
        let mut routes = Vec::with_capacity(endpoints.len());
        for (index, endpoint) in endpoints.iter().enumerate() {
            routes.push(Route {
                endpoint: index,
                segments: parse(&endpoint.template)?,
                methods: with_head(&endpoint.methods),
                takes_body: endpoint.takes_body,
                error_shape: endpoint.error_shape,
            });
        }
        let narrowed: Vec<bool> = routes
            .iter()
            .map(|route| is_gone_on(route, &routes))
            .collect();
        for (route, _) in routes.iter_mut().zip(narrowed).filter(|(_, is)| *is) {
            route.narrow();
        }
        // Stable: among equally literal templates the earlier endpoint wins.
        routes.sort_by(|a, b| a.specificity().cmp(b.specificity()));
        Ok(Self(routes))
    }

    /// The most literal endpoint that has both the path and the method.
    pub(super) fn find(&self, method: &str, path: &str) -> Match {
        let mut seen = Match::Unknown;
        for route in &self.0 {
            let Some(parameters) = route.match_path(path) else {
                continue;
            };
            if route.methods.iter().any(|own| own == method) {
                let owned = parameters
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()));
                return Match::Endpoint(route.endpoint, owned.collect());
            }
            seen = Match::WrongMethod;
        }
        seen
    }

    /// Whether the endpoint of that index reads a body.
    pub(super) fn takes_body(&self, endpoint: usize) -> bool {
        self.0
            .iter()
            .any(|route| route.endpoint == endpoint && route.takes_body)
    }

    /// The shape of a path's refusals, whatever the method.
    pub(super) fn error_shape_of(&self, path: &str) -> ErrorShape {
        let mut routes = self.0.iter();
        let route = routes.find(|route| route.match_path(path).is_some());
        route.map_or_else(ErrorShape::default, |route| route.error_shape)
    }

    /// The path that was probably meant by one that leads nowhere: the same with single slashes,
    /// behind the first segment of some template ("/v1"), or without its own first segments.
    pub(super) fn nearest(&self, path: &str) -> Option<String> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let suffix = |start: usize| format!("/{}", parts[start..].join("/"));
        let prefixed = self
            .0
            .iter()
            .filter_map(|route| match route.segments.as_slice() {
                [Segment::Literal(prefix), Segment::Literal(next), ..]
                    if parts.first() == Some(&next.as_str()) =>
                {
                    Some(format!("/{prefix}{}", suffix(0)))
                }
                _ => None,
            });
        let shortened = (1..parts.len()).map(suffix);
        let whole = (!parts.is_empty()).then(|| suffix(0));
        whole
            .into_iter()
            .chain(prefixed)
            .chain(shortened)
            .find(|candidate| !self.methods_of(candidate).is_empty())
    }

    /// All methods that the endpoints of a path take, each once.
    pub(super) fn methods_of(&self, path: &str) -> Vec<&str> {
        let mut methods = Vec::new();
        for route in self
            .0
            .iter()
            .filter(|route| route.match_path(path).is_some())
        {
            for method in &route.methods {
                if !methods.contains(&method.as_str()) {
                    methods.push(method);
                }
            }
        }
        methods
    }
}

/// Whether some template goes on where a route's own ends in a parameter.
fn is_gone_on(route: &Route, routes: &[Route]) -> bool {
    let (own, last) = (&route.segments, route.segments.len() - 1);
    let goes_on = |other: &Route| {
        let behind = &other.segments;
        behind.len() > own.len()
            && matches!(behind[last], Segment::Parameter(_))
            && behind[..last] == own[..last]
    };
    matches!(own[last], Segment::Rest(_)) && routes.iter().any(goes_on)
}

impl Route {
    /// Makes the rest at its end a parameter of one segment.
    fn narrow(&mut self) {
        if let Some(Segment::Rest(name)) = self.segments.last_mut() {
            let name = std::mem::take(name);
            self.segments.pop();
            self.segments.push(Segment::Parameter(name));
        }
    }

    /// Ranks of the segments: a literal before a parameter before the rest.
    fn specificity(&self) -> impl Iterator<Item = u8> {
        self.segments.iter().map(|segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Parameter(_) => 1,
            Segment::Rest(_) => 2,
        })
    }

    fn match_path<'a>(&'a self, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut rest = Some(path.strip_prefix('/')?);
        let mut parameters = Vec::new();
        for segment in &self.segments {
            let remaining = rest?;
            let (head, tail) = match remaining.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (remaining, None),
            };
            rest = match segment {
                Segment::Literal(literal) if literal == head => tail,
                Segment::Parameter(name) if !head.is_empty() => {
                    parameters.push((name.as_str(), head));
                    tail
                }
                Segment::Rest(name) if !remaining.is_empty() => {
                    parameters.push((name.as_str(), remaining));
                    None
                }
                _ => return None,
            };
        }
        rest.is_none().then_some(parameters)
    }
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadTemplate {}

fn parse(template: &str) -> Result<Vec<Segment>, BadTemplate> {
    let bad = |why: &str| BadTemplate(format!("path template {template:?} {why}"));
    let parts: Vec<&str> = template
        .strip_prefix('/')
        .ok_or_else(|| bad("must begin with a slash"))?
        .split('/')
        .collect();
    let last = parts.len() - 1;
    let segment = |(index, part): (usize, &&str)| {
        let name = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        match name {
            _ if name.unwrap_or(part).contains(['{', '}']) => {
                Err(bad("has a brace inside a segment"))
            }
            Some("") => Err(bad("has a parameter without a name")),
            Some(name) if index == last => Ok(Segment::Rest(name.to_owned())),
            Some(name) => Ok(Segment::Parameter(name.to_owned())),
            None => Ok(Segment::Literal((*part).to_owned())),
        }
    };
    parts.iter().enumerate().map(segment).collect()
}

/// In upper case. HEAD goes where GET goes (RFC 9110 section 9.3.2).
fn with_head(methods: &[String]) -> Vec<String> {
    let methods: Vec<String> = methods.iter().map(|own| own.to_ascii_uppercase()).collect();
    let has = |wanted: &str| methods.iter().any(|method| method == wanted);
    let head = (has("GET") && !has("HEAD")).then(|| "HEAD".to_owned());
    methods.into_iter().chain(head).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn routes() -> Routes {
        let endpoints = [
            ("/v1/keys/{key_id}", "GET DELETE"),
            ("/v1/keys/stats", "GET"),
            ("/v1/models", "GET"),
            ("/v1/models/{model_id}", "GET"),
            ("/v1/chat/completions", "POST"),
            ("/v1/responses/{id}", "GET DELETE"),
            ("/v1/responses/{id}/cancel", "POST"),
            ("/v1/responses", "POST"),
            ("/", "GET"),
        ];
        let listed = endpoints.map(|(template, methods)| Endpoint {
            template: template.to_owned(),
            methods: methods.split(' ').map(str::to_owned).collect(),
            takes_body: template == "/v1/responses",
            error_shape: ErrorShape::default(),
        });
        Routes::new(&listed).expect("good templates")
    }

    #[test]
    fn paths_lead_to_endpoints() {
        let found = |endpoint, parameters: &[(&str, &str)]| {
            let owned = parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Match::Endpoint(endpoint, owned.collect())
        };
        for (method, path, expected) in [
            ("GET", "/v1/models", found(2, &[])),
            ("HEAD", "/v1/models", found(2, &[])),
            ("GET", "/v1/models/tiny", found(3, &[("model_id", "tiny")])),
            (
                "GET",
                "/v1/models/org/name",
                found(3, &[("model_id", "org/name")]),
            ),
            (
                "GET",
                "/v1/models/org//x/",
                found(3, &[("model_id", "org//x/")]),
            ),
            ("GET", "/v1/models/", Match::Unknown),
            ("GET", "/v1/keys/stats", found(1, &[])),
            ("GET", "/v1/keys/k1", found(0, &[("key_id", "k1")])),
            ("DELETE", "/v1/keys/stats", found(0, &[("key_id", "stats")])),
            ("POST", "/v1/responses/r1/cancel", found(6, &[("id", "r1")])),
            ("GET", "/v1/responses/r1", found(5, &[("id", "r1")])),
            ("GET", "/v1/responses/r1/cancel", Match::WrongMethod),
            ("GET", "/v1/responses/r1/others", Match::Unknown),
            ("POST", "/v1/responses//cancel", Match::Unknown),
            ("PUT", "/v1/responses", Match::WrongMethod),
            ("get", "/v1/models", Match::WrongMethod),
            ("GET", "/", found(8, &[])),
            ("GET", "", Match::Unknown),
            ("GET", "/v1", Match::Unknown),
            ("GET", "v1/models", Match::Unknown),
            ("GET", "/V1/models", Match::Unknown),
        ] {
            assert_eq!(routes().find(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn methods_of_a_path_are_those_of_all_its_endpoints() {
        assert_eq!(
            routes().methods_of("/v1/keys/stats"),
            ["GET", "HEAD", "DELETE"]
        );
        assert_eq!(routes().methods_of("/v1/responses/r1/cancel"), ["POST"]);
        assert_eq!(routes().methods_of("/nowhere"), [] as [&str; 0]);
    }

    #[test]
    fn bad_templates_are_refused() {
        for template in ["v1", "", "/a{b}", "/{}", "/{a", "/{a}{b}"] {
            let endpoint = Endpoint {
                template: template.to_owned(),
                methods: vec![],
                takes_body: false,
                error_shape: ErrorShape::default(),
            };
            assert!(Routes::new(&[endpoint]).is_err(), "{template:?}");
        }
    }

    #[test]
    fn methods_may_be_written_in_any_case() {
        let endpoint = Endpoint {
            template: "/a".to_owned(),
            methods: vec!["post".to_owned(), "Get".to_owned()],
            takes_body: true,
            error_shape: ErrorShape::default(),
        };
        let routes = Routes::new(&[endpoint]).expect("good template");
        assert_eq!(routes.methods_of("/a"), ["POST", "GET", "HEAD"]);
        assert_eq!(routes.find("POST", "/a"), Match::Endpoint(0, vec![]));
        assert!(routes.takes_body(0) && !routes.takes_body(1));
    }

    #[test]
    fn the_path_that_was_meant_is_found() {
        for (path, meant) in [
            ("/chat/completions", Some("/v1/chat/completions")),
            ("chat/completions", Some("/v1/chat/completions")),
            ("/v1/chat/completions/", Some("/v1/chat/completions")),
            ("//v1//chat/completions", Some("/v1/chat/completions")),
            ("/v1/v1/chat/completions", Some("/v1/chat/completions")),
            ("/openai/v1/models", Some("/v1/models")),
            ("/v1/models/", Some("/v1/models")),
            ("/models/org/name", Some("/v1/models/org/name")),
            ("/nowhere", None),
            ("/v1", None),
            ("", None),
            ("//", None),
        ] {
            assert_eq!(routes().nearest(path).as_deref(), meant, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_answered(method in ".{0,8}", path in r"\PC{0,40}|(/[a-z{}%]{0,8}){0,6}") {
            let _ = routes().find(&method, &path);
        }

        #[test]
        fn the_rest_of_a_path_is_taken_whole(rest in r"[^\n]{1,40}") {
            let expected = vec![("model_id".to_owned(), rest.clone())];
            prop_assert_eq!(routes().find("GET", &format!("/v1/models/{rest}")), Match::Endpoint(3, expected));
        }
    }
}
