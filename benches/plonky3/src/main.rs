//! 2²⁰ steps of a delay function, proven with Plonky3: `cargo run --release` beside `dtn-cli aow bench`.
//!
//! It is not the same statement. The field has 64 bits, where it is no use as a delay, and the smallest root that is a
//! permutation there is the seventh, so that a cell is checked by y⁷ + 5 = x. Challenges come from the quadratic extension,
//! FRI folds by 8 with a blowup of 8, because degree 7 needs it, and 81 queries with 16 bits of work. What is proven of that
//! is less than 128 bits: the extension has no more than 128.

use std::{error::Error, time::Instant};

use p3_air::{Air, AirBuilder, BaseAir, WindowAccess};
use p3_blake3::Blake3;
use p3_challenger::{HashChallenger, SerializingChallenger64};
use p3_commit::ExtensionMmcs;
use p3_dft::Radix2DitParallel;
use p3_field::{InjectiveMonomial, PermutationMonomial, PrimeCharacteristicRing, extension::BinomialExtensionField};
use p3_fri::{FriParameters, TwoAdicFriPcs};
use p3_goldilocks::Goldilocks;
use p3_matrix::dense::RowMajorMatrix;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_symmetric::{CompressionFunctionFromHasher, SerializingHasher};
use p3_uni_stark::{StarkConfig, prove, verify};

/// Steps in a row, as in the proofs to compare with.
const WIDTH: usize = 32;
const STEPS: usize = 1 << 20;
const ALPHA: u64 = 5;

type Hash = SerializingHasher<Blake3>;
type Compress = CompressionFunctionFromHasher<Blake3, 2, 32>;
type Tree = MerkleTreeMmcs<Goldilocks, u8, Hash, Compress, 2, 32>;
type Challenge = BinomialExtensionField<Goldilocks, 2>;
type ChallengeTree = ExtensionMmcs<Goldilocks, Challenge, Tree>;
type Challenger = SerializingChallenger64<Goldilocks, HashChallenger<u8, Blake3, 32>>;
type Pcs = TwoAdicFriPcs<Goldilocks, Radix2DitParallel<Goldilocks>, Tree, ChallengeTree>;
type Config = StarkConfig<Pcs, Challenge, Challenger>;

struct Steps;

impl<F> BaseAir<F> for Steps {
    fn width(&self) -> usize {
        WIDTH
    }

    fn num_public_values(&self) -> usize {
        2
    }
}

impl<AB: AirBuilder<F = Goldilocks>> Air<AB> for Steps {
    fn eval(&self, builder: &mut AB) {
        let main = builder.main();
        let (row, next) = (main.current_slice().to_vec(), main.next_slice()[0]);
        let [first, last] = [0, 1].map(|index| builder.public_values()[index]);
        let goes_back = |x: AB::Var, y: AB::Var| y.into().exp_const_u64::<7>() + AB::Expr::from_u64(ALPHA) - x.into();
        for pair in row.windows(2) {
            builder.assert_zero(goes_back(pair[0], pair[1]));
        }
        builder.when_transition().assert_zero(goes_back(row[WIDTH - 1], next));
        builder.when_first_row().assert_eq(row[0], first);
        builder.when_last_row().assert_eq(row[WIDTH - 1], last);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let mut x = Goldilocks::from_u64(123_456_789);
    let cells: Vec<_> = (0..STEPS)
        .map(|_| {
            x = (x - Goldilocks::from_u64(ALPHA)).injective_exp_root_n();
            x
        })
        .collect();
    assert_eq!(cells[1].injective_exp_n() + Goldilocks::from_u64(ALPHA), cells[0]);
    let evaluated = began.elapsed();
    let public = [cells[0], cells[STEPS - 1]];

    let tree = Tree::new(Hash::new(Blake3), Compress::new(Blake3), 0);
    let parameters = FriParameters {
        log_blowup: 3,
        log_final_poly_len: 6,
        max_log_arity: 3,
        num_queries: 81,
        batch_proof_of_work_bits: 0,
        commit_proof_of_work_bits: 0,
        query_proof_of_work_bits: 16,
        mmcs: ChallengeTree::new(tree.clone()),
    };
    let pcs = Pcs::new(Radix2DitParallel::default(), tree, parameters);
    let config = Config::new(pcs, Challenger::from_hasher(Vec::new(), Blake3));

    let began = Instant::now();
    let proof = prove(&config, &Steps, RowMajorMatrix::new(cells, WIDTH), &public).map_err(|error| format!("{error:?}"))?;
    let proven = began.elapsed();
    let began = Instant::now();
    verify(&config, &Steps, &proof, &public).map_err(|error| format!("{error:?}"))?;
    let verified = began.elapsed();

    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    println!("2^20 seventh roots over Goldilocks, one thread, {} bytes of proof", postcard::to_stdvec(&proof)?.len());
    println!("steps {evaluated:?}, proof {proven:?}, verified in {verified:?}, memory {}", peak.trim());
    Ok(())
}
