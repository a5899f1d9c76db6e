//! A prompt that the answer tells of: its text before the answer, and the rows of its tokens.

use crate::detokenize::Detokenizer;
use crate::dialect::Prompt;
use crate::opening::{Opening, ShownPrompt};
use crate::output_options::OutputOptions;
use crate::token_table::{TokenRow, TokenTable};
use crate::vocabulary::Vocabulary;

use super::columns::PromptColumns;

/// A prompt as the answer shows it.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) text: String,
    /// Characters of the text.
    pub(super) num_chars: u32,
    ids: Vec<u32>,
    /// By token, the characters of the text before it; empty where rows are not told.
    text_offsets: Vec<u32>,
    pub(super) table: Option<TokenTable>,
}

impl Echo {
    pub(super) fn new(
        prompt: &ShownPrompt,
        output: &OutputOptions,
        vocabulary: &Vocabulary,
    ) -> Self {
        let shows_special_tokens = output.shows_special_tokens;
        let decode = || decode(&prompt.ids, shows_special_tokens, vocabulary);
        let text = prompt.text.clone().unwrap_or_else(decode);
        let mut echo = Self {
            num_chars: count_chars(&text),
            text,
            ids: prompt.ids.clone(),
            text_offsets: Vec::new(),
            table: None,
        };
        if let Some(num_top) = output.prompt_logprobs.or(output.logprobs) {
            echo.text_offsets = offsets(&echo.ids, &echo.text, vocabulary);
            let mut table = TokenTable::new(num_top as usize);
            if let Some(first) = echo.row(0, None) {
                table.push(first, []);
            }
            echo.table = Some(table);
        }
        echo
    }

    /// Takes the log probabilities of some of its tokens. Those that it has already, which an engine gives again where
    /// it computes a prompt twice, are passed over.
    pub(super) fn take(&mut self, columns: &PromptColumns<'_>) {
        for (token, logprobs) in (columns.start as usize + 1..).zip(columns.tokens()) {
            let row = self.row(token, Some(logprobs.sampled));
            if let (Some(table), Some(row)) = (&mut self.table, row)
                && table.len() == token
            {
                table.push(row, logprobs.top());
            }
        }
    }

    /// No more columns will come: what an engine did not give has none.
    pub(super) fn complete(&mut self) {
        let num_rows = self.table.as_ref().map_or(0, TokenTable::len);
        for token in num_rows..self.ids.len() {
            let row = self.row(token, None);
            if let (Some(table), Some(row)) = (&mut self.table, row) {
                table.push(row, []);
            }
        }
    }

    fn row(&self, token: usize, logprob: Option<f32>) -> Option<TokenRow> {
        Some(TokenRow {
            id: *self.ids.get(token)?,
            text_offset: *self.text_offsets.get(token)?,
            logprob,
        })
    }
}

fn decode(ids: &[u32], shows_special_tokens: bool, vocabulary: &Vocabulary) -> String {
    let mut text = String::new();
    let mut detokenizer = Detokenizer::new(vocabulary);
    for id in ids {
        if shows_special_tokens {
            detokenizer.push_shown(vocabulary, *id, &mut text);
        } else {
            detokenizer.push(vocabulary, *id, &mut text);
        }
    }
    detokenizer.finish(vocabulary, &mut text);
    text
}

/// By token, the characters of `text` before it. A special token has a place of its own in the text only where the
/// text spells it there: one that was added to a text, as a start token, has none.
fn offsets(ids: &[u32], text: &str, vocabulary: &Vocabulary) -> Vec<u32> {
    let mut detokenizer = Detokenizer::new(vocabulary);
    let mut piece = String::new();
    let (mut num_bytes, mut num_chars) = (0, 0);
    let mut offsets = Vec::with_capacity(ids.len());
    for id in ids {
        offsets.push(num_chars);
        piece.clear();
        if vocabulary.is_special(*id) {
            let rest = text.as_bytes().get(num_bytes..).unwrap_or_default();
            if rest.starts_with(&vocabulary.bytes(*id)) {
                detokenizer.push_shown(vocabulary, *id, &mut piece);
            }
        } else {
            detokenizer.push(vocabulary, *id, &mut piece);
        }
        num_bytes += piece.len();
        num_chars += count_chars(&piece);
    }
    offsets
}

/// The prompts that stand before their answers, or whose tokens are told.
pub(super) fn echoes(opening: &Opening, vocabulary: &Vocabulary) -> Vec<Echo> {
    let tells_prompts = opening.echoes_prompts || opening.output.prompt_logprobs.is_some();
    let prompts = opening.prompts.iter().filter(|_| tells_prompts);
    prompts
        .map(|prompt| Echo::new(prompt, &opening.output, vocabulary))
        .collect()
}

/// What the answer tells of the prompt that a choice continues.
pub(super) fn prompt_of<'a>(
    index: usize,
    opening: &'a Opening,
    echoes: &'a [Echo],
) -> Option<Prompt<'a>> {
    let told = echoes.get(opening.prompt_index(index));
    let table = told.and_then(|echo| echo.table.as_ref());
    let shown = told.filter(|_| opening.echoes_prompts);
    let output = &opening.output;
    opening.prompt_of(index).map(|prompt| Prompt {
        ids: &prompt.ids,
        text: shown.map(|echo| echo.text.as_str()),
        tokens: table.filter(|_| opening.echoes_prompts && output.logprobs.is_some()),
        own_tokens: table.filter(|_| output.prompt_logprobs.is_some()),
    })
}

/// Saturates, as texts of 4 GiB do not come.
pub(super) fn count_chars(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}
