//! The colours of the charts.

/// Stand out from light and dark ground alike, the first ones also to who does not tell red from green.
const COLOURS: [&str; 8] = ["#2470b4", "#c08a10", "#e866c2", "#46aa70", "#875adc", "#9a5f28", "#0e899f", "#ce5057"];

/// The colour of the series, kind or group with an index.
pub(crate) fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// The same as attributes of a line; when the colours begin anew, it is dashed.
pub(crate) fn stroke(index: usize) -> String {
    let dashes = if index < COLOURS.len() { "" } else { " stroke-dasharray=\"6 3\"" };
    format!("stroke=\"{}\"{dashes}", colour(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The red, green and blue parts of a colour, linear.
    fn light(colour: &str) -> [f64; 3] {
        [1, 3, 5].map(|at| {
            let part = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).expect("two digits")) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let luminance =
            |colour| light(colour).into_iter().zip([0.2126, 0.7152, 0.0722]).map(|(part, weight)| part * weight);
        let (a, b) = (luminance(a).sum::<f64>() + 0.05, luminance(b).sum::<f64>() + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn every_colour_stands_out_from_light_and_dark_ground() {
        for colour in COLOURS {
            for ground in ["#ffffff", "#151b22"] {
                assert!(contrast(colour, ground) > 2.8, "{colour} on {ground}: {}", contrast(colour, ground));
            }
        }
    }

    #[test]
    fn the_first_colours_differ_also_without_red_or_green() {
        let blind = [[0.152, 1.053, -0.205], [0.367, 0.861, -0.228]];
        for weights in blind {
            let seen = |colour| {
                let [r, g, b] = light(colour);
                [weights[0] * r + weights[1] * g + weights[2] * b, b].map(|part: f64| part.max(0.0).cbrt())
            };
            for (index, a) in COLOURS[..4].iter().enumerate() {
                for b in &COLOURS[..index] {
                    let ([yellow, blue], [other_yellow, other_blue]) = (seen(*a), seen(*b));
                    let apart = (yellow - other_yellow).hypot(blue - other_blue);
                    assert!(apart > 0.1, "{a} and {b}: {apart}");
                }
            }
        }
    }

    #[test]
    fn a_ninth_series_is_told_from_the_first_by_dashes() {
        assert_eq!(colour(8), colour(0));
        assert!(stroke(8).contains("dasharray") && !stroke(7).contains("dasharray"));
    }
}
