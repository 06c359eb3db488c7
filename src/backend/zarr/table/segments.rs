//! The segments of a file, held as repetitions: a stack of a thousand pages is one line, and so is an image of a hundred
//! thousand tiles.
//!
//! A *stretch* is up to 16 steps, repeated: with each repetition the chunk of a step moves on by a fixed number of
//! chunks of the list, and its place in the chunk by a fixed number of bytes. What does not repeat is a stretch that
//! stands once.

use super::wire::{FormatError, Reader, put_varint, put_zigzag};

/// Steps of a stretch.
const MAX_STEPS: usize = 16;

/// Bytes of a file that come from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// First byte in the file.
    pub offset: u64,
    /// How many; never 0.
    pub len: u64,
    /// Where they come from.
    pub origin: Origin,
}

/// Where bytes of a file come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Literal bytes, from this one of them on.
    Literal(u64),
    /// A decoded chunk.
    Chunk {
        /// Index in the recipe's chunks.
        chunk: u64,
        /// First byte in the decoded chunk.
        at: u64,
        /// Index in the recipe's modes.
        mode: u32,
    },
}

/// The segments of a file, sorted and without gaps from 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segments {
    stretches: Vec<Stretch>,
    steps: Vec<Step>,
    size: u64,
    literals: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    /// First byte in the file, first among the literals.
    offset: u64,
    literal: u64,
    /// Bytes and literal bytes of one repetition; how many there are.
    len: u64,
    literals: u64,
    repeat: u64,
    /// First and behind the last of its steps.
    first: u32,
    last: u32,
}

/// One piece of a repetition, as it is in the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    len: u64,
    run: Option<StepRun>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StepRun {
    chunk: u64,
    at: u64,
    mode: u32,
    chunk_step: i64,
    at_step: i64,
}

impl Step {
    /// This step in repetition `turn`; wraps where [`Segments::append`] would have refused.
    fn origin(&self, turn: u64, literal: u64) -> Origin {
        match self.run {
            None => Origin::Literal(literal),
            Some(run) => Origin::Chunk {
                chunk: run.chunk.wrapping_add(turn.wrapping_mul(run.chunk_step as u64)),
                at: run.at.wrapping_add(turn.wrapping_mul(run.at_step as u64)),
                mode: run.mode,
            },
        }
    }

    /// How chunk and place change from this step to `next`, if all else is the same.
    fn change(&self, next: &Step) -> Option<(i64, i64)> {
        match (self.run, next.run) {
            _ if self.len != next.len => None,
            (None, None) => Some((0, 0)),
            (Some(a), Some(b)) if a.mode == b.mode => {
                Some((b.chunk.wrapping_sub(a.chunk) as i64, b.at.wrapping_sub(a.at) as i64))
            }
            _ => None,
        }
    }
}

impl Segments {
    /// From pieces in order (their offsets and literal offsets are taken as they follow from the lengths).
    pub fn new(pieces: impl IntoIterator<Item = (u64, Option<(u64, u64, u32)>)>) -> Result<Segments, FormatError> {
        let steps = pieces.into_iter().map(|(len, run)| Step {
            len,
            run: run.map(|(chunk, at, mode)| StepRun { chunk, at, mode, chunk_step: 0, at_step: 0 }),
        });
        let steps: Vec<Step> = steps.collect();
        let mut segments = Segments::default();
        let mut single: &[Step] = &[];
        let mut rest: &[Step] = &steps;
        while !rest.is_empty() {
            if let Some((period, repeat)) = best_repetition(rest) {
                segments.append(1, single.to_vec())?;
                segments.append(repeat as u64, repeated(rest, period))?;
                rest = rest.get(period * repeat..).unwrap_or_default();
                single = &[];
            } else {
                // The step joins those in front of it, which lie before `rest` in the same slice.
                let start = steps.len() - rest.len() - single.len();
                let len = single.len() + 1;
                single = steps.get(start..start + len).unwrap_or_default();
                rest = rest.get(1..).unwrap_or_default();
                if len == MAX_STEPS {
                    segments.append(1, single.to_vec())?;
                    single = &[];
                }
            }
        }
        segments.append(1, single.to_vec())?;
        Ok(segments)
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many of them are literal.
    pub fn literals(&self) -> u64 {
        self.literals
    }

    /// The piece that `offset` lies in.
    pub fn find(&self, offset: u64) -> Option<Piece> {
        let after = self.stretches.partition_point(|stretch| stretch.offset <= offset);
        let stretch = self.stretches.get(after.checked_sub(1)?)?;
        let turn = (offset - stretch.offset) / stretch.len;
        if turn >= stretch.repeat {
            return None;
        }
        let mut at = stretch.offset + turn * stretch.len;
        let mut literal = stretch.literal + turn * stretch.literals;
        for step in self.steps.get(stretch.first as usize..stretch.last as usize)? {
            if offset - at < step.len {
                return Some(Piece { offset: at, len: step.len, origin: step.origin(turn, literal) });
            }
            at += step.len;
            literal += if step.run.is_none() { step.len } else { 0 };
        }
        None
    }

    /// All pieces in order.
    pub fn iter(&self) -> impl Iterator<Item = Piece> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let piece = self.find(at)?;
            at = piece.offset + piece.len;
            Some(piece)
        })
    }

    /// Adds a stretch; every number that [`Segments::find`] computes from it is checked here.
    fn append(&mut self, repeat: u64, steps: Vec<Step>) -> Result<(), FormatError> {
        const TOO_LONG: FormatError = FormatError::Malformed("its segments are longer than any file");
        if steps.is_empty() {
            return Ok(());
        }
        let (mut len, mut literals) = (0_u64, 0_u64);
        for step in &steps {
            if step.len == 0 {
                return Err(FormatError::Malformed("a segment is empty"));
            }
            len = len.checked_add(step.len).ok_or(TOO_LONG)?;
            match step.run {
                None => literals = literals.checked_add(step.len).ok_or(TOO_LONG)?,
                Some(run) => run.check(repeat)?,
            }
        }
        let all = len.checked_mul(repeat).and_then(|all| all.checked_add(self.size)).filter(|&n| n <= i64::MAX as u64);
        let first = self.steps.len() as u32;
        let last = u32::try_from(self.steps.len() + steps.len()).map_err(|_| TOO_LONG)?;
        self.stretches.push(Stretch { offset: self.size, literal: self.literals, len, literals, repeat, first, last });
        self.size = all.ok_or(TOO_LONG)?;
        // No more than `len`, so neither product nor sum is larger than the one above.
        self.literals += literals * repeat;
        self.steps.extend(steps);
        Ok(())
    }

    /// The number of stretches; each: repetitions, steps, and per step `2 × length (+ 1 for a chunk)`; for a chunk
    /// the difference to the chunk before, place, mode, and if the stretch is repeated both changes.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.stretches.len() as u64);
        let mut before = 0_u64;
        for stretch in &self.stretches {
            let steps = self.steps.get(stretch.first as usize..stretch.last as usize).unwrap_or_default();
            put_varint(out, stretch.repeat);
            put_varint(out, steps.len() as u64);
            for step in steps {
                put_varint(out, step.len << 1 | u64::from(step.run.is_some()));
                let Some(run) = step.run else { continue };
                put_zigzag(out, run.chunk.wrapping_sub(before) as i64);
                put_varint(out, run.at);
                put_varint(out, u64::from(run.mode));
                if stretch.repeat > 1 {
                    put_zigzag(out, run.chunk_step);
                    put_zigzag(out, run.at_step);
                }
                before = run.chunk;
            }
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Segments, FormatError> {
        let mut segments = Segments::default();
        let mut before = 0_u64;
        for _ in 0..from.count(3)? {
            let repeat = from.varint()?;
            let count = from.count(1)?;
            if repeat == 0 || count == 0 || count > MAX_STEPS {
                return Err(FormatError::Malformed("a stretch of segments is empty or too long"));
            }
            let steps = (0..count).map(|_| Step::read(from, repeat > 1, &mut before)).collect::<Result<Vec<_>, _>>()?;
            segments.append(repeat, steps)?;
        }
        Ok(segments)
    }

    /// Chunks, places and lengths of all runs at their first and last repetition, which bound those in between.
    pub(super) fn extremes(&self) -> impl Iterator<Item = Piece> + '_ {
        self.stretches.iter().flat_map(move |stretch| {
            let steps = self.steps.get(stretch.first as usize..stretch.last as usize).unwrap_or_default();
            let turns = [0, stretch.repeat - 1];
            steps.iter().filter(|step| step.run.is_some()).flat_map(move |step| {
                turns.map(|turn| Piece { offset: stretch.offset, len: step.len, origin: step.origin(turn, 0) })
            })
        })
    }
}

impl StepRun {
    /// Refuses what leaves the numbers within `repeat` repetitions.
    fn check(&self, repeat: u64) -> Result<(), FormatError> {
        let turns = i128::from(repeat) - 1;
        let last_chunk = i128::from(self.chunk) + turns * i128::from(self.chunk_step);
        let last_at = i128::from(self.at) + turns * i128::from(self.at_step);
        let fits = |n: i128| (0..=i128::from(i64::MAX)).contains(&n);
        let ends = [i128::from(self.chunk), last_chunk, i128::from(self.at), last_at];
        if ends.into_iter().all(fits) { Ok(()) } else { Err(FormatError::Malformed("a segment lies in no chunk")) }
    }
}

impl Step {
    fn read(from: &mut Reader<'_>, repeats: bool, before: &mut u64) -> Result<Step, FormatError> {
        let head = from.varint()?;
        if head & 1 == 0 {
            return Ok(Step { len: head >> 1, run: None });
        }
        let chunk = before.wrapping_add(from.zigzag()? as u64);
        let at = from.varint()?;
        let mode = u32::try_from(from.varint()?).map_err(|_| FormatError::Malformed("a segment has no mode"))?;
        let (chunk_step, at_step) = if repeats { (from.zigzag()?, from.zigzag()?) } else { (0, 0) };
        *before = chunk;
        Ok(Step { len: head >> 1, run: Some(StepRun { chunk, at, mode, chunk_step, at_step }) })
    }
}

/// The number of steps and of repetitions that covers most of the beginning of `steps`; the shortest of those.
fn best_repetition(steps: &[Step]) -> Option<(usize, usize)> {
    let mut best = None;
    let mut covered = 3;
    for period in 1..=MAX_STEPS.min(steps.len() / 2) {
        let repeat = repetitions(steps, period);
        if repeat > 1 && period * repeat > covered {
            covered = period * repeat;
            best = Some((period, repeat));
        }
    }
    best
}

/// How often the first `period` steps stand one behind the other, each time changed in the same way.
fn repetitions(steps: &[Step], period: usize) -> usize {
    let change = |at: usize| steps.get(at).zip(steps.get(at + period)).and_then(|(a, b)| a.change(b));
    let like = |at: usize| change(at).is_some_and(|now| change(at % period) == Some(now));
    1 + (0..steps.len()).take_while(|&at| like(at)).count() / period
}

/// The first `period` steps with their changes.
fn repeated(steps: &[Step], period: usize) -> Vec<Step> {
    let pairs = steps.iter().take(period).zip(steps.iter().skip(period));
    pairs
        .map(|(&step, next)| {
            let (chunk_step, at_step) = step.change(next).unwrap_or((0, 0));
            Step { run: step.run.map(|run| StepRun { chunk_step, at_step, ..run }), ..step }
        })
        .collect()
}
