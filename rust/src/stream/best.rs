//! Which choices a plain answer shows.

use crate::opening::Opening;

use super::choice::Choice;

/// Indices of the choices, in order: all, or of each prompt's the likeliest ones, the likeliest first, by the mean log
/// probability of their tokens.
///
/// Source: `OpenAI`'s API reference, `best_of` of completions ("the one with the highest log probability per token").
pub(super) fn shown(choices: &[Choice], opening: &Opening) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..choices.len()).collect();
    let Some(num_best) = opening.output.num_best else {
        return shown;
    };
    let mean = |index: &usize| choices[*index].mean_logprob();
    let mut best = Vec::new();
    for of_prompt in shown.chunks_mut(opening.choices_per_prompt.max(1) as usize) {
        of_prompt.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        best.extend(of_prompt.iter().take(num_best as usize));
    }
    best
}
