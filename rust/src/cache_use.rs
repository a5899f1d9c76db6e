//! What a prompt found in the prefix cache, and why no more.

/// Why a prompt left what was cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheExit {
    /// It did not: all that a cache can have of it was there.
    Whole,
    /// What comes next was there once.
    Evicted,
    /// Other tokens had followed those that were there.
    Differs,
    /// Nothing that begins so is known.
    New,
    /// Nothing was computed under its salt.
    Salt,
    /// It reads nothing from a cache, or there is none.
    Off,
}

impl CacheExit {
    const ALL: [Self; 6] = [
        Self::Whole,
        Self::Evicted,
        Self::Differs,
        Self::New,
        Self::Salt,
        Self::Off,
    ];

    /// As the scheduler and the wire spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Evicted => "evicted",
            Self::Differs => "differs",
            Self::New => "new",
            Self::Salt => "salt",
            Self::Off => "off",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| exit.name() == name)
    }

    /// Whether there was a token at which the prompt left.
    const fn has_token(self) -> bool {
        !matches!(self, Self::Whole | Self::Off)
    }
}

/// What a choice's prompt found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Tokens of it that need not be computed.
    pub num_cached_tokens: u32,
    /// Tokens of it that were looked for.
    pub num_queried_tokens: u32,
    /// Why no more was found, where the request asked.
    pub exit: Option<CacheExit>,
}

impl CacheUse {
    /// As the wire tells it; null where nothing is known.
    fn push_json(self, out: &mut String) {
        use std::fmt::Write;
        let Some(exit) = self.exit else {
            return out.push_str("null");
        };
        let Self {
            num_cached_tokens, ..
        } = self;
        let name = exit.name();
        let written = if exit.has_token() {
            write!(
                out,
                "{{\"cached_tokens\":{num_cached_tokens},\"reason\":\"{name}\",\"left_at_token\":{num_cached_tokens}}}"
            )
        } else {
            write!(
                out,
                "{{\"cached_tokens\":{num_cached_tokens},\"reason\":\"{name}\",\"left_at_token\":null}}"
            )
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
}

/// The member of an answer that tells what its prompts found, each once: `,"penstock":{"cache":[…]}`.
pub fn report(prompts: impl IntoIterator<Item = CacheUse>) -> String {
    let mut json = String::from(",\"penstock\":{\"cache\":[");
    for (place, found) in prompts.into_iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        found.push_json(&mut json);
    }
    json.push_str("]}");
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        for exit in CacheExit::ALL {
            assert_eq!(CacheExit::from_name(exit.name()), Some(exit));
        }
        assert_eq!(CacheExit::from_name("lost"), None);
    }

    #[test]
    fn a_report_tells_each_prompt_and_where_it_left() {
        let found = |num_cached_tokens, exit| CacheUse {
            num_cached_tokens,
            num_queried_tokens: 64,
            exit,
        };
        let prompts = [
            found(32, Some(CacheExit::Differs)),
            found(64, Some(CacheExit::Whole)),
            found(0, None),
        ];
        let object = format!("{{\"usage\":0{}}}", report(prompts));
        let told: Value = serde_json::from_str(&object).unwrap();
        assert_eq!(
            told["penstock"]["cache"],
            json!([
                {"cached_tokens": 32, "reason": "differs", "left_at_token": 32},
                {"cached_tokens": 64, "reason": "whole", "left_at_token": null},
                null
            ])
        );
    }
}
