//! What becomes of personal data on its way into the lake: fields of JSON dropped, hashed, masked or generalised as the body
//! streams by. Every other byte stays as the source sent it.

mod general;
mod path;
mod text;

use bytes::Bytes;
use general::{LOOKED_AT, generalised};
use millrace_model::Failure;
use millrace_model::definition::FieldPath;
use millrace_model::definition::personal_data::{PersonalData, Treatment};
use millrace_store::secrets::{Secret, Secrets};
use path::{Patterns, States};
use ring::hmac;
use text::{Sum, Unescaped};

/// How deep a body may be nested; deeper ones are refused by what reads them next.
const DEEPEST: usize = 1024;

/// How long the gap between two members may be, with the name of the second. No name that is meant is longer.
const LONGEST_GAP: usize = 256 * 1024;

/// What becomes of a resource's bodies.
#[derive(Debug)]
pub(crate) struct Redaction {
    patterns: Patterns,
    key: Option<hmac::Key>,
}

/// One body on its way.
pub(crate) struct Redactor<'a> {
    redaction: &'a Redaction,
    out: Vec<u8>,
    /// What lies between two members, and the name of the second, until it is known whether that one stays.
    held: Vec<u8>,
    holds: bool,
    /// The name of the member that is read.
    name: Unescaped,
    /// Where the member that is left out began; none where nothing is left out.
    drops_at: Option<usize>,
    stack: Vec<Frame>,
    lexeme: Lexeme,
    sum: Option<Sum>,
    /// The number or word that is generalised.
    word: Vec<u8>,
}

/// Why a body cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unredacted {
    #[error("is nested too deeply to find the personal data in it")]
    TooDeep,
    #[error("has gaps or names of fields too long to find the personal data in it")]
    TooLong,
}

/// An object or a list that is open.
struct Frame {
    is_object: bool,
    expects_name: bool,
    /// Whether a member was kept.
    has_member: bool,
    /// What becomes of everything in it.
    treatment: Option<Treatment>,
    states: States,
    /// The same of the value that comes next.
    next: (Option<Treatment>, States),
}

/// What the next byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lexeme {
    Between,
    Name,
    Text(Option<Treatment>),
    /// A number, true, false or null.
    Scalar(Option<Treatment>),
}

impl Redaction {
    /// What a definition says of the records at that path.
    pub(crate) async fn of(
        personal: &PersonalData,
        records: &FieldPath,
        secrets: &dyn Secrets,
    ) -> Result<Self, Failure> {
        let key = match &personal.key {
            None => None,
            Some(reference) => {
                let secret = secrets.get(&reference.name).await?;
                Some(secret.resolve(reference, "key")?)
            }
        };
        Ok(Self::new(personal, records, key.as_ref()))
    }

    fn new(personal: &PersonalData, records: &FieldPath, key: Option<&Secret>) -> Self {
        Self {
            patterns: Patterns::new(records, &personal.fields),
            key: key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.text().as_bytes())),
        }
    }

    /// Begins a body.
    pub(crate) fn begin(&self) -> Redactor<'_> {
        Redactor {
            redaction: self,
            out: Vec::new(),
            held: Vec::new(),
            holds: false,
            name: Unescaped::default(),
            drops_at: None,
            stack: Vec::new(),
            lexeme: Lexeme::Between,
            sum: None,
            word: Vec::new(),
        }
    }
}

impl Redactor<'_> {
    /// Takes the next piece, and gives what may go on of it.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<Bytes, Unredacted> {
        self.out.reserve(piece.len());
        for &byte in piece {
            self.byte(byte)?;
        }
        Ok(std::mem::take(&mut self.out).into())
    }

    /// Ends the body, and gives what was still held back.
    pub(crate) fn end(&mut self) -> Bytes {
        if let Lexeme::Scalar(treatment) = self.lexeme {
            self.end_scalar(treatment);
        }
        self.let_go();
        std::mem::take(&mut self.out).into()
    }

    fn byte(&mut self, byte: u8) -> Result<(), Unredacted> {
        match self.lexeme {
            Lexeme::Between => self.between(byte)?,
            Lexeme::Name => {
                let ends = self.name.write(byte);
                self.pass(byte)?;
                if ends {
                    self.end_name();
                }
            }
            Lexeme::Text(None) => {
                self.pass(byte)?;
                if self.name.write(byte) {
                    self.lexeme = Lexeme::Between;
                }
            }
            Lexeme::Text(Some(treatment)) => self.treated_text(byte, treatment),
            Lexeme::Scalar(treatment) => {
                if matches!(
                    byte,
                    b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}' | b':' | b'"' | b'[' | b'{'
                ) {
                    self.end_scalar(treatment);
                    self.between(byte)?;
                } else {
                    self.scalar(byte, treatment)?;
                }
            }
        }
        Ok(())
    }

    fn between(&mut self, byte: u8) -> Result<(), Unredacted> {
        match byte {
            b'"' if self.expects_name() => {
                self.lexeme = Lexeme::Name;
                self.name = Unescaped::keeping(self.redaction.patterns.longest());
                self.pass(byte)?;
            }
            b'"' => {
                let (treatment, _) = self.next();
                self.lexeme = Lexeme::Text(treatment);
                self.name = Unescaped::default();
                match treatment {
                    None => self.pass(byte)?,
                    Some(Treatment::Hash) => self.sum = self.redaction.key.as_ref().map(Sum::new),
                    Some(Treatment::Generalise(_)) => self.name = Unescaped::keeping(LOOKED_AT),
                    Some(Treatment::Mask | Treatment::Drop) => {}
                }
            }
            b'{' | b'[' => {
                self.open(byte == b'{')?;
                self.pass(byte)?;
                self.holds = byte == b'{' && self.drops_at.is_none();
            }
            b'}' | b']' => {
                self.end_of_dropped();
                self.let_go();
                self.stack.pop();
                self.pass(byte)?;
            }
            b',' => self.comma()?,
            b' ' | b'\t' | b'\n' | b'\r' | b':' => self.pass(byte)?,
            _ => {
                let (treatment, _) = self.next();
                // A null says nothing of anybody.
                let treatment = treatment.filter(|_| byte != b'n');
                self.lexeme = Lexeme::Scalar(treatment);
                if treatment == Some(Treatment::Hash) {
                    self.sum = self.redaction.key.as_ref().map(Sum::new);
                }
                self.scalar(byte, treatment)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, is_object: bool) -> Result<(), Unredacted> {
        if self.stack.len() >= DEEPEST {
            return Err(Unredacted::TooDeep);
        }
        let (treatment, states) = self.next();
        let patterns = &self.redaction.patterns;
        let (next_treatment, next_states) = if is_object {
            (treatment, States::new())
        } else {
            patterns.at_element(&states)
        };
        self.stack.push(Frame {
            is_object,
            expects_name: is_object,
            has_member: false,
            treatment,
            states,
            next: (treatment.or(next_treatment), next_states),
        });
        Ok(())
    }

    fn comma(&mut self) -> Result<(), Unredacted> {
        self.end_of_dropped();
        let is_dropping = self.drops_at.is_some();
        let Some(frame) = self.stack.last_mut() else {
            return self.pass(b',');
        };
        if !frame.is_object || is_dropping {
            frame.expects_name = frame.is_object;
            return self.pass(b',');
        }
        frame.expects_name = true;
        let has_member = frame.has_member;
        self.let_go();
        self.holds = true;
        if has_member { self.pass(b',') } else { Ok(()) }
    }

    fn end_name(&mut self) {
        self.lexeme = Lexeme::Between;
        let depth = self.stack.len();
        let Some(frame) = self.stack.last_mut() else {
            return;
        };
        frame.expects_name = false;
        let (treatment, states) = self
            .redaction
            .patterns
            .at_member(&frame.states, self.name.text());
        let treatment = frame.treatment.or(treatment);
        frame.next = (treatment, states);
        if self.drops_at.is_some() {
            return;
        }
        if treatment == Some(Treatment::Drop) {
            self.held.clear();
            self.holds = false;
            self.drops_at = Some(depth);
        } else {
            frame.has_member = true;
            self.let_go();
        }
    }

    /// Ends leaving out, where the member that is left out ends here.
    fn end_of_dropped(&mut self) {
        if self.drops_at == Some(self.stack.len()) {
            self.drops_at = None;
        }
    }

    fn treated_text(&mut self, byte: u8, treatment: Treatment) {
        let ends = match &mut self.sum {
            Some(sum) => self.name.write_to(byte, sum),
            None => self.name.write(byte),
        };
        if ends {
            self.lexeme = Lexeme::Between;
            self.emit_treated(treatment, true);
        }
    }

    fn scalar(&mut self, byte: u8, treatment: Option<Treatment>) -> Result<(), Unredacted> {
        match (treatment, &mut self.sum) {
            (None, _) => return self.pass(byte),
            (Some(_), Some(sum)) => sum.update(&[byte]),
            (Some(Treatment::Generalise(_)), None) if self.word.len() <= LOOKED_AT => {
                self.word.push(byte);
            }
            (Some(_), None) => {}
        }
        Ok(())
    }

    fn end_scalar(&mut self, treatment: Option<Treatment>) {
        self.lexeme = Lexeme::Between;
        if let Some(treatment) = treatment {
            self.emit_treated(treatment, false);
        }
    }

    /// What stands in the place of a value.
    fn emit_treated(&mut self, treatment: Treatment, is_text: bool) {
        let sum = self.sum.take();
        let word = std::mem::take(&mut self.word);
        if self.drops_at.is_some() {
            return;
        }
        match (treatment, sum) {
            (Treatment::Hash, Some(sum)) => {
                self.out.push(b'"');
                self.out.extend_from_slice(sum.end().as_bytes());
                self.out.push(b'"');
            }
            (Treatment::Generalise(generalisation), _) => {
                let (value, is_whole) = if is_text {
                    (self.name.beginning(), self.name.text().is_some())
                } else {
                    (word.as_slice(), word.len() <= LOOKED_AT)
                };
                let value = generalised(generalisation, value, is_text, is_whole);
                self.out.extend_from_slice(value.to_string().as_bytes());
            }
            (Treatment::Mask, _) if is_text => self.out.extend_from_slice(b"\"***\""),
            _ => self.out.extend_from_slice(b"null"),
        }
    }

    fn expects_name(&self) -> bool {
        self.stack.last().is_some_and(|frame| frame.expects_name)
    }

    /// What becomes of the value that begins here.
    fn next(&self) -> (Option<Treatment>, States) {
        match self.stack.last() {
            Some(frame) => frame.next.clone(),
            None => (None, self.redaction.patterns.start()),
        }
    }

    fn pass(&mut self, byte: u8) -> Result<(), Unredacted> {
        if self.drops_at.is_some() {
            return Ok(());
        }
        if self.holds {
            if self.held.len() >= LONGEST_GAP {
                return Err(Unredacted::TooLong);
            }
            self.held.push(byte);
        } else {
            self.out.push(byte);
        }
        Ok(())
    }

    fn let_go(&mut self) {
        self.holds = false;
        self.out.append(&mut self.held);
    }
}

#[cfg(test)]
#[path = "redact/tests.rs"]
mod tests;
