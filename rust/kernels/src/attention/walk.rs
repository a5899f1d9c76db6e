//! A span's way through its keys, block by block.

use std::cell::RefCell;
use std::ops::Range;

use super::Attention;
use super::cache_number::CacheNumber;
use super::layout::Layout;
use super::shape::{BLOCK, CHUNK, PAGE};
use super::softmax::Rows;
use super::spans::Span;
use super::sums::{Merge, Sums};
use super::tile::{Block, TILE, Tile};
use crate::isa::Isa;
use crate::share::Shared;
use crate::simd::{Simd, Task, dispatch};

thread_local! {
    /// A walk's queries and sums; kept, as asking for memory costs as much as a short walk.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Where a walk's outcome goes.
pub(super) enum Outcome<'a> {
    /// The means, to `out` [R, N * H].
    Means(Shared<f32>),
    /// The sums of the one chunk of this number.
    OfChunk(usize, &'a mut [f32]),
}

/// A span's keys.
pub(super) struct Keys<'a, N> {
    pub(super) attention: &'a Attention<'a>,
    pub(super) cache: &'a [N],
    pub(super) span: &'a Span,
}

/// One span, all of its chunks or one.
pub(super) fn walk<N: CacheNumber>(keys: &Keys<'_, N>, isa: Isa, outcome: Outcome<'_>) {
    let (attention, span) = (keys.attention, keys.span);
    let num_rows = attention.num_rows(span);
    let size = attention.heads.head_dim;
    let (num_queries, num_sums) = (num_rows * size, attention.num_sums(span));
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(scratch.len().max(num_queries + size + 2 * num_sums), 0.0);
        let (queries, rest) = scratch.split_at_mut(num_queries);
        let (query, rest) = rest.split_at_mut(size);
        let (of_chunk, rest) = rest.split_at_mut(num_sums);
        dispatch(
            isa,
            PrepareQueries {
                attention,
                span,
                queries,
                query,
            },
        );
        match outcome {
            Outcome::OfChunk(chunk, place) => {
                keys.sum_up(isa, queries, chunk, &mut Sums::within(place, num_rows));
            }
            Outcome::Means(out) => {
                let mut of_chunk = Sums::within(of_chunk, num_rows);
                let mut whole = attention.begun(span, &mut rest[..num_sums]);
                for chunk in span.chunks() {
                    keys.sum_up(isa, queries, chunk, &mut of_chunk);
                    dispatch(
                        isa,
                        Merge {
                            whole: &mut whole,
                            other: &of_chunk,
                        },
                    );
                }
                attention.write_means(span, &whole, out);
            }
        }
    });
}

impl<N: CacheNumber> Keys<'_, N> {
    /// Sums of one chunk of keys.
    fn sum_up(&self, isa: Isa, queries: &[f32], chunk: usize, sums: &mut Sums<'_>) {
        sums.clear();
        let seen = &self.span.keys;
        let (first, end) = (
            seen.start.max(chunk * CHUNK),
            seen.end.min((chunk + 1) * CHUNK),
        );
        for block in first / BLOCK..end.div_ceil(BLOCK) {
            let pages = self.pages(
                block,
                first.max(block * BLOCK)..end.min((block + 1) * BLOCK),
            );
            self.add_block(isa, queries, block, &pages, sums);
        }
    }

    fn add_block(
        &self,
        isa: Isa,
        queries: &[f32],
        block: usize,
        pages: &Block<'_, N::Word>,
        sums: &mut Sums<'_>,
    ) {
        let attention = self.attention;
        let (head_dim, vectors) = (attention.heads.head_dim, attention.vectors());
        for rows in tiles(attention.num_rows(self.span)) {
            let mut seen = [(0, 0); TILE];
            for (seen, row) in seen.iter_mut().zip(rows.clone()) {
                *seen = within(attention.keys_of(self.span, row), block * BLOCK);
            }
            if seen.iter().all(|seen| seen.0 >= seen.1) {
                continue;
            }
            let width = vectors.width();
            let mut tile = Tile {
                queries: &queries[rows.start * head_dim..rows.end * head_dim],
                rows: Rows {
                    seen: &seen[..rows.len()],
                    peaks: &mut sums.peaks[rows.clone()],
                    totals: &mut sums.totals[rows.clone()],
                    mixed: &mut sums.mixed[rows.start * width..rows.end * width],
                    vectors,
                    soft_cap: attention.soft_cap,
                },
            };
            tile.add::<N>(isa, pages);
        }
    }

    /// Keys and values of a block's pages, of which those with `seen` keys are asked for; others are read, but not
    /// used, so that any will do.
    fn pages(&self, block: usize, seen: Range<usize>) -> Block<'_, N::Word> {
        let layout = Layout::new(self.attention.heads);
        std::array::from_fn(|page| {
            let key = (block * BLOCK + page * PAGE).clamp(seen.start, seen.end - 1);
            let page = self.attention.places.page(self.span.sequence, key);
            layout.split(&self.cache[layout.start(page, self.span.head)..][..layout.region()])
        })
    }
}

/// Queries of a span, scaled, tile by tile, [H, rows] each. `query`: a place for one.
struct PrepareQueries<'a> {
    attention: &'a Attention<'a>,
    span: &'a Span,
    queries: &'a mut [f32],
    query: &'a mut [f32],
}

impl Task for PrepareQueries<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (attention, span, query) = (self.attention, self.span, self.query);
        let size = query.len();
        for rows in tiles(attention.num_rows(span)) {
            let tile = &mut self.queries[rows.start * size..rows.end * size];
            let num_rows = rows.len();
            for (of, row) in rows.enumerate() {
                let (token, head) = attention.token_and_head(span, row);
                let row = span.sequence * attention.places.num_new + token;
                let first = head % attention.heads.num_groups * size;
                let projected = &attention.projected(row, span.head)[first..][..size];
                attention.preparation.query(projected, query, row, head);
                for (place, number) in tile[of..].iter_mut().step_by(num_rows).zip(&*query) {
                    *place = number * attention.scale;
                }
            }
        }
    }
}

impl Attention<'_> {
    /// Sums of a span's rows before all keys.
    pub(super) fn begun<'a>(&self, span: &Span, place: &'a mut [f32]) -> Sums<'a> {
        let mut sums = Sums::within(place, self.num_rows(span));
        sums.clear();
        if !self.sinks.is_empty() {
            for row in 0..self.num_rows(span) {
                sums.begin_with(row, self.sinks[self.token_and_head(span, row).1]);
            }
        }
        sums
    }

    /// Writes a span's part of `out`: the means, and 0 for padding.
    pub(super) fn write_means(&self, span: &Span, sums: &Sums<'_>, out: Shared<f32>) {
        let size = self.heads.head_dim;
        for row in 0..self.num_rows(span) {
            let (token, head) = self.token_and_head(span, row);
            let at = (span.sequence * self.places.num_new + token) * self.heads.query_size()
                + head * size;
            // SAFETY: the place lives until the share is over, and this head of this token is this span's.
            let place = unsafe { out.part(at, size) };
            match self.places.position(span.sequence, token) {
                Some(_) => sums.mean(row, self.vectors(), place),
                None => place.fill(0.0),
            }
        }
    }
}

/// Rows of each tile.
fn tiles(num_rows: usize) -> impl Iterator<Item = Range<usize>> {
    let count = num_rows.div_ceil(TILE);
    (0..count).map(move |tile| tile * num_rows / count..(tile + 1) * num_rows / count)
}

/// What of some keys lies in the block from `first` on.
fn within(keys: Range<usize>, first: usize) -> (usize, usize) {
    (
        keys.start.max(first) - first,
        keys.end.clamp(first, first + BLOCK) - first,
    )
}
