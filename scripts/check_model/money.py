"""Who wins and who is paid what, by the rules in docs/protocols/orders.md."""

from order import Payment
from references import rules


def part_of(amount, ten_thousandths):
    return amount * ten_thousandths // 10_000


def reaches(order, grade, rows):
    correct, loss = grade
    return correct << 16 >= order.baseline * rows if order.classes else loss <= (order.baseline << 16) * rows


def is_suspicious(order, claim):
    """Whether it is far worse on the drawn rows than on those that everybody knows."""
    hidden, fold = claim.grade("hidden"), claim.grade("fold")
    if hidden is None or fold is None or order.fold is None:
        return False
    which = 0 if order.classes else 1
    return rules.far_below(order.draw, hidden[which], order.fold.rows, fold[which], order.classes)


def best(order):
    """The number of the claim that the rules prefer, as grades and claims are now."""
    def best_by(table, rows, which=lambda claim: True):
        able = [claim for claim in order.claims if claim.stands and claim.grade(table) is not None and which(claim)
                and reaches(order, claim.grade(table), rows)]
        able.sort(key=lambda claim: (-claim.grade(table)[0], claim.grade(table)[1], claim.number))
        return able[0].number if able else None

    fold_rows = order.fold.rows if order.fold else 0
    if order.forfeit:
        return best_by("fold", fold_rows)
    found = best_by("hidden", order.draw)
    return best_by("fold", fold_rows, lambda claim: is_suspicious(order, claim)) if found is None else found


def settlement(order):
    """What is paid when an order ends. Bonds are not in it: they are paid when there is a ruling."""
    payments = [*of_reward(order), *of_deposit(order)]
    for claim in order.claims:
        payments += of_stake(claim.worker, order.money["worker"], claim.fault, claim.shown_by, claim.late)
    for member in order.committee:
        payments += of_stake(member.account, order.money["member"], member.fault, member.shown_by, member.late)
    return [payment for payment in payments if payment.amount > 0]


def of_reward(order):
    left = reward = order.money["reward"]
    for_statements, bounty = part_of(reward, 1_500), part_of(reward, 500)
    standing = [member for member in order.committee if member.fault is None]
    work = order.work
    most = work["training"] * order.redundancy + work["evaluation"] * order.committee_size * order.max_claims
    most = max(most, sum(member.macs for member in standing))
    payments = [Payment("statements", member.account, for_statements * member.macs // most if most else 0, member.macs)
                for member in standing]
    unearned = for_statements - sum(payment.amount for payment in payments)
    payments += [Payment("bounty", account, bounty // len(order.right)) for account in order.right]
    left -= sum(payment.amount for payment in payments)
    if order.winner is None:
        return [*payments, Payment("unearned", order.requester, left)]
    winner = order.claims[order.winner]
    return [*payments, Payment("unearned", order.requester, unearned),
            Payment("prize", winner.payee, left - unearned, winner.worker)]


def of_deposit(order):
    deposit = order.money["deposit"]
    if order.forfeit is None:
        return [Payment("deposit", order.requester, deposit)]
    nobody_could_reveal = order.forfeit == "withheld" and order.fold is None
    spoilt = [claim for claim in order.claims if claim.stands and (nobody_could_reveal or claim.model is not None)]
    part = deposit // len(spoilt) if spoilt else 0
    parts = [Payment("forfeited", claim.worker, part) for claim in spoilt]
    return [*parts, Payment("forfeited", None, deposit - part * len(spoilt))]


def of_stake(account, stake, fault, shown_by, late):
    if fault is not None:
        half = stake // 2 if shown_by is not None else 0
        return [Payment("slashed", shown_by, half, account), Payment("slashed", None, stake - half, account)]
    lost = min(part_of(stake, 1_000) * late, stake)
    return [Payment("late", None, lost, account), Payment("stake", account, stake - lost)]


def locked(order):
    """All that an order held when it ended, but for bonds."""
    money = order.money
    return (money["reward"] + money["deposit"] + money["worker"] * len(order.claims)
            + money["member"] * len(order.committee))
