//! What a proof looks like from outside, before winterfell reads it.
//!
//! Winterfell allocates what a length in a proof asks for, and takes for granted that parts fit each other: a few bytes end
//! the process. It also leaves things unread, so that one proof has many forms. So nothing gets there but what has, to the
//! byte, the form that a prover's output has for this statement and these options. That can be told: all that challenges
//! follow from is in the proof, and from the challenges follow the places that it has to open and so every length.

use std::collections::BTreeSet;

use winter_prover::{Serializable, math::ToElements};
use winterfell::{
    Air, ByteWriter,
    crypto::{Hasher, RandomCoin},
};

use crate::{
    Element, ProofError, Security, Statement,
    air::{Coin, Digest, Hash, Steps},
};

/// Bytes of a digest.
const DIGEST: usize = 32;

/// Bytes of an element.
const ELEMENT: usize = 16;

type Result<T> = std::result::Result<T, ProofError>;

/// Checks that bytes have the form of a proof of this statement with these options.
pub(crate) fn check(statement: &Statement, security: Security, air: &Steps, proof: &[u8]) -> Result<()> {
    let options = security.parameters();
    let (width, columns) = (air.trace_info().width(), air.context().num_constraint_composition_columns());
    let domain = air.lde_domain_size();
    let layers = air.options().to_fri_options().num_fri_layers(domain);
    let remainder = air.trace_length() / options.folding.pow(layers as u32);
    // Of the field, and of what challenges come from.
    let (narrow, wide) = (ELEMENT, ELEMENT * options.extension as usize);

    let context = security.context(air);
    let mut reader = Reader { rest: proof };
    reader.expect(&context.to_bytes(), ProofError::Options)?;
    let places = usize::from(reader.byte("the number of places")?);
    reader.length(&u16_bytes((3 + layers) * DIGEST), "the commitments")?;
    let trace = reader.digest("the commitments")?;
    let constraints = reader.digest("the commitments")?;
    let layer_commitments = (0..=layers).map(|_| reader.digest("the commitments")).collect::<Result<Vec<_>>>()?;

    reader.length(&vint(places * width * narrow), "the opened cells")?;
    reader.elements(places * width * narrow, "the opened cells")?;
    let trace_paths = reader.vint_bytes("the paths of the opened cells")?;
    reader.length(&vint(places * columns * wide), "the opened quotients")?;
    reader.elements(places * columns * wide, "the opened quotients")?;
    let constraint_paths = reader.vint_bytes("the paths of the opened quotients")?;

    // Two rows of each, the first of both before the second of both where they are hashed.
    let mut frame = |row: usize, part| {
        reader.length(&u16_bytes(1 + 2 * row), part)?;
        reader.expect(&[2], ProofError::Length(part))?;
        Ok([reader.elements(row, part)?, reader.elements(row, part)?])
    };
    let [cells, next_cells] = frame(width * wide, "the cells out of the domain")?;
    let [quotients, next_quotients] = frame(columns * wide, "the quotients out of the domain")?;

    reader.expect(&[layers as u8], ProofError::Length("the layers"))?;
    let mut openings = Vec::with_capacity(layers);
    for _ in 0..layers {
        let values = reader.u32_bytes("a layer")?;
        elements(values, "a layer")?;
        openings.push((values.len(), reader.u32_bytes("the paths of a layer")?));
    }
    reader.length(&u16_bytes(remainder * wide), "the remainder")?;
    let last = reader.elements(remainder * wide, "the remainder")?;
    reader.expect(&[0], ProofError::Length("the partitions"))?;
    let nonce = u64::from_le_bytes(reader.array("the nonce")?);
    if !reader.rest.is_empty() {
        return Err(ProofError::Trailing(reader.rest.len()));
    }
    // Winterfell takes the remainder as it comes. FRI is sound only if it was fixed before the places were known.
    if layer_commitments.last() != Some(&Hash::hash(last)) {
        return Err(ProofError::Remainder);
    }

    let mut coin = Coin::new(&[context.to_elements(), statement.to_elements()].concat());
    coin.reseed(trace);
    coin.reseed(constraints);
    coin.reseed(Hash::hash(&[cells, quotients, next_cells, next_quotients].concat()));
    layer_commitments.into_iter().for_each(|commitment| coin.reseed(commitment));
    if coin.check_leading_zeros(nonce) < options.grinding {
        return Err(ProofError::Grinding(options.grinding));
    }
    let drawn = coin.draw_integers(options.queries, domain, nonce);
    let mut positions: BTreeSet<usize> =
        drawn.map_err(|error| ProofError::Rejected(error.to_string()))?.into_iter().collect();
    if positions.len() != places {
        return Err(ProofError::Length("the number of places"));
    }
    let mut leaves = domain;
    paths(trace_paths, &positions, leaves, "the paths of the opened cells")?;
    paths(constraint_paths, &positions, leaves, "the paths of the opened quotients")?;
    for (values, layer_paths) in openings {
        leaves /= options.folding;
        positions = positions.into_iter().map(|position| position % leaves).collect();
        if values != positions.len() * options.folding * wide {
            return Err(ProofError::Length("a layer"));
        }
        paths(layer_paths, &positions, leaves, "the paths of a layer")?;
    }
    Ok(())
}

/// Checks that paths open these positions of a tree with so many leaves, and have no digest more or less than that needs.
fn paths(bytes: &[u8], positions: &BTreeSet<usize>, leaves: usize, part: &'static str) -> Result<()> {
    let counts = counts(positions, leaves.ilog2());
    let mut reader = Reader { rest: bytes };
    reader.expect(&[leaves.ilog2() as u8], ProofError::Length(part))?;
    reader.length(&vint(counts.len()), part)?;
    for count in counts {
        reader.length(&vint(count), part)?;
        reader.take(count * DIGEST, part)?;
    }
    if reader.rest.is_empty() { Ok(()) } else { Err(ProofError::Length(part)) }
}

/// How many digests each of the vectors has in which winterfell opens many leaves at once: a vector for each pair of leaves,
/// and the digests of each level of the tree in the vectors as far as that level has nodes.
fn counts(positions: &BTreeSet<usize>, depth: u32) -> Vec<usize> {
    let parents = |nodes: &[usize]| {
        let mut parents: Vec<_> = nodes.iter().map(|node| node >> 1).collect();
        parents.dedup();
        parents
    };
    let leaves: Vec<_> = positions.iter().copied().collect();
    let mut nodes = parents(&leaves);
    let missing = |pair: &usize| [pair << 1, pair << 1 | 1].iter().filter(|leaf| !positions.contains(leaf)).count();
    let mut counts: Vec<_> = nodes.iter().map(missing).collect();
    for _ in 1..depth {
        for (index, node) in nodes.iter().enumerate() {
            let sibling = Some(&(node ^ 1));
            let is_known = nodes.get(index + 1) == sibling || index > 0 && nodes.get(index - 1) == sibling;
            counts[index] += usize::from(!is_known);
        }
        nodes = parents(&nodes);
    }
    counts
}

/// What is left to read.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, part: &'static str) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ProofError::Truncated(part))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N]> {
        self.take(N, part)?.try_into().map_err(|_| ProofError::Truncated(part))
    }

    fn byte(&mut self, part: &'static str) -> Result<u8> {
        self.array(part).map(|[byte]| byte)
    }

    /// These bytes and no others.
    fn expect(&mut self, bytes: &[u8], otherwise: ProofError) -> Result<()> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(otherwise)?;
        Ok(())
    }

    /// A length that is known.
    fn length(&mut self, bytes: &[u8], part: &'static str) -> Result<()> {
        self.expect(bytes, ProofError::Length(part))
    }

    fn digest(&mut self, part: &'static str) -> Result<Digest> {
        self.array(part).map(Digest::new)
    }

    fn elements(&mut self, count: usize, part: &'static str) -> Result<&'a [u8]> {
        let bytes = self.take(count, part)?;
        elements(bytes, part).map(|()| bytes)
    }

    /// A length in 4 bytes, and as many.
    fn u32_bytes(&mut self, part: &'static str) -> Result<&'a [u8]> {
        let length = u32::from_le_bytes(self.array(part)?);
        self.take(length as usize, part)
    }

    /// A length as winterfell writes it, and as many bytes: the zeros at the end of the first byte say how many follow it.
    fn vint_bytes(&mut self, part: &'static str) -> Result<&'a [u8]> {
        let more = self.rest.first().ok_or(ProofError::Truncated(part))?.trailing_zeros() as usize;
        let encoded = self.rest.get(..=more).ok_or(ProofError::Truncated(part))?;
        // No proof is as long as five bytes can say.
        if encoded.len() > 4 {
            return Err(ProofError::Length(part));
        }
        let number = encoded.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte));
        let length = number >> encoded.len();
        self.length(&vint(length), part)?;
        self.take(length, part)
    }
}

/// Elements have one form each.
fn elements(bytes: &[u8], part: &'static str) -> Result<()> {
    let (elements, rest) = bytes.as_chunks::<ELEMENT>();
    let is_element = |bytes: &[u8; ELEMENT]| u128::from_le_bytes(*bytes) < Element::MODULUS;
    match rest.is_empty() && elements.iter().all(is_element) {
        true => Ok(()),
        false => Err(ProofError::NotAnElement(part)),
    }
}

/// A length as winterfell writes one in two bytes. None here is longer than a few thousand.
fn u16_bytes(length: usize) -> [u8; 2] {
    (length as u16).to_le_bytes()
}

/// A length as winterfell writes one in as many bytes as it needs.
fn vint(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.write_usize(length);
    bytes
}
