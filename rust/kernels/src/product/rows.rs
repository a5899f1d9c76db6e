//! Which rows are computed with which matrix.

use std::ops::Range;

use crate::error::Error;

/// Matrix e is for the rows `starts[e]..starts[e + 1]`; those before and behind are padding.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    starts: &'a [i32],
}

impl<'a> Rows<'a> {
    /// Checked: numbers that go up from 0 at least to `num_rows` at most, one more than there are matrices.
    ///
    /// # Errors
    /// They do not.
    pub fn new(starts: &'a [i32], num_matrices: usize, num_rows: usize) -> Result<Self, Error> {
        if starts.len() != num_matrices + 1 {
            let given = starts.len();
            return Err(Error::invalid(format!(
                "rows has {given} numbers, not {}",
                num_matrices + 1
            )));
        }
        let goes_up = starts.windows(2).all(|pair| pair[0] <= pair[1]);
        let end = starts.last().and_then(|&end| usize::try_from(end).ok());
        if !goes_up || starts[0] < 0 || end.is_none_or(|end| end > num_rows) {
            return Err(Error::invalid(format!(
                "rows must go up from 0 at least to {num_rows} at most"
            )));
        }
        Ok(Self { starts })
    }

    /// Of the matrix of that number.
    #[must_use]
    pub fn of(&self, matrix: usize) -> Range<usize> {
        self.bound(matrix)..self.bound(matrix + 1)
    }

    /// Those that have a matrix.
    #[must_use]
    pub fn all(&self) -> Range<usize> {
        self.bound(0)..self.bound(self.starts.len() - 1)
    }

    /// How many rows have a matrix.
    #[must_use]
    pub fn num_computed(&self) -> usize {
        self.all().len()
    }

    /// Of `num_rows`, those without one.
    pub fn left_out(&self, num_rows: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.bound(0)).chain(self.bound(self.starts.len() - 1)..num_rows)
    }

    fn bound(&self, index: usize) -> usize {
        usize::try_from(self.starts[index]).unwrap_or(0)
    }
}
