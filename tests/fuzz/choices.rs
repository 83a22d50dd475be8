//! An input as a row of choices. When it is used up every choice is the first one, so that any input means something.

/// What is left of the input.
pub(crate) struct Choices<'a> {
    left: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) fn new(left: &'a [u8]) -> Self {
        Self { left }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// One of so many.
    pub(crate) fn pick(&mut self, count: u8) -> u8 {
        self.byte() % count.max(1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.slice(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// At most so many bytes.
    pub(crate) fn slice(&mut self, most: usize) -> &'a [u8] {
        let (head, rest) = self.left.split_at(most.min(self.left.len()));
        self.left = rest;
        head
    }

    /// A text whose length comes first; what is no UTF-8 is replaced.
    pub(crate) fn text(&mut self, most: usize) -> String {
        let length = usize::from(self.byte()).min(most);
        let text = String::from_utf8_lossy(self.slice(length)).into_owned();
        p2pchat::protocol::frame::at_most(&text, most).to_owned()
    }
}
