//! GGUF files for tests.

/// A file to be.
#[derive(Default)]
pub(crate) struct Builder {
    pairs: Vec<u8>,
    num_pairs: u64,
    tensors: Vec<u8>,
    num_tensors: u64,
    data: Vec<u8>,
}

/// A uint32.
pub(crate) fn int(value: u32) -> [u8; 4] {
    value.to_le_bytes()
}

/// Lengths and bytes.
pub(crate) fn texts(texts: &[&str]) -> Vec<u8> {
    texts
        .iter()
        .flat_map(|text| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat())
        .collect()
}

impl Builder {
    /// A pair of the type of that number.
    pub(crate) fn key(&mut self, key: &str, kind: u32, value: &[u8]) -> &mut Self {
        self.pairs.extend(texts(&[key]));
        self.pairs.extend(kind.to_le_bytes());
        self.pairs.extend(value);
        self.num_pairs += 1;
        self
    }

    /// A tensor, its fastest size first, and bytes of data behind those of the others, filled up to 32.
    pub(crate) fn tensor(
        &mut self,
        name: &str,
        shape: &[u64],
        kind: u32,
        start: u64,
        size: usize,
    ) -> &mut Self {
        self.tensors.extend(texts(&[name]));
        self.tensors
            .extend(u32::try_from(shape.len()).unwrap().to_le_bytes());
        self.tensors
            .extend(shape.iter().flat_map(|size| size.to_le_bytes()));
        self.tensors.extend(kind.to_le_bytes());
        self.tensors.extend(start.to_le_bytes());
        self.num_tensors += 1;
        self.data
            .resize(self.data.len().next_multiple_of(32) + size, 1);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(self.num_tensors.to_le_bytes());
        file.extend(self.num_pairs.to_le_bytes());
        file.extend(&self.pairs);
        file.extend(&self.tensors);
        if !self.data.is_empty() {
            file.resize(file.len().next_multiple_of(32), 0);
        }
        file.extend(&self.data);
        file
    }
}
