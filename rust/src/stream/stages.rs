//! What stands between a choice's ids and what is shown: special tokens, stop strings, thoughts, calls.

use std::sync::Arc;

use crate::one_call::OneCall;
use crate::opening::Opening;
use crate::reasoning;
use crate::stage::Stage;
use crate::stop::{StopStage, StopStrings};
use crate::vocabulary::Vocabulary;

/// Which special tokens are part of the text.
#[derive(Clone, Debug)]
pub(super) enum ShownSpecials {
    /// These, by id: in most streams none.
    Some(Arc<[u32]>),
    All,
}

impl ShownSpecials {
    pub(super) fn new(opening: &Opening, vocabulary: &Vocabulary) -> Self {
        if opening.output.shows_special_tokens {
            return Self::All;
        }
        let ids = opening.output.markers();
        Self::Some(ids.filter_map(|text| vocabulary.special_id(text)).collect())
    }

    pub(super) fn has(&self, id: u32) -> bool {
        match self {
            Self::Some(ids) => ids.contains(&id),
            Self::All => true,
        }
    }
}

/// The stages between a choice's text and its events, in order.
pub(super) fn stages(opening: &Opening, stops: &Arc<StopStrings>) -> Vec<Box<dyn Stage>> {
    let mut stages: Vec<Box<dyn Stage>> = Vec::new();
    if !stops.is_empty() {
        let stage = StopStage::new(stops.clone(), opening.output.includes_stop);
        stages.push(Box::new(stage));
    }
    if opening.dialect.is_structured() {
        let (reasoning, tools) = (opening.output.reasoning, opening.output.tools.clone());
        stages.extend(reasoning::stages(reasoning, tools));
        if !opening.output.has_parallel_calls {
            stages.push(Box::new(OneCall));
        }
    }
    stages
}
