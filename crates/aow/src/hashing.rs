//! Many Blake3 hashes of the same length at once, in as many lanes as the processor has.
//!
//! Winterfell hashes one row after the other, which leaves most of a processor's lanes idle. The digests are the same.

use blake3::{IncrementCounter, platform::Platform};
use rayon::prelude::*;
use winterfell::{crypto::ElementHasher, math::FieldElement};

use crate::{
    Element,
    air::{Digest, Hash, Tree},
};

/// How many are hashed in one go: a multiple of the lanes of any processor.
const BATCH: usize = 16;

/// Batches that are worth a task of their own.
const TASK: usize = 32;

/// What Blake3 begins with: as SHA-256 does.
const IV: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Flags of the first block, and of the last one of an input that is one chunk.
const FIRST: u8 = 1;
const LAST: u8 = 1 << 1 | 1 << 3;

/// The hashes of so many rows of the same length.
pub(crate) fn rows<'a>(count: usize, row: impl Fn(usize) -> &'a [Element] + Sync) -> Vec<Digest> {
    let mut digests = vec![Digest::default(); count];
    digests.par_chunks_mut(BATCH).with_min_len(TASK).enumerate().for_each(|(batch, digests)| {
        let row = |index| row(batch * BATCH + index);
        let is_done = match size_of_val(row(0)) {
            64 => batch_of::<64>(&row, digests),
            512 => batch_of::<512>(&row, digests),
            _ => None,
        };
        if is_done.is_none() {
            digests.iter_mut().enumerate().for_each(|(index, digest)| *digest = Hash::hash_elements(row(index)));
        }
    });
    digests
}

/// Nothing, where memory has other bytes than what is hashed.
fn batch_of<'a, const N: usize>(row: impl Fn(usize) -> &'a [Element], digests: &mut [Digest]) -> Option<()> {
    let mut inputs = [&[0; N]; BATCH];
    let inputs = &mut inputs[..digests.len()];
    for (index, input) in inputs.iter_mut().enumerate() {
        *input = Some(row(index)).filter(|_| Element::IS_CANONICAL).map(Element::elements_as_bytes)?.try_into().ok()?;
    }
    hash_many(inputs, digests);
    Some(())
}

/// The tree over a power of two of leaves, at least two.
pub(crate) fn tree(leaves: Vec<Digest>) -> Tree {
    let count = leaves.len();
    let mut nodes = vec![Digest::default(); count];
    merge(&leaves, &mut nodes[count / 2..]);
    let mut length = count / 2;
    while length > 1 {
        let (parents, children) = nodes.split_at_mut(length);
        merge(&children[..length], &mut parents[length / 2..]);
        length /= 2;
    }
    #[expect(clippy::expect_used, reason = "domains are as long as a power of two")]
    Tree::from_raw_parts(nodes, leaves).expect("as many leaves as a tree has")
}

/// The hashes of pairs.
fn merge(children: &[Digest], parents: &mut [Digest]) {
    let (pairs, _) = Digest::digests_as_bytes(children).as_chunks::<{ 2 * 32 }>();
    let batches = parents.par_chunks_mut(BATCH).with_min_len(TASK).zip(pairs.par_chunks(BATCH));
    batches.for_each(|(parents, pairs)| {
        let mut inputs = [&[0; 64]; BATCH];
        inputs.iter_mut().zip(pairs).for_each(|(input, pair)| *input = pair);
        hash_many(&inputs[..parents.len()], parents);
    });
}

fn hash_many<const N: usize>(inputs: &[&[u8; N]], digests: &mut [Digest]) {
    const { assert!(N.is_multiple_of(64) && N <= 1024, "whole blocks of one chunk") };
    let mut bytes = [0; BATCH * 32];
    let no = IncrementCounter::No;
    Platform::detect().hash_many(inputs, &IV, 0, no, 0, FIRST, LAST, &mut bytes[..inputs.len() * 32]);
    let (hashes, _) = bytes.as_chunks();
    digests.iter_mut().zip(hashes).for_each(|(digest, hash)| *digest = Digest::new(*hash));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn rows_and_trees_have_the_hashes_that_winterfell_finds() {
        let cells: Vec<_> = (0..64 * 32).map(|cell| Element::from_u64(cell).cube_root()).collect();
        for width in [1, 2, 4, 8, 32, 64] {
            for count in [2, 4, 8, 32] {
                let hashes = rows(count, |index| &cells[index * width..][..width]);
                let expected: Vec<_> = cells.chunks(width).take(count).map(Hash::hash_elements).collect();
                assert_eq!(hashes, expected, "{count} rows of {width}");
                let (ours, theirs) = (tree(hashes), Tree::new(expected).unwrap());
                assert_eq!(ours.root(), theirs.root());
                for index in 0..count {
                    assert_eq!(ours.prove(index), theirs.prove(index));
                }
            }
        }
    }
}
