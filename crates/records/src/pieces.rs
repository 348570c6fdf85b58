//! A body that is too large to be held: read piece by piece, and given in slices of some records each.

use crate::form::STEP;
use crate::slicer::{Found, Slicer};
use crate::{Condition, FormReader, Malformed, Ready, Rules, carried_fields, push_with};
use millrace_model::raw::Page;
use std::collections::BTreeMap;

/// How much text a slice has before it is given.
const SLICE_BYTES: usize = 8 * 1024 * 1024;

/// Some of a body's records, in the order of the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// The records; one that is too large is empty.
    pub ready: Ready,
    /// The byte of the body, told as JSON, at which each of them begins.
    pub starts: Vec<u64>,
    /// How many bytes those have that are too large, by their place among the records.
    pub too_large: BTreeMap<usize, u64>,
}

/// Reads a body piece by piece.
pub struct Pieces<'r> {
    /// None where the pieces are JSON whatever their form was.
    form: Option<FormReader>,
    slicer: Slicer,
    text: Text,
    gathered: Gathered<'r>,
}

struct Gathered<'r> {
    slice: Slice,
    /// The fields that each record gets, if any.
    carried: Option<String>,
    condition: Option<Condition<'r>>,
    give: &'r mut dyn FnMut(Slice),
}

impl Rules {
    /// Begins a body that was stored as this page, as [`Self::read`] has it all at once. Of records larger than so many bytes
    /// only their place and size are told.
    ///
    /// What is wrong with the body may show after slices were given.
    pub fn in_pieces<'r>(
        &'r self,
        page: &'r Page,
        largest: usize,
        give: &'r mut dyn FnMut(Slice),
    ) -> Result<Pieces<'r>, Malformed> {
        let form = (!page.rewritten).then(|| self.begin(page.content_type.as_deref()));
        let condition = match &self.filter {
            Some(filter) => Some(filter.condition()?),
            None => None,
        };
        let carried = page
            .origin
            .carried
            .as_ref()
            .filter(|carried| !carried.is_empty());
        Ok(Pieces {
            form,
            slicer: Slicer::new(&self.path, largest),
            text: Text::default(),
            gathered: Gathered {
                slice: Slice::default(),
                carried: carried.map(carried_fields),
                condition,
                give,
            },
        })
    }
}

impl Pieces<'_> {
    /// Takes the next piece.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        let gathered = &mut self.gathered;
        for step in piece.chunks(STEP) {
            let json = match &mut self.form {
                Some(form) => form.write(step)?,
                None => step,
            };
            self.text.check(json)?;
            self.slicer
                .write(json, &mut |found| gathered.take(&found))?;
        }
        Ok(())
    }

    /// Ends the body.
    pub fn end(mut self) -> Result<(), Malformed> {
        let gathered = &mut self.gathered;
        if let Some(form) = &mut self.form {
            let rest = form.end()?;
            self.text.check(rest)?;
            self.slicer
                .write(rest, &mut |found| gathered.take(&found))?;
        }
        self.text.end()?;
        self.slicer.end(&mut |found| gathered.take(&found))?;
        gathered.give();
        Ok(())
    }
}

impl Gathered<'_> {
    fn take(&mut self, found: &Found<'_>) -> Result<(), Malformed> {
        let slice = &mut self.slice;
        let begins = slice.ready.text.len();
        match found {
            Found::TooLarge(at, bytes) => {
                slice.too_large.insert(slice.starts.len(), *bytes);
                slice.starts.push(*at);
            }
            Found::Record(at, text) => {
                let place = usize::try_from(*at).unwrap_or(usize::MAX);
                // The pieces were found to be UTF-8, and a record is cut at its quotes and brackets.
                let record = std::str::from_utf8(text)
                    .map_err(|_| Malformed::new(place, "it is not UTF-8"))?;
                match &self.carried {
                    Some(fields) => push_with(record, fields, &mut slice.ready.text),
                    None => slice.ready.text.push_str(record),
                }
                let kept = match &self.condition {
                    Some(condition) => condition.holds(&slice.ready.text[begins..], place)?,
                    None => true,
                };
                if !kept {
                    slice.ready.text.truncate(begins);
                    return Ok(());
                }
                slice.starts.push(*at);
            }
        }
        slice.ready.records.push(begins..slice.ready.text.len());
        if slice.ready.text.len() >= SLICE_BYTES {
            self.give();
        }
        Ok(())
    }

    fn give(&mut self) {
        let slice = std::mem::take(&mut self.slice);
        if !slice.starts.is_empty() {
            (self.give)(slice);
        }
    }
}

/// Whether pieces are UTF-8, characters that are cut by a piece's end included.
#[derive(Debug, Default)]
struct Text {
    /// The beginning of a character.
    cut: Vec<u8>,
    at: usize,
}

impl Text {
    fn check(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        let mut rest = piece;
        while !self.cut.is_empty() {
            let Some((byte, behind)) = rest.split_first() else {
                return Ok(());
            };
            self.cut.push(*byte);
            rest = behind;
            match std::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Malformed::new(self.at, "it is not UTF-8")),
            }
        }
        let passed = piece.len() - rest.len();
        if let Err(error) = std::str::from_utf8(rest) {
            let valid = error.valid_up_to();
            if error.error_len().is_some() {
                return Err(Malformed::new(self.at + passed + valid, "it is not UTF-8"));
            }
            self.cut = rest[valid..].to_vec();
        }
        self.at += piece.len();
        Ok(())
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.cut.is_empty() {
            return Ok(());
        }
        Err(Malformed::new(self.at, "it is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_is_text_however_it_is_cut(text in "\\PC{0,20}", broken in 0..40_usize, piece in 1..4_usize) {
            let bytes = broken_at(&text, broken);
            let mut text = Text::default();
            let checked = bytes.chunks(piece).try_for_each(|piece| text.check(piece)).and_then(|()| text.end());
            prop_assert_eq!(checked.is_ok(), std::str::from_utf8(&bytes).is_ok());
        }
    }

    /// The text's bytes, one of which may be another one than it was.
    fn broken_at(text: &str, broken: usize) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        if let Some(byte) = bytes.get_mut(broken) {
            *byte = 0xC3;
        }
        bytes
    }
}
