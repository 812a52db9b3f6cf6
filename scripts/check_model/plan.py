"""How much there is to compute for an order, by docs/protocols/training.md."""

from references import kernel


def family(recipe):
    """The family as a model shows it: without bins, but with the rounds of trees."""
    if "gbdt" in recipe["family"]:
        return {"gbdt": {"depth": recipe["family"]["gbdt"]["depth"]}}, recipe["epochs"]
    return recipe["family"], None


def layers_of(recipe, order):
    """The inputs without the bias, and the outputs, of each layer."""
    hidden = recipe["family"]["mlp"]["hidden"] if "mlp" in recipe["family"] else []
    widths = [order.features, *hidden, order.classes or 1]
    return [(inputs, outputs) for inputs, outputs in zip(widths, widths[1:])]


def work(order):
    """Multiplications of a training, of a segment and of an evaluation, segments, and points of the grid."""
    recipe, outputs = order.recipe, order.classes or 1
    points = 1
    for values in recipe["grid"].values():
        points *= max(1, len(values))
    if "gbdt" in recipe["family"]:
        levels, bins = recipe["family"]["gbdt"]["depth"], recipe["family"]["gbdt"]["bins"]
        sampled = max(order.data.rows * kernel.fraction(sample) >> 16 for sample in recipe["grid"]["sample"])
        steps, row = recipe["epochs"], recipe["epochs"] * outputs * levels
        step = outputs * order.features * (sampled * levels + ((1 << levels) - 1) * bins)
        before = order.data.rows * row
    else:
        layers = layers_of(recipe, order)
        row = sum((inputs + 1) * outputs for inputs, outputs in layers)
        behind = sum(inputs * outputs for inputs, outputs in layers[1:])
        steps = recipe["epochs"] * (order.data.rows // recipe["batch"])
        step, before = recipe["batch"] * (2 * row + behind), 0
    length = recipe["segment_steps"]
    return {"training": steps * step, "segment": min(steps, length) * step + before,
            "evaluation": row * (order.draw + order.fold.rows), "segments": -(-steps // length), "points": points}
