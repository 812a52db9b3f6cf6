//! What convicts whom, and what convicts nobody.

use std::time::Duration;

use super::*;

const B: B256 = B256::repeat_byte(1);
const C: B256 = B256::repeat_byte(2);

fn members() -> Members {
    Members::new(4, Duration::ZERO)
}

fn vote(kind: VoteKind, view: u64, height: u64, hash: B256) -> Arc<Vote> {
    members().vote(kind, (view, height), hash, ValidatorIndex(1))
}

fn commit(view: u64, height: u64, block: B256) -> Arc<Vote> {
    vote(VoteKind::Commit, view, height, block)
}

fn proposal(view: u64, parent: u64) -> Proposal {
    Proposal { view, parent, length: 1, height: 1, block: C }
}

fn notarize(proposal: Proposal) -> [Signed; 2] {
    let vote = vote(VoteKind::Notarize, proposal.view, 0, proposal.hash());
    [Signed::Vote(vote), Signed::Proposal(proposal)]
}

fn leave(view: u64, decided: Option<Certificate>) -> Signed {
    let members = members();
    let signer = (members.key(ValidatorIndex(1)), members.domain(), members.validators().epoch());
    Signed::Leave(Box::new(ViewChange::sign(view, ValidatorIndex(1), decided, Vec::new(), signer)))
}

fn convicted(said: impl IntoIterator<Item = Signed>) -> Vec<Conviction> {
    let (members, mut transcript) = (members(), Transcript::default());
    transcript.hear(said, &members);
    let found = transcript.culprits(&members);
    assert!(found.iter().all(|it| it.holds(members.domain(), members.validators())), "{found:?}");
    assert!(found.iter().all(|it| it.validator() == ValidatorIndex(1)), "{found:?}");
    found
}

#[test]
fn two_votes_of_one_place_convict_and_two_of_two_places_do_not() {
    let said = |votes: &[&Arc<Vote>]| convicted(votes.iter().map(|vote| Signed::Vote(Arc::clone(vote)))).len();
    let notarize = |view, hash| vote(VoteKind::Notarize, view, 0, hash);
    assert_eq!(said(&[&commit(1, 1, B), &commit(1, 1, C)]), 1);
    assert_eq!(said(&[&notarize(1, B), &notarize(1, C)]), 1);
    assert_eq!(said(&[&vote(VoteKind::Nullify, 1, 0, B256::ZERO), &commit(1, 7, C)]), 1);
    assert_eq!(said(&[&commit(1, 1, B), &commit(1, 1, B)]), 0);
    assert_eq!(said(&[&commit(1, 1, B), &commit(2, 1, C), &commit(1, 2, C)]), 0);
    assert_eq!(said(&[&notarize(1, B), &notarize(2, C), &vote(VoteKind::Nullify, 2, 0, B256::ZERO)]), 0);
}

#[test]
fn who_commits_and_votes_later_for_what_has_an_older_parent_is_convicted() {
    let with = |proposal: Proposal| {
        let commit = Signed::Vote(commit(3, 1, B));
        convicted(notarize(proposal).into_iter().chain([commit]))
    };
    assert!(matches!(&with(proposal(5, 2))[..], [Conviction::VotedBelow { .. }]));
    for innocent in [proposal(5, 3), proposal(5, 4), proposal(3, 2), proposal(2, 1)] {
        assert_eq!(with(innocent), []);
    }
    let [vote, _] = notarize(proposal(5, 2));
    assert_eq!(convicted([vote, Signed::Vote(commit(3, 1, B))]), [], "nobody knows what the vote is for");
}

#[test]
fn who_commits_and_asks_for_a_later_view_as_if_it_had_not_is_convicted() {
    let members = members();
    let decided = |height, view| {
        let by = |who| members.vote(VoteKind::Commit, (view, height), B, ValidatorIndex(who));
        Certificate::from_votes((0..3).map(by).collect::<Vec<_>>().iter().map(Arc::as_ref))
    };
    let with = |leave| convicted([Signed::Vote(commit(3, 2, B)), leave]);
    assert!(matches!(&with(leave(4, None))[..], [Conviction::Left { .. }]));
    assert_eq!(with(leave(4, decided(1, 3))).len(), 1);
    assert_eq!(with(leave(3, None)), [], "it may have committed after it had entered that view");
    assert_eq!(with(leave(4, decided(2, 3))), [], "it knows what is final there");
    assert_eq!(with(leave(4, decided(1, 4))), [], "another block may be final below since");
}

#[test]
fn what_is_signed_by_somebody_else_convicts_nobody() {
    let forged = |vote: Arc<Vote>| Signed::Vote(Arc::new(Vote { validator: ValidatorIndex(2), ..Vote::clone(&vote) }));
    assert_eq!(convicted([forged(commit(1, 1, B)), forged(commit(1, 1, C))]), []);
    let (members, other) = (members(), Domain::new(B256::repeat_byte(9), 1));
    let evidence = Conviction::Contradicted(Evidence::new(&commit(1, 1, B), &commit(1, 1, C)));
    assert!(evidence.holds(members.domain(), members.validators()));
    assert!(!evidence.holds(&other, members.validators()), "of another network");
    let proposal = proposal(5, 2);
    let vote = vote(VoteKind::Notarize, 5, 0, proposal.hash());
    let below = |proposal| Conviction::VotedBelow { commit: commit(3, 1, B), vote: vote.clone(), proposal };
    assert!(below(proposal).holds(members.domain(), members.validators()));
    let raised = Proposal { parent: 1, ..proposal };
    assert!(!below(raised).holds(members.domain(), members.validators()), "its vote is for another proposal");
}
